#!/usr/bin/env bash
# Question: does an APEv2 tag at the end of an MP3 change what FFmpeg decodes?
# Expected: no; a tag is no sound, LAME's tag in front says how many samples there are.
# Versions: av 18.1.0 (FFmpeg 8.1), soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: part of the tag is handed to the decoder as a packet. The padding at the end is then cut from that packet
#   and not from the last of the sound, so a short file comes out longer; and PyAV raises InvalidDataError unless
#   the caller goes on. libsndfile gives the right count.
# Output seen:
#   without tag (20000, []), with tag (20783, ['InvalidDataError']); libsndfile with tag 20000
# Why it matters: taggers for ReplayGain write such tags. A loop that stops at the first error calls a good file
#   damaged; one that goes on gets padding as sound.
# In Lathe: codec/audio/tag_blocks.py finds the tags at the end, and the decoder sees the file without them.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import logging
import struct

import av
import numpy as np
import soundfile

x = 0.3 * np.sin(2 * np.pi * 440 * np.arange(20000) / 44100)
with av.open("x.mp3", "w") as container:
    stream = container.add_stream("libmp3lame", rate=44100, layout="mono")
    frame = av.AudioFrame.from_ndarray(x[None].astype(np.float32), format="fltp", layout="mono")
    frame.sample_rate = 44100
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))
item = struct.pack("<II", 400, 0) + b"Title\0" + b"x" * 400
footer = b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, 0) + bytes(8)
open("y.mp3", "wb").write(open("x.mp3", "rb").read() + item + footer)


def decode(path):
    samples, errors = 0, []
    with av.open(path) as container:
        for packet in container.demux(audio=0):
            try:
                samples += sum(frame.samples for frame in packet.decode())
            except av.error.InvalidDataError as error:
                errors.append(type(error).__name__)
    return samples, errors


plain, tagged = decode("x.mp3"), decode("y.mp3")
print(f"without tag {plain}, with tag {tagged}; libsndfile with tag {soundfile.info('y.mp3').frames}")
assert plain == (20000, []) and soundfile.info("y.mp3").frames == 20000
assert tagged[0] > 20000 and tagged[1] == ["InvalidDataError"]
EOF
