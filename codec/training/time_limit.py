"""The end of a training: after its last step, or when its time is over."""

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.config import Recipe
from codec.model.processes import ONE_PROCESS, Processes
from codec.training.metrics_log import VALIDATION, MetricsLog
from codec.training.module import LOG_EVERY
from codec.training.state import TrainingState
from codec.training.step_lock import StepLockHolder


class TimeLimit(Callback):
    """Stops training at the step limit or the time limit, and measures the speed of training.

    Only time spent in training steps and in loading their data counts, over all resumptions. Validation and waiting
    for the lock do not, so that the interval of validations changes neither the end of a run nor its learning rates.
    Among several processes, the clock of the leader counts.

    Args:
        recipe: settings with ``train.steps`` and ``train.max_minutes``
        state: progress of the training
        metrics: table that the minutes and the speed are written to
        lock: holder of the lock that steps wait for; it must come after this callback
        processes: those that train together
    """

    state_key = "time_limit"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(
        self,
        recipe: Recipe,
        state: TrainingState,
        metrics: MetricsLog,
        lock: StepLockHolder,
        processes: Processes = ONE_PROCESS,
    ):
        self.processes = processes
        self.recipe, self.state, self.metrics, self.lock = recipe, state, metrics, lock
        self.limit_s = 60 * recipe.train.max_minutes
        self.elapsed_s = 0.0
        self.audio_s_per_s = 0.0
        """Seconds of audio that are trained on in a second, when last measured."""
        self.reason = ""
        """Reason if the time limit ended the run, else empty."""
        self._counting = False
        self._counted_at = self._waited_s = 0.0
        self._measured_at = (0, 0.0)
        self._validation_started_at = 0.0

    def state_dict(self) -> dict[str, Any]:
        """Return the elapsed time."""
        return {"elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore the elapsed time of a checkpoint."""
        self.elapsed_s = state["elapsed_s"]

    def expected_steps(self) -> int | None:
        """Estimate the steps of the whole run at the speed so far.

        Returns:
            The number of steps; None if it depends on a speed that is still unknown.
        """
        step, steps = self.state.step, self.recipe.train.steps
        if not self.limit_s:
            return steps
        if not step or not self.elapsed_s:
            return None
        return min(steps, max(step, round(step * self.limit_s / self.elapsed_s)))

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Stop a run that is over."""
        self._counting = False
        self._measured_at = (self.state.step, self.elapsed_s)
        self._publish()
        self._stop_when_over(trainer)

    def on_train_batch_start(self, *_: Any) -> None:
        """Count the time since the last step."""
        if self._counting:
            self._count()
        self._counting = True
        self._counted_at, self._waited_s = time.monotonic(), self.lock.waited_s

    def on_train_batch_end(self, trainer: L.Trainer, *_: Any) -> None:
        """Count the time of the step, and stop if the run is over."""
        self._count()
        if self.limit_s:
            self.elapsed_s = self.processes.from_leader(self.elapsed_s)
        self._publish()
        if self.state.step % LOG_EVERY == 0:
            self._measure_speed()
        self._stop_when_over(trainer)

    def on_validation_start(self, *_: Any) -> None:
        """Measure the speed."""
        self._measure_speed()
        self._validation_started_at = time.monotonic()

    def on_validation_end(self, *_: Any) -> None:
        """Record the time of training and of the validation."""
        validation_s = time.monotonic() - self._validation_started_at
        terms = {"minutes": self.elapsed_s / 60, "judging_s": validation_s}
        self.metrics.write(self.state.step, VALIDATION, terms)
        self._counting = False  # while other callbacks save and report

    def _count(self) -> None:
        now, waited_s = time.monotonic(), self.lock.waited_s
        self.elapsed_s += now - self._counted_at - (waited_s - self._waited_s)
        self._counted_at, self._waited_s = now, waited_s

    def _publish(self) -> None:
        self.state.time_share = self.elapsed_s / self.limit_s if self.limit_s else 0.0

    def _stop_when_over(self, trainer: L.Trainer) -> None:
        if self.state.step >= self.recipe.train.steps:
            trainer.should_stop = True
        elif self.limit_s and self.elapsed_s > self.limit_s and not trainer.should_stop:
            self.reason = f"the clock: {self.limit_s / 60:g} minutes"
            trainer.should_stop = True

    def _measure_speed(self) -> None:
        """Measure the speed since it was last measured."""
        steps, seconds = self.state.step - self._measured_at[0], self.elapsed_s - self._measured_at[1]
        if steps and seconds:
            self._measured_at = (self.state.step, self.elapsed_s)
            self.audio_s_per_s = steps * self.recipe.step_audio_s / seconds
            self.metrics.write(self.state.step, "train", {"audio_s_per_s": self.audio_s_per_s})
