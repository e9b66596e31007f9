#!/usr/bin/env bash
# Question: does reading an MP3 in blocks with soundfile give the samples that reading it whole gives?
# Expected: the same samples; the blocks follow one another and nothing is sought.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), numpy 2.4.6; Python 3.11
# Seen: python-soundfile sets the file position again after each read. After such a seek the decoder lacks the
#   bits that earlier frames put into the reservoir, so the start of a block can be damaged, with an error as
#   large as the sound. The length is right and nothing is raised. A constant bit rate with bits to spare shows
#   nothing of it.
# Output seen:
#   CONSTANT: 524288 samples in blocks, 524288 whole, largest difference 0.00
#   VARIABLE: 524288 samples in blocks, 524288 whole, largest difference 0.54
# Why it matters: packing training data block by block, in constant memory, writes damaged audio at each block
#   boundary of VBR MP3; random crops by seek() meet the same.
# In Lathe: codec/audio/libsndfile.py reads such files forward only, through a SoundFile that says it is not
#   seekable.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile soundfile==0.14.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import numpy as np
import soundfile

rng = np.random.default_rng(0)
block, rate = 65536, 44100
x = 1e-3 * rng.standard_normal(8 * block)
t = np.arange(8000) / rate
for k in range(1, 8):  # a loud chord across each block boundary
    x[k * block - 1500 :][:8000] += 0.1 * sum(np.sin(2 * np.pi * f * t) for f in (310, 620, 930, 1240, 2170, 3100))
for mode, level in (("CONSTANT", 0.5), ("VARIABLE", 0.9)):
    soundfile.write("x.mp3", x, rate, bitrate_mode=mode, compression_level=level)
    whole = soundfile.read("x.mp3")[0]
    pieces = np.concatenate(list(soundfile.blocks("x.mp3", block)))
    error = np.abs(pieces - whole).max()
    print(f"{mode}: {len(pieces)} samples in blocks, {len(whole)} whole, largest difference {error:.2f}")
    assert len(pieces) == len(whole) == len(x)
    assert (error > 0.2) == (mode == "VARIABLE"), error
EOF
