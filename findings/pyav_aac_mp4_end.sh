#!/usr/bin/env bash
# Question: how many samples does FFmpeg decode of an AAC file in MP4 that FFmpeg wrote?
# Expected: as many as went in: the track states its duration in samples, and the delay at the start is cut off
#   right.
# Versions: av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: whole frames of 1,024 samples: up to 1,023 too many at the end. The stated duration, with which one could
#   cut, is rounded to milliseconds by the edit list: off by up to 22 samples of 44.1 kHz, either way.
# Output seen:
#   44100 in, 45056 decoded, 44100 stated, lag 0
#   44400 in, 45056 decoded, 44409 stated, lag 0
#   100001 in, 100352 decoded, 99975 stated, lag 0
# Why it matters: a decoded corpus is not as long as its source; pairs of source and decode need cutting, and the
#   stated duration does not do to the sample.
# In Lathe: codec/audio/ffmpeg.py cuts at the stated end of the track and knows that it is rounded.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile av==18.1.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import av
import numpy as np

for samples, decoded_as, stated_as in ((44100, 45056, 44100), (44400, 45056, 44409), (100001, 100352, 99975)):
    x = 0.3 * np.sin(2 * np.pi * 440 * np.arange(samples) / 44100)
    with av.open("x.m4a", "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        frame = av.AudioFrame.from_ndarray(x[None].astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open("x.m4a") as container:
        stated = container.streams.audio[0].duration
        y = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    at = samples // 2
    lag = int(np.argmax([np.dot(x[at : at + 2000], y[at + k : at + k + 2000]) for k in range(-50, 51)])) - 50
    print(f"{samples} in, {len(y)} decoded, {stated} stated, lag {lag}")
    assert (len(y), stated, lag) == (decoded_as, stated_as, 0)
EOF
