#!/usr/bin/env bash
# Question: does activation checkpointing change the training of a vector quantizer with EMA codebooks?
# Expected: no; it trades time for memory and gives the same numbers.
# Versions: vector-quantize-pytorch 1.32.0, torch 2.13.0; Python 3.11
# Seen: the forward pass runs twice, and so does what it does to the buffers: cluster sizes and sums are decayed
#   and fed twice per step (as with the running statistics of batch norm).
# Output seen:
#   added to the cluster sizes in one step: 0.360 plain, 0.716 with checkpointing
# Why it matters: a decay of 0.99 becomes one of 0.98, codes are counted and restarted at another rate; runs with
#   and without checkpointing are different trainings.
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
from torch.utils.checkpoint import checkpoint
from vector_quantize_pytorch import VectorQuantize


def mass_added(run):
    torch.manual_seed(0)
    vq = VectorQuantize(dim=16, codebook_size=64, decay=0.99, threshold_ema_dead_code=0).train()
    before = vq._codebook.cluster_size.clone()
    run(vq, torch.randn(2, 50, 16, requires_grad=True)).sum().backward()
    return (vq._codebook.cluster_size - before).sum().item()


once = mass_added(lambda vq, x: vq(x)[0])
twice = mass_added(lambda vq, x: checkpoint(lambda z: vq(z)[0], x, use_reentrant=False))
print(f"added to the cluster sizes in one step: {once:.3f} plain, {twice:.3f} with checkpointing")
assert abs(once) > 0.1 and 1.9 < twice / once < 2
EOF
