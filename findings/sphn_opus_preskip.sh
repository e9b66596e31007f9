#!/usr/bin/env bash
# Question: does sphn.read_opus give what other decoders give for an Ogg Opus file?
# Expected: yes: the pre-skip in the header is cut off in front, and the padding behind, as RFC 7845 says.
# Versions: sphn 0.2.1, soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: neither: the pre-skip (312 samples) stays in front, and the end is that of the last packet. The samples in
#   between are those of libopus.
# Output seen:
#   written 48000; soundfile 48000, sphn 48480, 312 late
#   largest difference once aligned: 0e+00
# Why it matters: moshi's tools read and write Opus this way; compared with a reference from elsewhere all is 6.5
#   ms late.
# In Lathe: codec/audio/ogg.py cuts pre-skip and end.
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

x = 0.1 * np.random.default_rng(0).standard_normal(48000)
soundfile.write("x.opus", x, 48000, format="OGG", subtype="OPUS")
right = soundfile.read("x.opus", dtype="float32")[0]
wave = sphn.read_opus("x.opus")[0][0]
match = np.correlate(wave[:20000], right[5000:9000], "valid")
lag = int(match.argmax()) - 5000
print(f"written 48000; soundfile {len(right)}, sphn {len(wave)}, {lag} late")
difference = np.abs(wave[lag : lag + 40000] - right[:40000]).max()
print(f"largest difference once aligned: {difference:.0e}")
assert len(right) == 48000 and len(wave) > 48000 and lag > 300 and difference < 1e-3
EOF
