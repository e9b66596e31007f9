"""The best validation so far: its weights become the run's model, and it decides on early stopping and divergence."""

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.config import Recipe
from codec.dataset.packed import DatasetSummary
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model, save_weights
from codec.training.metrics_log import CRITERION_CHANGED
from codec.training.module import CodecModule

DIVERGED = 3.0
"""A validation loss so many times that of the first validation is no noise: the codec starts as a fitted transform
codec, from which training goes down."""
DIVERGED_FROM_START = 30.0
"""Likewise, relative to the first batch, whose level can be a tenth of the average."""


class BestModelCheckpoint(Callback):
    """Saves the averaged weights as the run's model whenever the validation loss is the lowest so far.

    Ends the run where the loss diverged, and stops it after ``train.patience`` validations without improvement.

    Args:
        folder: of the model.
        recipe: of the run.
        material: what it trains on.
        criterion: digest of what the validation loss depends on beside the weights: losses, clips, crops. A best value
            of another criterion counts no longer.
    """

    state_key = "best"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(self, folder: Path, recipe: Recipe, material: DatasetSummary, criterion: str):
        self.folder, self.recipe, self.material, self.criterion = folder, recipe, material, criterion
        self.best, self.best_step = math.inf, 0
        self.first: float | None = None
        self.without_improvement = 0
        self.judged_anew = False

    @property
    def out_of_patience(self) -> bool:
        return 0 < self.recipe.train.patience <= self.without_improvement

    def state_dict(self) -> dict[str, Any]:
        names = ("best", "best_step", "first", "without_improvement", "criterion")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.judged_anew = state["criterion"] != self.criterion
        if not self.judged_anew:
            self.best, self.best_step = state["best"], state["best_step"]
            self.first, self.without_improvement = state["first"], state["without_improvement"]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if self.judged_anew:
            module.first_loss = None
            if trainer.should_stop:  # a run that is over is judged once more
                module.validated = None
            split, term = CRITERION_CHANGED
            module.write(split, {term: float(module.step + (not trainer.should_stop))})
        if self.out_of_patience:
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        value = module.validation_loss
        self._check(value, module)
        if value < self.best:
            self.best, self.best_step, self.without_improvement = value, module.step, 0
            if isinstance(module.average, Codec):
                known = {"step": module.step, "validation_loss": value, "trained_on": asdict(self.material)}
                save_model(self.folder, module.average, known)
            else:
                save_weights(self.folder, module.average)
        else:
            self.without_improvement += 1
        if self.out_of_patience:
            trainer.should_stop = True

    def _check(self, value: float, module: CodecModule) -> None:
        limits = [DIVERGED * self.first] if self.first else []
        limits += [DIVERGED_FROM_START * module.first_loss] if module.first_loss else []
        if not value <= min(limits, default=math.inf):
            best = f", or with --from-best from step {self.best_step:,}, which was the best" if self.best_step else ""
            raise UserError(
                f"the validation loss diverged: it is {value:.4g} at step {module.step:,}; lower optim.lr and run the"
                f" same command again: it goes on from the last checkpoint before{best}"
            )
        if self.first is None:
            self.first = value


def set_model_aside(run: Path, step: int) -> Path | None:
    """Before validations are judged by another criterion, keep the model chosen by the one before.

    Args:
        run: folder of the run.
        step: from which the run goes on.

    Returns:
        Where the model is now; None where there was none.
    """
    model, aside = run / "model", run / f"model-before-step-{step}"
    if model.is_dir() and not aside.exists():
        os.replace(model, aside)
    return aside if aside.exists() else None
