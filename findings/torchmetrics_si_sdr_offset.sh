#!/usr/bin/env bash
# Question: does SI-SDR take the mean off, as its paper and most code do?
# Expected: yes; torchmetrics' two scale-invariant ratios and auraloss give one number.
# Versions: torchmetrics 1.9.0, auraloss 0.4.0, torch 2.13.0; Python 3.11
# Seen: torchmetrics' scale_invariant_signal_distortion_ratio does not (zero_mean=False), its
#   scale_invariant_signal_noise_ratio and auraloss' SISDRLoss do: a DC offset of 0.1 in the decode is 0 dB or 20
#   dB. The same offset in both lifts the first to 23 dB and leaves the others.
# Output seen:
#   no offset: torchmetrics SI-SDR 20.0, SI-SNR 20.0, auraloss SI-SDR 20.0 dB
#   in the decode: torchmetrics SI-SDR -0.0, SI-SNR 20.0, auraloss SI-SDR 20.0 dB
#   in both: torchmetrics SI-SDR 23.0, SI-SNR 20.0, auraloss SI-SDR 20.0 dB
# Why it matters: published SI-SDR of codecs whose last layer has a bias, or of recordings with an offset, are not
#   comparable.
# In Lathe: eval/metrics/functions.py takes the means off, and says so.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 torchmetrics==1.9.0 auraloss==0.4.0
venv/bin/python - <<'EOF'
import warnings

warnings.simplefilter("ignore")
import auraloss
import torch
from torchmetrics.functional.audio import scale_invariant_signal_distortion_ratio as si_sdr
from torchmetrics.functional.audio import scale_invariant_signal_noise_ratio as si_snr

torch.manual_seed(0)
x = 0.1 * torch.randn(32000)
x -= x.mean()
y = x + 0.01 * torch.randn(32000)
for name, offset in (("no offset", (0, 0)), ("in the decode", (0, 0.1)), ("in both", (0.1, 0.1))):
    a, b = x + offset[0], y + offset[1]
    scores = si_sdr(b, a).item(), si_snr(b, a).item(), -auraloss.time.SISDRLoss()(b[None, None], a[None, None]).item()
    print("{}: torchmetrics SI-SDR {:.1f}, SI-SNR {:.1f}, auraloss SI-SDR {:.1f} dB".format(name, *scores))
    assert abs(scores[1] - 20) < 0.1 and abs(scores[2] - 20) < 0.1
    assert (abs(scores[0] - 20) < 0.1) == (name == "no offset")
EOF
