#!/usr/bin/env bash
# Question: does pydub's set_frame_rate keep what is above the new Nyquist frequency out?
# Expected: yes, with some filter, if not a good one; it is the way to change the sample rate there.
# Versions: pydub 0.25.1, numpy 2.4.6; Python 3.11 (from 3.13 on its audioop comes as a package of its own)
# Seen: no. Samples are interpolated linearly without any filter: from 48 to 16 kHz a tone of 10 kHz becomes one
#   of 6 kHz at its full level.
# Output seen:
#   5000 Hz at 48 kHz is 5000 Hz at 16 kHz, level 0.0 dB lower
#   10000 Hz at 48 kHz is 6000 Hz at 16 kHz, level 0.0 dB lower
#   15000 Hz at 48 kHz is 1000 Hz at 16 kHz, level 0.0 dB lower
# Why it matters: speech corpora prepared with it have the upper band of every s folded into the band that a 16
#   kHz codec learns; the codec then has to code noise, and its references are wrong.
# In Lathe: codec/audio/resampling.py uses soxr.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile pydub==0.25.1 numpy==2.4.6
venv/bin/python - <<'EOF'
import warnings

import numpy as np

warnings.simplefilter("ignore")
from pydub import AudioSegment

t = np.arange(48000) / 48000
for tone in (5000, 10000, 15000):
    x = (0.5 * np.sin(2 * np.pi * tone * t) * 32767).astype("<i2")
    segment = AudioSegment(x.tobytes(), frame_rate=48000, sample_width=2, channels=1).set_frame_rate(16000)
    y = np.array(segment.get_array_of_samples(), float)
    level = 20 * np.log10(y.std() / x.astype(float).std()) + 0.0
    heard = int(np.abs(np.fft.rfft(y)).argmax() * 16000 / len(y))
    print(f"{tone} Hz at 48 kHz is {heard} Hz at 16 kHz, level {abs(level):.1f} dB lower")
    assert heard == min(tone, 16000 - tone) and abs(level) < 0.1
EOF
