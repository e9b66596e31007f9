#!/usr/bin/env bash
# Question: how many batches does Trainer(max_steps=10) train on when generator and discriminator have an
#   optimizer each?
# Expected: 10; a step is a batch.
# Versions: lightning 2.6.6, torch 2.13.0; Python 3.11
# Seen: 5: with manual optimization each optimizer's step counts, in max_steps and in global_step.
# Output seen:
#   1 optimizers: 10 batches, global_step 10
#   2 optimizers: 5 batches, global_step 10
# Why it matters: an adversarial recipe trains half as long as the metric-only one beside it, with the same number
#   in both files.
# In Lathe: codec/training/module.py counts steps by itself.
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

quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


class Codec(lightning.LightningModule):
    def __init__(self, optimizers):
        super().__init__()
        self.automatic_optimization = False
        self.parts = torch.nn.ModuleList(torch.nn.Linear(1, 1) for _ in range(optimizers))
        self.batches = 0

    def configure_optimizers(self):
        return [torch.optim.SGD(part.parameters(), 0.01) for part in self.parts]

    def training_step(self, batch, index):
        self.batches += 1
        optimizers = self.optimizers()
        for part, optimizer in zip(self.parts, optimizers if isinstance(optimizers, list) else [optimizers]):
            optimizer.zero_grad()
            self.manual_backward(part(batch).square().mean())
            optimizer.step()


seen = []
for optimizers in (1, 2):
    codec = Codec(optimizers)
    trainer = lightning.Trainer(max_steps=10, accelerator="cpu", **quiet)
    trainer.fit(codec, torch.utils.data.DataLoader(torch.randn(100, 1)))
    seen.append(codec.batches)
    print(f"{optimizers} optimizers: {codec.batches} batches, global_step {trainer.global_step}")
assert seen == [10, 5]
EOF
