#!/usr/bin/env bash
# Question: which gradient does VectorQuantize (vector-quantize-pytorch) pass on to the encoder?
# Expected: that of its output, unchanged (straight-through), as in VQ-VAE, SoundStream, EnCodec and DAC.
# Versions: vector-quantize-pytorch 1.32.0, torch 2.13.0; Python 3.11
# Seen: another one: the rotation trick is on by default where the quantizer has no other estimator, so each
#   gradient is rotated and scaled by the ratio of norms. With rotation_trick=False it is straight-through.
# Output seen:
#   default: norm times 0.05, mean cosine to the gradient of the output 0.94
#   {'rotation_trick': False}: norm times 1.00, mean cosine to the gradient of the output 1.00
# Why it matters: hyper-parameters and loss balances taken from a paper meet another optimisation problem; a
#   gradient check of a codec against its reference fails for no visible reason.
# In Lathe: codec/model/quantizers/rvq.py is straight-through over the sum of all codebooks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 vector-quantize-pytorch==1.32.0
venv/bin/python - <<'EOF'
import torch
from vector_quantize_pytorch import VectorQuantize

torch.manual_seed(0)
for options in ({}, {"rotation_trick": False}):
    vq = VectorQuantize(dim=16, codebook_size=64, **options)
    x = torch.randn(2, 50, 16, requires_grad=True)
    y = vq(x)[0]
    gradient = torch.randn_like(y)
    y.backward(gradient)
    ratio = (x.grad.norm() / gradient.norm()).item()
    angle = torch.nn.functional.cosine_similarity(x.grad, gradient, dim=-1).mean().item()
    print(f"{options or 'default'}: norm times {ratio:.2f}, mean cosine to the gradient of the output {angle:.2f}")
    assert (abs(ratio - 1) < 1e-6 and angle > 0.999) == bool(options)
EOF
