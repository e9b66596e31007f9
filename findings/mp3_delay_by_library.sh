#!/usr/bin/env bash
# Question: do the readers of MP3 in Python agree on where the sound starts and how long it is?
# Expected: yes; LAME's tag states delay and padding, and decoders have cut them off for twenty years.
# Versions: soundfile 0.14.0, miniaudio 1.71, av 18.1.0, pedalboard 0.9.26, sphn 0.2.1, numpy 2.4.6; Python 3.11
# Seen: soundfile, miniaudio and PyAV agree to the sample. pedalboard and sphn leave the encoder's and the
#   decoder's delay of 1,105 samples in front and the padding behind.
# Output seen:
#   soundfile: 44100 samples, 0 late
#   miniaudio: 44100 samples, 0 late
#   PyAV: 44100 samples, 0 late
#   pedalboard: 46080 samples, 1105 late
#   sphn: 46080 samples, 1105 late
# Why it matters: augmentation through one library and references through another are 25 ms apart: enough to ruin
#   SI-SDR, mel distance and any waveform loss, and hard to hear.
# In Lathe: codec/audio/ reads MP3 through PyAV or libsndfile only.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile soundfile==0.14.0 miniaudio==1.71 av==18.1.0 pedalboard==0.9.26 sphn==0.2.1 numpy==2.4.6
venv/bin/python - <<'EOF'
import av
import miniaudio
import numpy as np
import soundfile
import sphn
from pedalboard.io import AudioFile

x = 0.05 * np.random.default_rng(0).standard_normal(44100)
x[2000] = 0.9
soundfile.write("x.mp3", x, 44100, bitrate_mode="CONSTANT", compression_level=0.2)
waves = {"soundfile": soundfile.read("x.mp3")[0]}
options = {"output_format": miniaudio.SampleFormat.FLOAT32, "nchannels": 1, "sample_rate": 44100}
waves["miniaudio"] = np.array(miniaudio.decode_file("x.mp3", **options).samples)
with av.open("x.mp3") as container:
    waves["PyAV"] = np.concatenate([frame.to_ndarray()[0] for frame in container.decode(audio=0)])
with AudioFile("x.mp3") as file:
    waves["pedalboard"] = file.read(file.frames)[0]
waves["sphn"] = sphn.read("x.mp3")[0][0]
for name, wave in waves.items():
    late = int(np.abs(wave).argmax()) - 2000
    print(f"{name}: {len(wave)} samples, {late} late")
    assert (len(wave), late) == ((46080, 1105) if name in ("pedalboard", "sphn") else (44100, 0))
EOF
