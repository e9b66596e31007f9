#!/usr/bin/env bash
# Question: do the commitment losses of EnCodec's residual quantizer all pull on the encoder?
# Expected: yes: the loss of codebook k is the distance of the encoder's residual to it, and its gradient reaches
#   the latent.
# Versions: encodec 0.1.1, torch 2.13.0; Python 3.11
# Seen: that of the first codebook alone. Each next residual subtracts a quantised value that carries the
#   straight-through gradient, so latent and quantised value cancel: the other losses have a gradient of exactly
#   0.
# Output seen:
#   loss:     0.1946 0.0389 0.0072 0.0008
#   gradient: 0.0221 0.0000 0.0000 0.0000
# Why it matters: the commitment weight acts through the first codebook alone, and adding codebooks adds none of
#   it. Codecs that took this code over behave alike.
# In Lathe: codec/model/quantizers/rvq.py quantises without gradients and forms each commitment term with plain
#   codebook entries.
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
from encodec.quantization.core_vq import ResidualVectorQuantization

torch.manual_seed(0)
quantizer = ResidualVectorQuantization(dim=16, codebook_size=64, num_quantizers=4).train()
latent = torch.randn(2, 16, 50, requires_grad=True)
_, _, losses = quantizer(latent)
norms = [torch.autograd.grad(loss.sum(), latent, retain_graph=True)[0].norm().item() for loss in losses]
print("loss:    ", " ".join(f"{loss.item():.4f}" for loss in losses))
print("gradient:", " ".join(f"{norm:.4f}" for norm in norms))
assert norms[0] > 0.01 and norms[1:] == [0, 0, 0] and losses[1].item() > 0.01
EOF
