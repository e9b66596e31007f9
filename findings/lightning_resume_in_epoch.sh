#!/usr/bin/env bash
# Question: which data does a run see that is resumed from a checkpoint in the middle of an epoch?
# Expected: the rest of the epoch.
# Versions: lightning 2.6.6, torch 2.13.0; Python 3.11
# Seen: as many batches as were left, but from the start of the epoch: of 20 batches, stopped after 8, the resumed
#   run takes 0 to 11. 0 to 7 are seen twice, 12 to 19 never. A plain DataLoader has no state, and nothing is
#   said.
# Output seen:
#   before: 0 1 2 3 4 5 6 7
#   resumed: 0 1 2 3 4 5 6 7 8 9 10 11
# Why it matters: with long epochs and frequent preemption the end of the data is never trained on; a resumed run
#   is not the unbroken one.
# In Lathe: codec/training/data.py draws batches by the number of the step, so that a resumed run goes on bit for
#   bit.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install -q --disable-pip-version-check --no-compile torch==2.13.0 lightning==2.6.6
venv/bin/python - <<'EOF'
import logging
import warnings

warnings.simplefilter("ignore")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}


class Model(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer, self.seen = torch.nn.Linear(1, 1), []

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 1e-4)

    def training_step(self, batch, index):
        self.seen.append(int(batch))
        return self.layer(batch).square().mean()


data = torch.utils.data.DataLoader(torch.arange(20.0).reshape(20, 1))
first, second = Model(), Model()
saving = ModelCheckpoint(dirpath=".", filename="at8", every_n_train_steps=8)
lightning.Trainer(max_steps=8, callbacks=[saving], **quiet).fit(first, data)
lightning.Trainer(max_epochs=1, enable_checkpointing=False, **quiet).fit(second, data, ckpt_path="at8.ckpt")
print("before:", *first.seen)
print("resumed:", *second.seen)
assert first.seen == list(range(8)) and second.seen == list(range(12))
EOF
