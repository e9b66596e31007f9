#!/usr/bin/env bash
# Question: how long is a short Ogg Vorbis clip for FFmpeg?
# Expected: as long as the last page says, as for libsndfile, and as FFmpeg does it for longer files.
# Versions: av 18.1.0 (FFmpeg 8.1), soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: where all sound stands on one page, the padding of the last block is not cut off: up to 2.4 % longer here.
#   From about half a second on, with two pages and more, the end is right. The samples before the end agree.
# Output seen:
#   1000 written: libsndfile 1000, FFmpeg 1024
#   5000 written: libsndfile 5000, FFmpeg 5120
#   10000 written: libsndfile 10000, FFmpeg 10112
#   30001 written: libsndfile 30001, FFmpeg 30001
#   100000 written: libsndfile 100000, FFmpeg 100000
# Why it matters: corpora of short sounds (drums, keyword spotting, notes) come out longer through FFmpeg than
#   through libsndfile, so tables of lengths made by one do not fit arrays packed by the other.
# In Lathe: codec/audio/ogg.py reads the positions on the pages by itself and cuts there.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile av==18.1.0 soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import av
import numpy as np
import soundfile

rng = np.random.default_rng(0)
for samples, longer in ((1000, 24), (5000, 120), (10000, 112), (30001, 0), (100000, 0)):
    soundfile.write("x.ogg", 0.1 * rng.standard_normal(samples), 44100, subtype="VORBIS")
    with av.open("x.ogg") as container:
        y = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    x = soundfile.read("x.ogg", dtype="float32")[0]
    print(f"{samples} written: libsndfile {len(x)}, FFmpeg {len(y)}")
    assert len(x) == samples and len(y) - samples == longer
    assert np.abs(y[:samples] - x).max() < 1e-5
EOF
