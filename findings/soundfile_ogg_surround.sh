#!/usr/bin/env bash
# Question: in which order does soundfile give the six channels of a 5.1 Ogg file?
# Expected: as for WAV and FLAC: left, right, centre, LFE, left and right surround; that is how write() took them.
# Versions: soundfile 0.14.0 (libsndfile 1.2.2), av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: libsndfile passes channels on in the order of Vorbis (left, centre, right, surrounds, LFE), both ways. Its
#   own round trip hides this; with any other tool on one side centre and right change places, and the last
#   becomes the LFE, which the encoder low-passes.
# Output seen:
#   x.flac: soundfile reads L R C LFE Ls Rs; FFmpeg reads L R C LFE Ls Rs
#   x.ogg: soundfile reads L R C LFE Ls Rs; FFmpeg reads L C R Rs LFE Ls
# Why it matters: multichannel data from Ogg is trained on with wrong channels, and a surround channel can lose
#   nearly all of its sound.
# In Lathe: codec/audio/ogg.py reads Ogg through FFmpeg's decoders, which give the order of WAV.
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

names = {500: "L", 700: "R", 900: "C", 60: "LFE", 1100: "Ls", 1300: "Rs"}
t = np.arange(48000) / 48000
x = np.stack([0.3 * np.sin(2 * np.pi * f * t) for f in names], 1)


def channels(waves):
    tones = [int(np.abs(np.fft.rfft(wave)).argmax() * 48000 / len(wave)) for wave in waves]
    return " ".join(names[min(names, key=lambda f: abs(f - tone))] for tone in tones)


seen = {}
for name, subtype in (("x.flac", "PCM_16"), ("x.ogg", "VORBIS")):
    soundfile.write(name, x, 48000, subtype=subtype)
    with av.open(name) as container:
        other = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1)
    if name == "x.flac":
        other = other.reshape(-1, 6).T
    seen[name] = channels(soundfile.read(name)[0].T), channels(other)
    print(f"{name}: soundfile reads {seen[name][0]}; FFmpeg reads {seen[name][1]}")
assert seen["x.flac"] == ("L R C LFE Ls Rs",) * 2
assert seen["x.ogg"][0] == "L R C LFE Ls Rs" and seen["x.ogg"][1].startswith("L C R")
EOF
