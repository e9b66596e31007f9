#!/usr/bin/env bash
# Question: how does WebDataset tell samples apart whose keys hold a dot, as names of recordings do?
# Expected: by the key that was written: the extension is what follows the last dot.
# Versions: webdataset 1.0.2, torch 2.13.0, numpy 2.4.6; Python 3.11
# Seen: by what stands before the first dot. "talk.01" and "talk.02", written next to each other, come back as one
#   sample "talk" with fields "01.npy" and "02.npy". TarWriter takes such keys without a word.
# Output seen:
#   written: talk.01, talk.02, song; read: {'talk': ['01.json', '01.npy', '02.json', '02.npy'], 'song': ['json', 'npy']}
# Why it matters: fields are missing under their names, or recordings vanish from training where a missing field
#   is skipped.
# In Lathe: codec/coding/shards.py writes dots in keys as %2E.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 webdataset==1.0.2 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
import webdataset

with webdataset.TarWriter("x.tar") as writer:
    for key in ("talk.01", "talk.02", "song"):
        writer.write({"__key__": key, "npy": np.arange(3), "json": {"name": key}})
samples = list(webdataset.WebDataset("x.tar", shardshuffle=False))
found = {sample["__key__"]: sorted(name for name in sample if not name.startswith("__")) for sample in samples}
print("written: talk.01, talk.02, song; read:", found)
assert found == {"talk": ["01.json", "01.npy", "02.json", "02.npy"], "song": ["json", "npy"]}
EOF
