#!/usr/bin/env bash
# Question: does safetensors.numpy keep an array that is a transposed or strided view?
# Expected: yes, or it refuses, as safetensors.torch does for tensors that are not contiguous.
# Versions: safetensors 0.8.0, numpy 2.4.6; Python 3.11
# Seen: neither: the shape of the view is stored with the bytes of the memory under it, so other values come back,
#   without an error.
# Output seen:
#   as made: [0, 1, 2, 3] came back as [0, 1, 2, 3]
#   transposed: [0, 4, 8] came back as [0, 1, 2]
#   every second: [0, 2] came back as [0, 1]
#   transposed and copied: [0, 4, 8] came back as [0, 4, 8]
# Why it matters: codebooks, filter banks and codes are turned around all the time ([frames, codebooks] to
#   [codebooks, frames]); files look whole and hold nonsense.
# In Lathe: codec/pretrained/checkpoint.py saves tensors through safetensors.torch, which refuses such views.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile safetensors==0.8.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
from safetensors.numpy import load_file, save_file

codes = np.arange(12, dtype=np.int32).reshape(3, 4)
arrays = {"as made": codes, "transposed": codes.T, "every second": codes[:, ::2]}
arrays["transposed and copied"] = np.ascontiguousarray(codes.T)
save_file(arrays, "x.safetensors")
back = load_file("x.safetensors")
right = {name: bool(np.array_equal(back[name], array)) for name, array in arrays.items()}
for name, array in arrays.items():
    print(f"{name}: {array[0].tolist()} came back as {back[name][0].tolist()}")
assert right == {"as made": True, "transposed": False, "every second": False, "transposed and copied": True}
EOF
