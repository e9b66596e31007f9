#!/usr/bin/env bash
# Question: how long is what DAC decodes from the latent of a whole number of frames?
# Expected: as long as the input: frames times the product of the strides.
# Versions: descript-audio-codec 1.0.0, torch 2.13.0; Python 3.11
# Seen: with the strides of its 16 and 24 kHz models, 2, 4, 5 and 8, 8 samples less, whatever the length: the
#   transposed convolution of stride 5 loses one, and what follows multiplies it. With even strides it is exact.
# Output seen:
#   strides [2, 4, 8, 8]: 5120 samples, 10 frames, 5120 decoded
#   strides [2, 4, 8, 8]: 25600 samples, 50 frames, 25600 decoded
#   strides [2, 4, 5, 8]: 3200 samples, 10 frames, 3192 decoded
#   strides [2, 4, 5, 8]: 16000 samples, 50 frames, 15992 decoded
# Why it matters: streams of frames do not fit together, chunks lose samples at each border, and a decode is to be
#   padded before any metric.
# In Lathe: strides play no part in lengths here: an MDCT frame is its hop, and the file states its number of
#   samples.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 numpy==2.4.6 einops==0.8.2 tqdm==4.70.1
venv/bin/pip install -q --disable-pip-version-check --no-compile --no-deps descript-audio-codec==1.0.0
venv/bin/python - <<'EOF'
import sys
import warnings
from unittest import mock

for name in ("torchaudio", "audiotools", "audiotools.ml", "argbind"):  # for files and experiments alone
    sys.modules[name] = mock.MagicMock()
warnings.simplefilter("ignore")
import torch

sys.modules["audiotools.ml"].BaseModel = torch.nn.Module
from dac.model.dac import DAC

for strides, missing in (([2, 4, 8, 8], 0), ([2, 4, 5, 8], 8)):
    sizes = {"encoder_dim": 4, "decoder_dim": 32, "n_codebooks": 2, "codebook_size": 64, "sample_rate": 16000}
    model = DAC(encoder_rates=strides, decoder_rates=strides[::-1], **sizes).eval()
    hop = int(torch.tensor(strides).prod())
    for frames in (10, 50):
        with torch.no_grad():
            latent = model.encode(torch.randn(1, 1, frames * hop))[0]
            decoded = model.decode(latent).shape[-1]
        print(f"strides {strides}: {frames * hop} samples, {latent.shape[-1]} frames, {decoded} decoded")
        assert latent.shape[-1] == frames and frames * hop - decoded == missing
EOF
