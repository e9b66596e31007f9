"""The progress bar of a training."""

from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.runtime.progress import ProgressBar
from codec.training.module import LOG_EVERY
from codec.training.state import TrainingState
from codec.training.time_limit import TimeLimit


class TrainingProgressBar(Callback):
    """One bar over all steps of a run, with the speed and the remaining time.

    Args:
        state: progress of the training
        time_limit: callback that estimates the number of steps; it must come before this one
    """

    def __init__(self, state: TrainingState, time_limit: TimeLimit):
        self.state, self.time_limit = state, time_limit
        self._bar: ProgressBar | None = None

    def on_train_start(self, *_: Any) -> None:
        """Show the bar."""
        total = self.time_limit.expected_steps()
        self._bar = ProgressBar(total=total, initial=self.state.step, unit="step", dynamic_ncols=True, desc="training")

    def on_train_batch_end(self, *_: Any) -> None:
        """Advance the bar."""
        bar = self._bar
        assert bar is not None
        bar.total = self.time_limit.expected_steps()
        bar.update(self.state.step - bar.n)
        if self.state.step % LOG_EVERY == 0:
            bar.set_postfix_str(f"{self.time_limit.audio_s_per_s:.0f} s of audio per second")

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        """Close the bar."""
        if self._bar is not None:
            self._bar.close()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Close the bar, so that the error message begins on a line of its own."""
        self.teardown(trainer, module, "fit")
