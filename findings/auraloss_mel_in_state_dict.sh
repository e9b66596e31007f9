#!/usr/bin/env bash
# Question: does an auraloss loss that is a member of a module change that module's checkpoint?
# Expected: no; a loss has no state.
# Versions: auraloss 0.4.0, librosa 0.11.0, torch 2.13.0; Python 3.11
# Seen: with a mel scale its filter bank is registered as a buffer that is saved. A model with another sample
#   rate, FFT size or number of mels, or without the loss, does not load the checkpoint (strict), though all its
#   weights fit.
# Output seen:
#   saved: {'layer.weight': (4, 4), 'layer.bias': (4,), 'loss.fb': (1, 80, 513)}
#   cannot be loaded with: ['plain STFT loss', 'mel loss, 64 bands']
# Why it matters: losses are what one changes between stages of training; each change breaks resuming and the
#   export of the model.
# In Lathe: codec/losses/ keeps losses outside the checkpointed modules.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 auraloss==0.4.0 librosa==0.11.0
venv/bin/python - <<'EOF'
import warnings

warnings.simplefilter("ignore")
import auraloss
import torch


class Model(torch.nn.Module):
    def __init__(self, loss):
        super().__init__()
        self.layer, self.loss = torch.nn.Linear(4, 4), loss


saved = Model(auraloss.freq.MelSTFTLoss(16000, n_mels=80)).state_dict()
print("saved:", {name: tuple(value.shape) for name, value in saved.items()})
refused = []
for name, loss in (
    ("plain STFT loss", auraloss.freq.STFTLoss()),
    ("mel loss, 64 bands", auraloss.freq.MelSTFTLoss(16000, n_mels=64)),
    ("mel loss, 80 bands", auraloss.freq.MelSTFTLoss(16000, n_mels=80)),
):
    try:
        Model(loss).load_state_dict(saved)
    except RuntimeError:
        refused.append(name)
print("cannot be loaded with:", refused)
assert refused == ["plain STFT loss", "mel loss, 64 bands"]
EOF
