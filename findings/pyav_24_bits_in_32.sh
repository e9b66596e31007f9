#!/usr/bin/env bash
# Question: does FFmpeg read a WAV file whose 32-bit samples have 24 valid bits (WAVE_FORMAT_EXTENSIBLE, PCM)?
# Expected: as integers, with the lowest byte zero; the header says PCM.
# Versions: av 18.1.0 (FFmpeg 8.1), soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: FFmpeg takes it for a floating-point format (pcm_f24le): a sine becomes values of up to 1e31. libsndfile
#   reads it to the sample.
# Output seen:
#   libsndfile: largest error 0.0; FFmpeg: pcm_f24le, float32, peak 2.0e+31
# Why it matters: field recorders write such files. A plain "compressed by FFmpeg, or all by FFmpeg" is a wrong
#   rule for a reader.
# In Lathe: codec/audio/pcm_containers.py sends WAV to libsndfile.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import struct

import av
import numpy as np
import soundfile

x = (0.5 * np.sin(2 * np.pi * 440 * np.arange(16000) / 16000) * (2**23 - 1)).astype(np.int32)
data = (x << 8).astype("<i4").tobytes()
pcm = struct.pack("<H", 1) + bytes.fromhex("000000001000800000aa00389b71")  # KSDATAFORMAT_SUBTYPE_PCM
fmt = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 16000, 64000, 4, 32, 22, 24, 4) + pcm
body = b"WAVEfmt " + struct.pack("<I", len(fmt)) + fmt + b"data" + struct.pack("<I", len(data)) + data
open("x.wav", "wb").write(b"RIFF" + struct.pack("<I", len(body)) + body)

right = np.abs(soundfile.read("x.wav")[0] - x / 2**23).max()
with av.open("x.wav") as container:
    codec = container.streams.audio[0].codec_context.name
    frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
peak = max(float(np.nanmax(np.abs(frame))) for frame in frames)
print(f"libsndfile: largest error {right}; FFmpeg: {codec}, {frames[0].dtype}, peak {peak:.1e}")
assert right == 0 and codec == "pcm_f24le" and peak > 1e20
EOF
