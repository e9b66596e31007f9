#!/usr/bin/env bash
# Question: what does WebDataset(...).with_epoch(n) yield in a DataLoader with two workers?
# Expected: n samples, shared out between the workers.
# Versions: webdataset 1.0.2, torch 2.13.0, numpy 2.4.6; Python 3.11
# Seen: 2 n: each worker makes n of its own shards, and begins them again until it has them: every sample comes
#   twice.
# Output seen:
#   0 workers: 40 samples, 40 different ones
#   2 workers: 80 samples, 40 different ones
# Why it matters: epochs, learning rate schedules and progress are wrong by the number of workers, and change with
#   the machine; in validation samples are counted several times.
# In Lathe: none needed when writing; codec tokens writes eight shards or more, so that workers share them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 webdataset==1.0.2 numpy==2.4.6
venv/bin/python - <<'EOF'
import warnings

import numpy as np
import torch
import webdataset

warnings.simplefilter("ignore")
for shard in range(4):
    with webdataset.TarWriter(f"{shard}.tar") as writer:
        for k in range(10):
            writer.write({"__key__": f"{shard}_{k}", "npy": np.array([10 * shard + k])})
counts = []
for workers in (0, 2):
    data = webdataset.WebDataset([f"{shard}.tar" for shard in range(4)], shardshuffle=False).decode().with_epoch(40)
    loader = torch.utils.data.DataLoader(data, batch_size=None, num_workers=workers)
    seen = [int(sample["npy"][0]) for sample in loader]
    counts.append((len(seen), len(set(seen))))
    print(f"{workers} workers: {counts[-1][0]} samples, {counts[-1][1]} different ones")
assert counts == [(40, 40), (80, 40)]
EOF
