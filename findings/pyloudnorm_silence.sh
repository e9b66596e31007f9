#!/usr/bin/env bash
# Question: what does normalising a silent or very quiet clip with pyloudnorm give?
# Expected: an error, or the clip as it was.
# Versions: pyloudnorm 0.2.0, numpy 2.4.6; Python 3.11
# Seen: its loudness is -inf, and normalize.loudness returns NaN for silence and infinite samples for anything
#   below the gate of -70 LUFS, both with nothing but a NumPy warning or the one about clipping.
# Output seen:
#   -40 dBFS: -43.1 LUFS, then a peak of 0.10
#   -80 dBFS: -inf LUFS, then a peak of inf
#   silence: -inf LUFS, then a peak of nan
# Why it matters: NaN or infinity enters packed training data; one such crop ends a training run much later, far
#   from its cause.
# In Lathe: eval/metrics/programme_loudness.py takes a loudness that is not finite as none, and gives a gain of 1.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile pyloudnorm==0.2.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import warnings

import numpy as np
import pyloudnorm

warnings.simplefilter("ignore")
tone = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)
meter = pyloudnorm.Meter(48000)
for name, x in (("-40 dBFS", 1e-2 * tone), ("-80 dBFS", 1e-4 * tone), ("silence", 0 * tone)):
    loudness = meter.integrated_loudness(x)
    y = pyloudnorm.normalize.loudness(x, loudness, -23.0)
    print(f"{name}: {loudness:.1f} LUFS, then a peak of {np.abs(y[1:1000]).max():.2f}")
    assert np.isfinite(y).all() == (name == "-40 dBFS")
    assert np.isnan(y).any() if name == "silence" else not np.isnan(y[1:1000]).any()
EOF
