#!/usr/bin/env bash
# Question: do the windows of lhotse's cut_into_windows tile a recording?
# Expected: yes: one begins at the sample where the one before ended, so that joined they are the recording.
# Versions: lhotse 1.33.0, soundfile 0.14.0, torch 2.13.0, numpy 2.4.6; Python 3.11
# Seen: only where the window is a whole number of samples. Start and length are rounded from seconds separately:
#   windows of 33.3 ms at 44.1 kHz are 1,469 samples long, 1,468.53 apart, and overlap by a sample every other
#   time.
# Output seen:
#   windows of 0.1 s: [4410] samples, 44101 in all of 44101, 0 samples twice
#   windows of 0.0333 s: [1469] samples, 44115 in all of 44101, 14 samples twice
# Why it matters: tokens or decodes of windows do not join to the length of the recording, and samples are heard
#   twice at borders.
# In Lathe: positions and lengths are in samples everywhere (codec/audio/, data_prep/).
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 lhotse==1.33.0 soundfile==0.14.0 numpy==2.4.6 urllib3==2.8.0
venv/bin/python - <<'EOF'
import warnings

warnings.simplefilter("ignore")
import lhotse
import numpy as np
import soundfile

soundfile.write("x.wav", np.arange(44101) / 2**16, 44100, subtype="PCM_24")
cut = lhotse.Recording.from_file("x.wav").to_cut()
x = soundfile.read("x.wav", dtype="float32")[0]
totals = {}
for seconds in (0.1, 0.0333):
    windows = [window.load_audio()[0] for window in cut.cut_into_windows(seconds)]
    totals[seconds] = sum(map(len, windows))
    lengths = sorted({len(window) for window in windows[:-1]})
    twice = sum(a[-1] == b[0] for a, b in zip(windows, windows[1:]))
    print(f"windows of {seconds} s: {lengths} samples, {totals[seconds]} in all of {len(x)}, {twice} samples twice")
assert totals[0.1] == len(x) and totals[0.0333] > len(x)
EOF
