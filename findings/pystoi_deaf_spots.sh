#!/usr/bin/env bash
# Question: which errors does STOI (pystoi) not see?
# Expected: loud noise in the pauses or in the top of the band costs something; the score falls as the error
#   grows.
# Versions: pystoi 0.4.1, pesq 0.0.4, numpy 2.4.6, scipy 1.17.1; Python 3.11
# Seen: noise that fills all pauses, 5 dB below the speech overall, leaves STOI and ESTOI at 1.000, since frames
#   where the reference is 40 dB below its loudest are taken out of both. Noise above 5.2 kHz that is 11 dB louder
#   than the speech does, too, since both are resampled to 10 kHz first. PESQ sees both.
# Output seen:
#   noise in the pauses: SNR 5 dB, STOI 1.000, ESTOI 1.000, PESQ-WB 1.29
#   noise in the band above 5.2 kHz: SNR -11 dB, STOI 1.000, ESTOI 1.000, PESQ-WB 1.03
#   noise in all: SNR 14 dB, STOI 0.979, ESTOI 0.677, PESQ-WB 1.41
# Why it matters: a codec that makes noise of silence, or of the upper band, ranks first by STOI and ESTOI;
#   neither may select alone.
# In Lathe: reports show PESQ-WB and ViSQOL beside ESTOI (eval/pages/evaluation_page.py), and STOI alone ranks nothing.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile pystoi==0.4.1 pesq==0.0.4 numpy==2.4.6 scipy==1.17.1
venv/bin/python - <<'EOF'
import numpy as np
from pesq import pesq
from pystoi import stoi
from scipy.signal import butter, sosfiltfilt

rate, rng = 16000, np.random.default_rng(0)
t = np.arange(6 * rate) / rate
pitch = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * t)) / rate
talking = np.sin(2 * np.pi * 1.1 * t) > -0.3
x = 0.1 * (sum(np.sin(k * pitch) / k for k in range(1, 40)) + 0.1 * rng.standard_normal(len(t)))
x *= talking * np.abs(np.sin(2 * np.pi * 3 * t))
noise = rng.standard_normal(len(t))
pause = np.convolve(talking, np.ones(800), "same") < 1
high = sosfiltfilt(butter(10, 5200, "high", fs=rate, output="sos"), 0.3 * noise)
for name, error in (("the pauses", 0.05 * noise * pause), ("the band above 5.2 kHz", high), ("all", 0.01 * noise)):
    y = x + error
    snr = 10 * np.log10(np.sum(x**2) / np.sum(error**2))
    scores = stoi(x, y, rate), stoi(x, y, rate, extended=True), pesq(rate, x, y, "wb")
    print("noise in {}: SNR {:.0f} dB, STOI {:.3f}, ESTOI {:.3f}, PESQ-WB {:.2f}".format(name, snr, *scores))
    assert scores[2] < 2
    assert (min(scores[:2]) > 0.9999) == (name != "all")
EOF
