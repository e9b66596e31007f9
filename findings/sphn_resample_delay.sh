#!/usr/bin/env bash
# Question: is sphn.resample (Kyutai's audio library, used with Mimi) aligned with its input, and how long is its
#   result?
# Expected: aligned and of length n * new / old, as with soxr, librosa, samplerate or torchaudio.
# Versions: sphn 0.2.1, soxr 1.1.0, numpy 2.4.6; Python 3.11
# Seen: the delay of its filter stays in front (1,536 samples, 32 ms, from 16 to 48 kHz) and the result is longer.
#   The level is right.
# Output seen:
#   16000 to 48000 Hz, soxr: 48000 samples of 48000, +0.0 late
#   16000 to 48000 Hz, sphn: 49152 samples of 48000, +1536.0 late
#   48000 to 16000 Hz, soxr: 16000 samples of 16000, +0.0 late
#   48000 to 16000 Hz, sphn: 16074 samples of 16000, +171.0 late
#   44100 to 24000 Hz, soxr: 24000 samples of 24000, +0.0 late
#   44100 to 24000 Hz, sphn: 24080 samples of 24000, +279.7 late
# Why it matters: a reference resampled with it against a decode resampled with anything else is out of step: a
#   codec looks worse in every sample-aligned metric, by no fault of its own.
# In Lathe: codec/audio/resampling.py uses soxr, for whole files and streams.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile sphn==0.2.1 soxr==1.1.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
import soxr
import sphn


def centre(wave):  # the energy's centre of gravity
    return float(np.sum(np.arange(len(wave)) * wave**2) / np.sum(wave**2))


for old, new, expected in ((16000, 48000, 1536), (48000, 16000, 171), (44100, 24000, 280)):
    t = np.arange(old) / old - 0.5
    x = (0.5 * np.exp(-0.5 * (t / 0.002) ** 2) * np.cos(2 * np.pi * 1000 * t)).astype(np.float32)
    late = {}
    for name, wave in (("soxr", soxr.resample(x, old, new)), ("sphn", sphn.resample(x, old, new))):
        late[name] = centre(wave) - 0.5 * new
        print(f"{old} to {new} Hz, {name}: {len(wave)} samples of {new}, {late[name]:+.1f} late")
    assert abs(late["soxr"]) < 0.05 and abs(late["sphn"] - expected) < 1 and len(wave) > new
EOF
