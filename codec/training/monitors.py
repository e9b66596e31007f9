"""Monitors of a training: warnings about skipped steps and collapsed codebooks, and a line at each validation."""

from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback

from codec.config import Recipe
from codec.losses import mel_distance
from codec.losses.noise_baseline import matched_noise
from codec.runtime.messages import say, warn
from codec.training.crops import Crops
from codec.training.divergence import Diverged
from codec.training.fit_diagnosis import NOISE_BASELINE
from codec.training.metrics_log import MetricsLog, read_curves
from codec.training.module import LOG_EVERY, CodecModule
from codec.training.state import TrainingState
from codec.training.status import COLLAPSED_BELOW, training_status

MAX_SKIPPED = 10
"""Steps in a row without a finite loss that end a run: a single one may be due to a clip, ten are due to the run."""
_NOISE_BATCHES = 4


class CollapseMonitor(Callback):
    """Warns of collapsed codebooks and of skipped steps, and ends the run if there are too many.

    A step is skipped if its gradient is not finite.

    Args:
        state: progress of the training
        stop_on_collapse: the recipe's ``train.stop_on_collapse``: stop when a codebook collapses
        crops: training crops, whose clips are named in warnings
    """

    def __init__(self, state: TrainingState, stop_on_collapse: bool, crops: Crops):
        self.state, self.stop_on_collapse, self.crops = state, stop_on_collapse, crops
        self.reason = ""
        """Reason if this callback stopped the run, else empty."""

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Warn of collapsed codebooks, unless they are to be fitted anew."""
        assert isinstance(module, CodecModule)
        if not module.quantizes:
            return
        usage = self.state.codebook_usage
        collapsed = ", ".join(str(index) for index, used in enumerate(usage) if used < COLLAPSED_BELOW)
        if not collapsed:
            return
        warn(
            f"warning: at step {self.state.step} codebooks {collapsed} use under {COLLAPSED_BELOW:.0%} of their"
            " entries; a lower optim.lr or more crops per step may help"
        )
        if self.stop_on_collapse:
            self.reason = f"codebooks {collapsed} collapsed"
            trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Warn of skipped steps: at once on the CPU, else at the intervals of the log and before a validation."""
        assert isinstance(module, CodecModule)
        validates = self.state.validation_is_next(trainer.should_stop)
        if module.device.type == "cpu" or validates or self.state.step % LOG_EVERY == 0:
            module.skipped.read()
        for step in module.skipped.take_unreported():
            module.write("train", {"skipped": 1.0}, step + 1)
            warn(f"warning: step {step:,} was skipped because the loss is not finite on {self.crops.describe(step)}")
        if self.state.skipped_in_a_row >= MAX_SKIPPED:
            step = self.state.step - 1
            raise Diverged(
                f"the loss is not finite in {self.state.skipped_in_a_row} steps in a row, up to step {step:,}, on"
                f" {self.crops.describe(step)}",
                "if these clips are intact, lower optim.lr and run the same command again: it continues from the last"
                " checkpoint, or with --from-best from the best validation",
            )


class StatusLogger(Callback):
    """Prints the status of the training at each validation.

    At the start, records the mel distance of noise on the validation clips, the baseline of the diagnosis.

    Args:
        run: folder of the run, whose curves are read
        recipe: settings of the run
        state: progress of the training
        metrics: table that the distance of noise is written to
        crops: validation crops
    """

    def __init__(self, run: Path, recipe: Recipe, state: TrainingState, metrics: MetricsLog, crops: Crops):
        self.run, self.recipe, self.state, self.metrics, self.crops = run, recipe, state, metrics, crops

    def on_train_start(self, *_: Any) -> None:
        """Record the distance of noise, unless an earlier call has."""
        if NOISE_BASELINE in read_curves(self.run):
            return
        rate = self.recipe.codec.sample_rate
        waves = torch.cat([self.crops[batch] for batch in range(_NOISE_BATCHES)])
        noise = torch.from_numpy(matched_noise(waves[:, 0].numpy(), rate))[:, None]
        split, term = NOISE_BASELINE
        self.metrics.write(self.state.step, split, {term: float(mel_distance(noise, waves, rate))})

    def on_validation_end(self, *_: Any) -> None:
        """Print the status."""
        if (status := training_status(read_curves(self.run), self.recipe)) is not None:
            for line in status.lines():
                say(line)
