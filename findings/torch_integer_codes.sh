#!/usr/bin/env bash
# Question: in which integer type can codes of a codec be stored so that PyTorch's layers take them as a
#   DataLoader gives them?
# Expected: any that holds the largest code; uint16 for up to 65,536, uint8 for 256.
# Versions: torch 2.13.0, numpy 2.4.6; Python 3.11
# Seen: uint16 arrives as torch.uint16, with which embedding, indexing, cross entropy and + 1 raise. int32 works
#   for embedding and indexing, not as a target of cross entropy; uint8 the other way round. And a uint8 tensor as
#   an index is a mask: where it is as long as the table, other rows are returned and nothing is raised.
# Output seen:
#   torch.uint8: indexing, cross entropy, + 1
#   torch.uint16: nothing
#   torch.int16: + 1
#   torch.int32: embedding, indexing, + 1
#   torch.int64: embedding, indexing, cross entropy, + 1
#   uint8 codes look up the right rows: False
# Why it matters: token shards are written once and read for years; only int64 works everywhere, int32 after one
#   conversion.
# In Lathe: codec/coding/tokens.py writes 32-bit integers; docs/tokens.md has a loader that runs as it stands.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import warnings

import numpy as np
import torch

warnings.simplefilter("ignore")
torch.manual_seed(0)
table, logits = torch.randn(256, 4), torch.randn(256, 256)
uses = {
    "embedding": lambda codes: torch.nn.functional.embedding(codes, table),
    "indexing": lambda codes: table[codes],
    "cross entropy": lambda codes: torch.nn.functional.cross_entropy(logits, codes),
    "+ 1": lambda codes: codes + 1,
}
codes = np.random.default_rng(0).integers(1, 256, 256)
works = {}
for kind in ("uint8", "uint16", "int16", "int32", "int64"):
    (batch,) = torch.utils.data.DataLoader([codes.astype(kind)], batch_size=None)
    works[kind] = []
    for name, use in uses.items():
        try:
            use(batch)
            works[kind].append(name)
        except (RuntimeError, IndexError):
            pass
    print(f"{batch.dtype}: {', '.join(works[kind]) or 'nothing'}")
assert works["uint16"] == [] and works["int64"] == list(uses)
assert "cross entropy" not in works["int32"] and "embedding" in works["int32"]
masked = table[torch.from_numpy(codes.astype("uint8"))]
print("uint8 codes look up the right rows:", torch.equal(masked, table[torch.from_numpy(codes)]))
assert torch.equal(masked, table)
EOF
