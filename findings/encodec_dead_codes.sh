#!/usr/bin/env bash
# Question: does the restart of dead codes in EnCodec's quantizer depend on the batch size?
# Expected: no; a code is dead when it is hardly ever chosen.
# Versions: encodec 0.1.1, torch 2.13.0; Python 3.11
# Seen: yes: a code is dead below a mean of 2 vectors per batch, in absolute numbers. 256 codes for 256 equally
#   frequent clusters, fed with 20, 160 or 1,280 vectors a batch: most, two thirds or a quarter of the codebook is
#   drawn anew at each step.
# Output seen:
#   20 vectors a step: 93% of codes replaced in the 300th step
#   160 vectors a step: 66% of codes replaced in the 300th step
#   1280 vectors a step: 28% of codes replaced in the 300th step
# Why it matters: a recipe scaled down to a small GPU or short crops trains with a codebook that never comes to
#   rest, and its utilisation, measured over a batch, looks full.
# In Lathe: codec/model/quantizers/rvq.py restarts by the share of use, whatever the batch.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 numpy==2.4.6 einops==0.8.2
venv/bin/pip install -q --disable-pip-version-check --no-compile --no-deps encodec==0.1.1
venv/bin/python - <<'EOF'
import sys
from unittest import mock

sys.modules["torchaudio"] = mock.MagicMock()  # which encodec imports for files alone
import torch
from encodec.quantization.core_vq import VectorQuantization

shares = []
for vectors in (20, 160, 1280):
    torch.manual_seed(0)
    vq = VectorQuantization(dim=16, codebook_size=256, threshold_ema_dead_code=2, kmeans_init=False).train()
    centres = torch.randn(256, 16)
    for _ in range(300):
        x = centres[torch.randint(256, (1, vectors))] + 0.1 * torch.randn(1, vectors, 16)
        before = vq._codebook.embed.clone()
        vq(x.transpose(1, 2))
    moved = (vq._codebook.embed - before).abs().amax(-1) > 1
    shares.append(moved.float().mean().item())
    print(f"{vectors} vectors a step: {shares[-1]:.0%} of codes replaced in the 300th step")
assert shares[0] > 0.8 and 0.4 < shares[1] < 0.8 and shares[2] < 0.4
EOF
