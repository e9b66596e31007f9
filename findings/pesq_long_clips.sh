#!/usr/bin/env bash
# Question: does PESQ depend on when in a clip a fault is heard?
# Expected: no; a mean over the clip, as long as the content there is the same.
# Versions: pesq 0.0.4, numpy 2.4.6; Python 3.11
# Seen: up to 16 s no. In longer clips the standard weights the frames at the end more: one burst of noise in the
#   third part of 30 s costs more than the same burst in the first, on three times the same speech.
# Output seen:
#   15 s: burst in the first third 2.03, in the last 2.04
#   30 s: burst in the first third 3.15, in the last 3.00
# Why it matters: scores of long and short clips do not compare, and for long ones the order of sentences in a
#   clip counts.
# In Lathe: eval/metrics/registry.py judges longer clips in equal parts of 15 s at most.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile pesq==0.0.4 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
from pesq import pesq

rate, rng = 16000, np.random.default_rng(1)


def part(seconds):
    t = np.arange(seconds * rate) / rate
    pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.6 * t)) / rate
    x = sum(np.sin(k * pitch) / k for k in range(1, 40)) + 0.1 * rng.standard_normal(len(t))
    return 0.1 * x * np.abs(np.sin(2 * np.pi * 3 * t))


for seconds in (5, 10):
    x, burst = part(seconds), 0.1 * rng.standard_normal(rate)
    reference, scores = np.tile(x, 3), []
    for third in (0, 2):
        decode = reference.copy()
        decode[third * len(x) + 2 * rate :][:rate] += burst
        scores.append(pesq(rate, reference, decode, "wb"))
    print(f"{3 * seconds} s: burst in the first third {scores[0]:.2f}, in the last {scores[1]:.2f}")
    assert scores[0] - scores[1] > 0.1 if seconds == 10 else abs(scores[0] - scores[1]) < 0.05
EOF
