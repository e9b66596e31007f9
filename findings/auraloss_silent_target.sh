#!/usr/bin/env bash
# Question: how much does one silent target in a batch weigh in auraloss' multi-resolution STFT loss?
# Expected: as one of the batch, or a little more.
# Versions: auraloss 0.4.0, torch 2.13.0; Python 3.11
# Seen: the spectral convergence divides by the norm of the target's magnitudes, which for silence is the small
#   floor: an error of -80 dBFS, inaudible, makes the loss of that item a hundred times that of its neighbours,
#   which have an error of -40 dBFS.
# Output seen:
#   each item alone: 0.167 0.168 0.167 16.726
# Why it matters: gradient clipping then shrinks the step to nothing for batches that hold silence, or the model
#   learns silence only.
# In Lathe: codec/losses/spectral.py leaves silent targets out of that term.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 auraloss==0.4.0
venv/bin/python - <<'EOF'
import warnings

warnings.simplefilter("ignore")
import auraloss
import torch

torch.manual_seed(0)
loss = auraloss.freq.MultiResolutionSTFTLoss()
target = 0.1 * torch.randn(4, 1, 32000)
target[3] = 0
decode = target + 0.01 * torch.randn_like(target)
decode[3] = 1e-4 * torch.randn(1, 32000)
values = [loss(decode[i : i + 1], target[i : i + 1]).item() for i in range(4)]
print("each item alone:", " ".join(f"{value:.3f}" for value in values))
assert values[3] > 50 * max(values[:3])
EOF
