#!/usr/bin/env bash
# Question: is the A-weighting of auraloss (perceptual_weighting, FIRFilter "aw") IEC 61672's at the usual sample
#   rates?
# Expected: within a decibel or two over the band.
# Versions: auraloss 0.4.0, torch 2.13.0, scipy 1.17.1; Python 3.11
# Seen: 101 taps are too few below 200 Hz at 44.1 and 48 kHz: 50 Hz is damped by 19 and 18 dB instead of 30. And
#   the sibling "hp" returns 98 samples more than it got, since it pads for 101 taps and has 3.
# Output seen:
#   16000 Hz, off by dB: {50: 0.9, 100: -0.7, 1000: 0.0, 3000: -0.1}
#   44100 Hz, off by dB: {50: 11.1, 100: 1.9, 1000: -0.1, 3000: -0.0}
#   48000 Hz, off by dB: {50: 12.1, 100: 2.6, 1000: -0.0, 3000: -0.1}
#   high-pass: 98 samples longer
# Why it matters: a loss "with A-weighting" weighs hum and bass 10 dB more in a 44.1 kHz recipe than the same one
#   at 16 kHz; the high-pass moves the signals against any mask or feature made before.
# In Lathe: codec/losses/spectral.py weights the bins of the spectrogram, by librosa's curve.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 auraloss==0.4.0 scipy==1.17.1
venv/bin/python - <<'EOF'
import math
import warnings

warnings.simplefilter("ignore")
import auraloss
import torch


def standard_db(f):
    def response(f):
        a, b, c, d = (f**2 + pole**2 for pole in (20.6, 107.7, 737.9, 12194.0))
        return 12194.0**2 * f**4 / (a * math.sqrt(b * c) * d)

    return 20 * math.log10(response(f) / response(1000.0))


for rate in (16000, 44100, 48000):
    errors = {}
    for f in (50, 100, 1000, 3000):
        x = torch.sin(2 * math.pi * f * torch.arange(2 * rate) / rate)[None, None]
        y = auraloss.perceptual.FIRFilter(filter_type="aw", fs=rate)(x, x)[0][..., 1000:-1000]
        errors[f] = 10 * math.log10(y.square().mean() / x.square().mean()) - standard_db(f)
    print(f"{rate} Hz, off by dB:", {f: round(error, 1) for f, error in errors.items()})
    assert (errors[50] > 10) == (rate > 16000) and abs(errors[1000]) < 0.5
longer = auraloss.perceptual.FIRFilter(filter_type="hp")(x, x)[0].shape[-1] - x.shape[-1]
print(f"high-pass: {longer} samples longer")
assert longer == 98
EOF
