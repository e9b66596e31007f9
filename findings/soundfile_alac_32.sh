#!/usr/bin/env bash
# Question: is ALAC with 32 bits, written and read by soundfile, lossless?
# Expected: yes for any samples, as ALAC is.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: yes for quiet noise; loud noise, which ALAC stores as it is since it cannot shrink it, comes back as other
#   noise: each sample is wrong, the error is louder than the sound. FFmpeg reads the same file right, so what is
#   written is right.
# Output seen:
#   level 0.1: 0% of samples wrong through libsndfile, 0% through FFmpeg
#   level 0.3: 96% of samples wrong through libsndfile, 0% through FFmpeg
# Why it matters: a format chosen for being lossless damages applause, cymbals or clipped sound, and only the loud
#   part.
# In Lathe: such files go to FFmpeg, others with ALAC in CAF to libsndfile (codec/audio/pcm_containers.py).
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

rng = np.random.default_rng(0)
for level in (0.1, 0.3):
    x = (np.clip(level * rng.standard_normal(60000), -1, 0.999) * 2**31).astype(np.int32)
    soundfile.write("x.caf", x, 44100, subtype="ALAC_32")
    back = soundfile.read("x.caf", dtype="int32")[0]
    with av.open("x.caf") as container:
        other = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
    wrong, wrong_ffmpeg = (back != x).mean(), (other != x[: len(other)]).mean()
    noise = 10 * np.log10(np.mean((back - x.astype(float)) ** 2 + 1e-9) / np.mean(x.astype(float) ** 2))
    print(f"level {level}: {wrong:.0%} of samples wrong through libsndfile, {wrong_ffmpeg:.0%} through FFmpeg")
    assert wrong_ffmpeg == 0
    assert wrong == 0 if level == 0.1 else wrong > 0.9 and noise > 0
EOF
