#!/usr/bin/env bash
# Question: does FFmpeg decode all of an ALAC file in CAF that libsndfile wrote?
# Expected: yes, or an error; libsndfile reads it to the sample.
# Versions: av 18.1.0 (FFmpeg 8.1), soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: where the last packet is not full, some samples of the end are missing, without an error: 384 of 16,000,
#   956 of 44,100, none of 10,000. What is there is right.
# Output seen:
#   10000 written: libsndfile 10000, FFmpeg 10000
#   16000 written: libsndfile 16000, FFmpeg 15616
#   44100 written: libsndfile 44100, FFmpeg 43144
# Why it matters: of a lossless archive the last 20 ms of some files go, and the count that FFmpeg states goes
#   with them.
# In Lathe: codec/audio/pcm_containers.py sends CAF to libsndfile.
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
for samples, missing in ((10000, 0), (16000, 384), (44100, 956)):
    x = (3000 * rng.standard_normal(samples)).astype(np.int16)
    soundfile.write("x.caf", x, 44100, subtype="ALAC_16")
    with av.open("x.caf") as container:
        y = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    back = soundfile.read("x.caf", dtype="int16")[0]
    print(f"{samples} written: libsndfile {len(back)}, FFmpeg {len(y)}")
    assert np.array_equal(back, x) and np.array_equal(y, x[: len(y)]) and samples - len(y) == missing
EOF
