#!/usr/bin/env bash
# Question: what do PESQ, ViSQOL and STOI say to a decode that lost its second half?
# Expected: an error: the signals differ in length.
# Versions: pesq 0.0.4, visqol-python 3.8.0, pystoi 0.4.1, numpy 2.4.6; Python 3.11
# Seen: STOI alone raises. PESQ scores without a word; ViSQOL scores what is left (with a line in its log), and
#   3.5 of 5 passes for a fair codec.
# Output seen:
#   half of a perfect decode: PESQ-WB 2.49, ViSQOL audio 3.51, STOI raises: True
# Why it matters: a decoder that stops early is not found by the metric that should have found it.
# In Lathe: a .nac file states its number of samples, and eval/benchmarks/corpus.py ends where a decode is not as long as
#   its source.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile pesq==0.0.4 visqol-python==3.8.0 pystoi==0.4.1 numpy==2.4.6
venv/bin/python - <<'EOF'
import logging

import numpy as np
from pesq import pesq
from pystoi import stoi
from visqol import VisqolApi

logging.disable(logging.WARNING)
rng = np.random.default_rng(0)
t = np.arange(3 * 48000) / 48000
x = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 40)) * (0.55 + 0.45 * np.sin(2 * np.pi * 3 * t))
x = 0.1 * (x + 0.1 * rng.standard_normal(len(t)))
speech = x.reshape(-1, 3).mean(1)
score = pesq(16000, speech, speech[: len(speech) // 2], "wb")
api = VisqolApi()
api.create(mode="audio")
mos = api.measure_from_arrays(x, x[: len(x) // 2], 48000).moslqo
try:
    stoi(speech, speech[: len(speech) // 2], 16000)
    raised = False
except Exception as error:
    raised = "same length" in str(error)
print(f"half of a perfect decode: PESQ-WB {score:.2f}, ViSQOL audio {mos:.2f}, STOI raises: {raised}")
assert 1 <= score < 4.64 and mos > 3 and raised
EOF
