#!/usr/bin/env bash
# Question: does sphn.read(path, start_sec=s) start at s?
# Expected: yes, to the sample, as it does for WAV and FLAC.
# Versions: sphn 0.2.1, soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: for Ogg Vorbis all that is read comes from 1,024 samples after s, wherever s is; with no start it is
#   right. Count and rate are as asked for.
# Output seen:
#   x.flac, start 0.5 s: 48000 samples, from 0 samples after it
#   x.flac, start 2.0 s: 48000 samples, from 0 samples after it
#   x.ogg, start 0.5 s: 48000 samples, from 1024 samples after it
#   x.ogg, start 2.0 s: 48000 samples, from 1024 samples after it
# Why it matters: random crops of a corpus for training are shifted against their labels, transcripts or parallel
#   channels, by 21 ms at 48 kHz, for one of several formats.
# In Lathe: crops are taken from packed arrays, where no decoder seeks.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile sphn==0.2.1 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
import soundfile
import sphn

x = (0.1 * np.random.default_rng(0).standard_normal(4 * 48000)).clip(-1, 1)
for name, expected in (("x.flac", 0), ("x.ogg", 1024)):
    soundfile.write(name, x, 48000)
    whole = soundfile.read(name, dtype="float32")[0]
    for start in (0.5, 2.0):
        part = sphn.read(name, start_sec=start, duration_sec=1.0)[0][0]
        at = int(start * 48000)
        match = np.correlate(whole[at - 4000 : at + 20000], part[5000:9000], "valid")
        lag = int(match.argmax()) - 4000 - 5000
        print(f"{name}, start {start} s: {len(part)} samples, from {lag} samples after it")
        assert len(part) == 48000 and lag == expected
EOF
