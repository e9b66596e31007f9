#!/usr/bin/env bash
# Question: does Opus sound the same after its packets were copied from Ogg into another container by FFmpeg?
# Expected: yes, sample by sample; the packets are the same, and each container has a place for delay, gain and
#   end.
# Versions: av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: only in WebM. MPEG-TS loses the header's output gain (here 6 dB; the level is wrong by all of it), is 312
#   samples late and 960 longer; MP4 keeps gain and start, and is 648 longer.
# Output seen:
#   webm: level +0.0 dB, 0 samples late, 0 longer
#   mp4: level +0.0 dB, 0 samples late, 648 longer
#   mpegts: level -6.0 dB, 312 samples late, 960 longer
# Why it matters: segments of a stream differ in level, time and length from the recording that was made of them;
#   a codec comparison with such a file has a delay that SI-SDR and mel distance do not forgive.
# In Lathe: MP4's end is cut in codec/audio/ffmpeg.py; MPEG-TS is not corrected.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile av==18.1.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import av
import numpy as np

rng = np.random.default_rng(0)
x = 0.05 * rng.standard_normal(96000).astype(np.float32)
with av.open("x.opus", "w", format="ogg") as container:
    stream = container.add_stream("libopus", rate=48000, layout="mono")
    stream.bit_rate = 96000
    frame = av.AudioFrame.from_ndarray(x[None], format="fltp", layout="mono")
    frame.sample_rate = 48000
    container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def checksum(page):  # of an Ogg page
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = ((value << 1) ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def decode(path):
    with av.open(path) as container:
        return np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])


data = bytearray(open("x.opus", "rb").read())
head, end = data.index(b"OpusHead"), 27 + data[26] + sum(data[27 : 27 + data[26]])
data[head + 16 : head + 18] = (6 * 256).to_bytes(2, "little")  # output gain in 1/256 dB
data[22:26] = bytes(4)
data[22:26] = checksum(data[:end]).to_bytes(4, "little")
open("x.opus", "wb").write(data)
ogg = decode("x.opus")
for form, expected in (("webm", (0, 0, 0)), ("mp4", (0, 0, 648)), ("mpegts", (-6, 312, 960))):
    with av.open("x.opus") as source, av.open("y", "w", format=form) as target:
        copy = target.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                target.mux(packet)
    y, part = decode("y"), ogg[10000:20000]
    match = np.correlate(y[:30000], part, "valid")
    lag = int(match.argmax())
    gain = 20 * np.log10(match[lag] / np.dot(part, part))
    print(f"{form}: level {gain:+.1f} dB, {lag - 10000} samples late, {len(y) - len(ogg)} longer")
    assert (round(gain), lag - 10000, len(y) - len(ogg)) == expected
EOF
