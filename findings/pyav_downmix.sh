#!/usr/bin/env bash
# Question: what level has the mono downmix of PyAV's AudioResampler for a stereo signal with equal channels?
# Expected: the same level, the average of left and right, whatever the sample format.
# Versions: av 18.1.0 (FFmpeg 8.1), numpy 2.4.6; Python 3.11
# Seen: with integer samples in and out the level stays. With floating point on either side both channels are
#   weighted by 0.707 without normalisation: 3 dB louder, and sound of 0.9 exceeds full scale. Mono to stereo is 3
#   dB quieter in both. Downmixing 5.1 in float reaches three times full scale, and its LFE is dropped.
# Output seen:
#   s16p, peak 0.9: stereo to mono 0.9, mono to stereo 0.64, 5.1 to mono 0.9
#   fltp, peak 0.9: stereo to mono 1.27, mono to stereo 0.64, 5.1 to mono 3.07
# Why it matters: the same file is 3 dB apart in two loaders, or in one loader before and after a change of sample
#   format; loudness, clipping counts and level-dependent metrics follow.
# In Lathe: FFmpeg is never asked for other channels than the file has (codec/audio/packets.py); mid and side are
#   codec/audio/channels.py's.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile av==18.1.0 numpy==2.4.6
venv/bin/python - <<'EOF'
import av
import numpy as np

x = (0.9 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000)).astype(np.float32)


def peak(channels, layout, source, target, layout_out):
    samples = np.stack([x] * channels)
    if source == "s16p":
        samples = (samples * 32767).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples, format=source, layout=layout)
    frame.sample_rate = 48000
    resampler = av.AudioResampler(format=target, layout=layout_out, rate=48000)
    blocks = resampler.resample(frame) + resampler.resample(None)
    loudest = max(np.abs(block.to_ndarray().astype(float)).max() for block in blocks)
    return round(loudest / (32768 if target == "s16p" else 1), 2)


for source in ("s16p", "fltp"):
    mono, stereo = peak(2, "stereo", source, source, "mono"), peak(1, "mono", source, source, "stereo")
    surround = peak(6, "5.1", source, source, "mono")
    print(f"{source}, peak 0.9: stereo to mono {mono}, mono to stereo {stereo}, 5.1 to mono {surround}")
    assert mono == (0.9 if source == "s16p" else 1.27) and stereo == 0.64
    assert (surround > 3) == (source == "fltp")
EOF
