#!/usr/bin/env bash
# Question: does a forward pass in eval mode leave the codebook of VectorQuantize (kmeans_init=True) alone?
# Expected: yes; eval mode means that statistics are not updated.
# Versions: vector-quantize-pytorch 1.32.0, torch 2.13.0; Python 3.11
# Seen: the first pass initialises the codebook by k-means from that batch, in eval mode and under no_grad, and
#   marks it initialised: training then never does so from training data.
# Output seen:
#   changed by a pass in eval mode: ['_codebook.initted', '_codebook.cluster_size', '_codebook.embed_avg', '_codebook.embed']
# Why it matters: Lightning's sanity check before training, an export or a speed test of a fresh model decides the
#   codebooks: from one or two validation clips.
# In Lathe: codebooks change by a call of its own in the training step (codec/training/module.py), never in
#   forward.
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
vq = VectorQuantize(dim=16, codebook_size=64, kmeans_init=True).eval()
before = {name: value.clone() for name, value in vq.state_dict().items()}
with torch.no_grad():
    vq(5 + torch.randn(2, 50, 16))
changed = [name for name, value in vq.state_dict().items() if not torch.equal(value, before[name])]
print("changed by a pass in eval mode:", changed)
assert "_codebook.embed" in changed and "_codebook.initted" in changed
EOF
