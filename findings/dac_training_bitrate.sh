#!/usr/bin/env bash
# Question: with how many codebooks does DAC's residual quantizer quantise in training when n_quantizers is given?
# Expected: with that many, as in eval mode.
# Versions: descript-audio-codec 1.0.0, torch 2.13.0; Python 3.11
# Seen: with all: in training mode the argument is replaced by the dropout's own draw, which without dropout means
#   all. Nothing is raised.
# Output seen:
#   training False: one codebook gives the latent of four: False
#   training True: one codebook gives the latent of four: True
# Why it matters: fine-tuning at one bit rate trains at the full one, and losses logged in training "at n
#   codebooks" are those of all.
# In Lathe: the number of codebooks is an argument that holds in both modes (codec/model/).
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
from dac.nn.quantize import ResidualVectorQuantize

torch.manual_seed(0)
quantizer = ResidualVectorQuantize(input_dim=16, n_codebooks=4, codebook_size=64, codebook_dim=8)
latent = torch.randn(2, 16, 50)
same = {}
for mode in (False, True):
    quantizer.train(mode)
    one, four = (quantizer(latent, n_quantizers=n)[0] for n in (1, 4))
    same[mode] = torch.equal(one, four)
    print(f"training {mode}: one codebook gives the latent of four: {same[mode]}")
assert same == {False: False, True: True}
EOF
