#!/usr/bin/env bash
# Question: does the padding mask of transformers' EncodecModel keep padding out of the scale by which audio is divided?
# Expected: yes; its documentation calls it a "mask to avoid computing scaling factors on padding token indices".
# Versions: transformers 5.24.0, torch 2.13.0; Python 3.11
# Seen: no: padding is set to zero and then counted. With the settings of the 48 kHz model, whose input is normalised in
#   chunks of a second, noise of one level gets another scale in a batch than alone, as much lower as its chunk has
#   padding, so the networks see it louder. The last chunk of every sound is such a chunk.
# Output seen:
#   0.50 s alone: scale 0.100; padded to 1 s, with its mask: 0.071
#   0.25 s alone: scale 0.101; padded to 1 s, with its mask: 0.050
#   0.10 s alone: scale 0.101; padded to 1 s, with its mask: 0.032
# Why it matters: codes of the end of a sound depend on what it was batched with and differ from those that encodec
#   itself gives, whose last chunk is not padded.
# In Lathe: codec/transformers/modeling.py has no scale, and a test compares each item of a batch with itself alone.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 numpy==2.4.6 transformers==5.24.0
venv/bin/python - <<'EOF'
import math

import torch
from transformers import EncodecConfig, EncodecModel

torch.manual_seed(0)
config = EncodecConfig(
    sampling_rate=48000, audio_channels=2, normalize=True, chunk_length_s=1.0, overlap=0.01, use_causal_conv=False,
    norm_type="time_group_norm", target_bandwidths=[3.0], num_filters=2, hidden_size=8, codebook_size=16,
)  # fmt: skip
model = EncodecModel(config).eval()
for seconds in (0.5, 0.25, 0.1):
    samples = round(48000 * seconds)
    wave = torch.zeros(1, 2, 48000)
    wave[..., :samples] = 0.1 * torch.randn(1, 1, samples)
    mask = torch.zeros(1, 48000, dtype=torch.bool)
    mask[:, :samples] = True
    with torch.no_grad():
        alone = float(model.encode(wave[..., :samples]).audio_scales[0])
        padded = float(model.encode(wave, mask).audio_scales[0])
    print(f"{seconds:.2f} s alone: scale {alone:.3f}; padded to 1 s, with its mask: {padded:.3f}")
    assert abs(padded / alone - math.sqrt(seconds)) < 0.01
EOF
