#!/usr/bin/env bash
# Question: what does soundfile.read(path, dtype="int16") give for a WAV file of floating-point samples?
# Expected: samples scaled to the range of int16, as for a PCM file of the same sound, and as MP3, Vorbis and Opus
#   give them.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: all zeros. libsndfile does not scale floating-point samples for integer reads: 0.5 becomes 0. The
#   compressed formats, which decode to floating point too, are scaled.
# Output seen:
#   PCM_16: peak 16384 of 32768
#   VORBIS: peak 16787 of 32768
#   FLOAT: peak 0 of 32768
# Why it matters: a loader that asks for int16 to save memory packs silence for every float WAV in a corpus, which
#   is what many synthesis and separation tools write, and neither length nor rate gives it away.
# In Lathe: codec/audio/libsndfile.py always reads float32.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
import soundfile

x = 0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000)
peaks = {}
for name, subtype in (("a.wav", "PCM_16"), ("b.ogg", "VORBIS"), ("c.wav", "FLOAT")):
    soundfile.write(name, x, 16000, subtype=subtype)
    peaks[subtype] = int(np.abs(soundfile.read(name, dtype="int16")[0].astype(int)).max())
    print(f"{subtype}: peak {peaks[subtype]} of 32768")
assert 16000 < peaks["PCM_16"] < 17000 and 15000 < peaks["VORBIS"] < 18000
assert peaks["FLOAT"] == 0
EOF
