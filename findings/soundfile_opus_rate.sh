#!/usr/bin/env bash
# Question: at which sample rate does soundfile read an Ogg Opus file?
# Expected: 48 kHz, at which Opus decodes; RFC 7845 calls the rate in the header that of the encoder's input, for
#   information only.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: libsndfile decodes at the header's rate, or the next that Opus has. 0, which the RFC defines as
#   unspecified, becomes 8 kHz, so all above 4 kHz is gone. The packets are the same full-band packets in all
#   cases.
# Output seen:
#   header says 48000: libsndfile 48000 Hz, 48000 samples; FFmpeg 48000 Hz
#   header says 44100: libsndfile 48000 Hz, 48000 samples; FFmpeg 48000 Hz
#   header says 16000: libsndfile 16000 Hz, 16000 samples; FFmpeg 48000 Hz
#   header says     0: libsndfile 8000 Hz, 8000 samples; FFmpeg 48000 Hz
# Why it matters: recordings by tools that leave the rate unspecified are packed as telephone speech, and nothing
#   is raised.
# In Lathe: codec/audio/ogg.py always decodes Opus at 48 kHz.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile soundfile==0.14.0 av==18.1.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import av
import numpy as np
import soundfile


def checksum(page):  # of an Ogg page
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = ((value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


noise = 0.1 * np.random.default_rng(0).standard_normal(48000)
soundfile.write("x.opus", noise, 48000, format="OGG", subtype="OPUS")
data = bytearray(open("x.opus", "rb").read())
head = data.index(b"OpusHead")
end = 27 + data[26] + sum(data[27 : 27 + data[26]])  # of the first page
for stated, seen in ((48000, 48000), (44100, 48000), (16000, 16000), (0, 8000)):
    data[head + 12 : head + 16] = stated.to_bytes(4, "little")
    data[22:26] = bytes(4)
    data[22:26] = checksum(data[:end]).to_bytes(4, "little")
    open("y.opus", "wb").write(data)
    x, rate = soundfile.read("y.opus")
    with av.open("y.opus") as container:
        other = container.streams.audio[0].rate
    print(f"header says {stated:5}: libsndfile {rate} Hz, {len(x)} samples; FFmpeg {other} Hz")
    assert (rate, other) == (seen, 48000)
EOF
