"""The best validation so far: its weights become the run's model, and it decides on early stopping and divergence."""

import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.dataset.packed_split import DatasetSummary
from codec.model.codec import Codec
from codec.model.processes import ONE_PROCESS, Processes
from codec.pretrained.checkpoint import load_codec, save_model, save_weights
from codec.pretrained.model_folder import read_training_info
from codec.training.divergence import Diverged
from codec.training.heard_audio import heard_audio_info
from codec.training.heard_audio_counter import HeardAudioCounter
from codec.training.metrics_log import CRITERION_CHANGED
from codec.training.module import CodecModule

_DIVERGED = 3.0
"""A run whose validation loss exceeds that of the first validation by this factor has diverged: a codec starts as a
transform codec fitted to the data, so that its loss only falls."""
_DIVERGED_FROM_START = 30.0
"""The same factor relative to the first batch, whose level can be a tenth of the average."""
_STORED = ("best", "best_step", "first", "without_improvement", "criterion")


class BestModelCheckpoint(Callback):
    """Saves the averaged weights as the run's model whenever the validation loss is the lowest so far.

    Ends the run if the loss diverged, and stops it after ``train.patience`` validations without improvement. The phase
    without quantizer, whose validations use codebooks that the training does not, exhausts no patience.

    Args:
        folder: folder of the model
        module: the training; the average of its weights is saved
        trained_on: summary of the training data
        counter: callback that counts what is heard; it must come before this one
        criterion: digest of everything but the weights that the validation loss depends on: losses, clips and crops. A
            best value by another criterion is discarded.
        processes: those that train together; the leader alone saves
    """

    state_key = "best"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(
        self,
        folder: Path,
        module: CodecModule,
        trained_on: DatasetSummary,
        counter: HeardAudioCounter,
        criterion: str,
        processes: Processes = ONE_PROCESS,
    ):
        self.processes = processes
        self.folder, self.module, self.trained_on, self.criterion = folder, module, trained_on, criterion
        self.counter = counter
        self.best, self.best_step = math.inf, 0
        self.first: float | None = None
        """Loss of the first validation."""
        self.parent: Path | None = None
        """Folder of the model that the run starts from, if it has the same architecture; step 0 is this model."""
        self.without_improvement = 0
        """Validations since the best one."""
        self._criterion_changed = False

    @property
    def out_of_patience(self) -> bool:
        """The last ``train.patience`` validations brought no improvement."""
        return 0 < self.module.recipe.train.patience <= self.without_improvement

    def state_dict(self) -> dict[str, Any]:
        """Return the best validation so far, for a checkpoint."""
        return {name: getattr(self, name) for name in _STORED}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the best validation of a checkpoint, unless its criterion was different."""
        self._criterion_changed = state["criterion"] != self.criterion
        if not self._criterion_changed:
            for name in _STORED:
                setattr(self, name, state[name])

    def on_train_start(self, trainer: L.Trainer, *_: Any) -> None:
        """Record a change of the criterion, and stop a run that is out of patience."""
        state = self.module.state
        if self._criterion_changed:
            state.first_loss = None
            if trainer.should_stop:  # a run that is over is validated once more
                state.validated = None
            split, term = CRITERION_CHANGED
            self.module.write(split, {term: float(state.step + (not trainer.should_stop))})
        if self.out_of_patience:
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Save the model if it is the best, and check for divergence and patience."""
        state = self.module.state
        self._check(state.validation_loss)
        if state.validation_loss < self.best:
            self.best, self.best_step, self.without_improvement = state.validation_loss, state.step, 0
            if self.processes.is_leader:
                self._save()
        elif self.module.quantizes:
            self.without_improvement += 1
        if self.out_of_patience:
            trainer.should_stop = True

    def _save(self) -> None:
        average = self.module.average
        if isinstance(average, Codec):
            info = {
                "step": self.best_step,
                "validation_loss": self.best,
                "trained_on": asdict(self.trained_on),
                **heard_audio_info(self.counter.heard),
            }
            if self.best_step == 0 and self.parent is not None:
                average, known = load_codec(self.parent), read_training_info(self.parent)
                info |= {name: known[name] for name in ("trained_on", "tables") if name in known}
            save_model(self.folder, average, info)
        else:
            save_weights(self.folder, average)

    def _check(self, loss: float) -> None:
        state = self.module.state
        limits = [_DIVERGED * self.first] if self.first and self.module.quantizes else []
        limits += [_DIVERGED_FROM_START * state.first_loss] if state.first_loss else []
        if not loss <= min(limits, default=math.inf):
            found = math.isfinite(self.best)
            best = f", or with --from-best from the best one, at step {self.best_step:,}" if found else ""
            raise Diverged(
                f"the validation loss diverged: it is {loss:.4g} at step {state.step:,}",
                f"lower optim.lr and run the same command again: it continues from the last checkpoint before{best}",
            )
        if self.first is None:
            self.first = loss


def set_model_aside(run: Path, step: int) -> Path | None:
    """Move the model of a run before validations are evaluated by another criterion.

    Args:
        run: folder of the run
        step: the step that the run continues from

    Returns:
        The new folder of the model; None if there was no model.
    """
    model, aside = run / "model", run / f"model-before-step-{step}"
    if model.is_dir() and not aside.exists():
        os.replace(model, aside)
    return aside if aside.exists() else None
