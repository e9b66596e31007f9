"""What happens around the training step: skipped steps and collapsed codebooks, the time limit, status and progress."""

import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from codec.config import Recipe
from codec.errors import UserError
from codec.losses import mel_distance
from codec.losses.noise_baseline import matched_noise
from codec.training.data import Crops
from codec.training.fit_diagnosis import NOISE
from codec.training.metrics_log import read_curves
from codec.training.module import LOG_EVERY, MOST_SKIPPED, CodecModule
from codec.training.status import training_status

NOISE_BATCHES = 4
COLLAPSED = 0.1
"""A codebook of which less than this share is in use has collapsed."""


class CollapseMonitor(Callback):
    """Warns when a codebook collapses, and stops the run where the recipe says so; warns of a step that was skipped
    because its loss was not finite, and ends the run after ten in a row.

    Args:
        stop_on_collapse: the recipe's ``train.stop_on_collapse``.
        crops: of the training, whose clips are named.
    """

    def __init__(self, stop_on_collapse: bool, crops: Crops):
        self.stop_on_collapse, self.crops = stop_on_collapse, crops
        self.reason = ""

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        collapsed = [str(index) for index, used in enumerate(module.usage) if used < COLLAPSED]
        if collapsed:
            tqdm.write(
                f"warning: at step {module.step} codebooks {', '.join(collapsed)} use under {COLLAPSED:.0%} of their"
                " entries; a lower optim.lr or more crops per step may help"
            )
            if self.stop_on_collapse:
                self.reason = f"codebooks {', '.join(collapsed)} collapsed"
                trainer.should_stop = True

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, CodecModule)
        if not module.skipped_in_a_row:
            return
        step, batch = module.step - 1, self.crops.describe(module.step - 1)
        if module.skipped_in_a_row >= MOST_SKIPPED:
            raise UserError(
                f"the loss is not finite in {MOST_SKIPPED} steps in a row, up to step {step:,}, on {batch}; if these"
                " clips are sound, lower optim.lr and run the same command again: it goes on from the last checkpoint,"
                " or with --from-best from the best validation"
            )
        tqdm.write(f"warning: step {step:,} was skipped: the loss is not finite on {batch}")


class TimeLimit(Callback):
    """Stops after the recipe's steps, or after ``max_minutes`` of training, counted over all resumptions. Validation
    does not count, so that how often a run is judged changes neither its end nor its learning rates; nor does what
    steps wait for at the entrance of ``around_steps``, which batches of validation enter, too. Tells how fast training
    is."""

    state_key = "time_limit"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(self, recipe: Recipe, around_steps: AbstractContextManager[object]):
        self.around_steps = around_steps
        self.steps, self.limit_s = recipe.train.steps, 60 * recipe.train.max_minutes
        self.step_audio_s = recipe.step_audio_s
        self.elapsed_s = 0.0
        self.audio_s_per_s = 0.0
        self.reason = ""

    def state_dict(self) -> dict[str, Any]:
        return {"elapsed_s": self.elapsed_s}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.elapsed_s = state["elapsed_s"]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        self.stands = True
        self.mark = (module.step, self.elapsed_s)
        self._tell(module)
        self._stop(trainer, module)

    def on_train_batch_start(self, *_: Any) -> None:
        if not self.stands:
            self._count()
        self.around_steps.__enter__()
        self.stands = False
        self.last = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, CodecModule)
        self._count()
        self.around_steps.__exit__(None, None, None)
        self._tell(module)
        if module.step % LOG_EVERY == 0:
            self._measure(module)
        self._stop(trainer, module)

    def on_exception(self, *_: Any) -> None:
        self.around_steps.__exit__(None, None, None)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        self._measure(module)
        self.judging_since = time.monotonic()

    def on_validation_batch_start(self, *_: Any) -> None:
        self.around_steps.__enter__()

    def on_validation_batch_end(self, *_: Any) -> None:
        self.around_steps.__exit__(None, None, None)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        judging_s = time.monotonic() - self.judging_since
        module.write("val", {"minutes": self.elapsed_s / 60, "judging_s": judging_s})
        self.stands = True  # while other callbacks save and tell what they found

    def _stop(self, trainer: L.Trainer, module: CodecModule) -> None:
        if module.step >= self.steps:
            trainer.should_stop = True
        elif self.limit_s and self.elapsed_s > self.limit_s and not trainer.should_stop:
            self.reason = f"the clock: {self.limit_s / 60:g} minutes"
            trainer.should_stop = True

    def _count(self) -> None:
        now = time.monotonic()
        self.elapsed_s += now - self.last
        self.last = now

    def _measure(self, module: CodecModule) -> None:
        """Speed since it was last measured."""
        steps, seconds = module.step - self.mark[0], self.elapsed_s - self.mark[1]
        if steps and seconds:
            self.mark = (module.step, self.elapsed_s)
            self.audio_s_per_s = steps * self.step_audio_s / seconds
            module.write("train", {"audio_s_per_s": self.audio_s_per_s})

    def expected_steps(self, step: int) -> int | None:
        """Steps of the whole run at the speed so far, as it stands at ``step``; None while that is not known."""
        if not self.limit_s:
            return self.steps
        if not step or not self.elapsed_s:
            return None
        return min(self.steps, max(step, round(step * self.limit_s / self.elapsed_s)))

    def _tell(self, module: CodecModule) -> None:
        module.time_spent = self.elapsed_s / self.limit_s if self.limit_s else 0.0


class StatusLogger(Callback):
    """Says at each validation where the run stands, as its curves have it, to which the verdict needs what noise
    scores. ``crops``: those of the validation."""

    def __init__(self, run: Path, recipe: Recipe, crops: Crops):
        self.run, self.recipe, self.crops = run, recipe, crops

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if NOISE not in read_curves(self.run):
            rate, batches = self.recipe.codec.sample_rate, range(NOISE_BATCHES)
            waves = torch.cat([self.crops[batch] for batch in batches])
            noise = torch.from_numpy(matched_noise(waves[:, 0].numpy(), rate))[:, None]
            split, term = NOISE
            module.write(split, {term: mel_distance(noise, waves, rate)})

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if (found := training_status(read_curves(self.run), self.recipe)) is not None:
            tqdm.write(found.line())


class ProgressBar(Callback):
    """One bar over all steps, as many as the clock allows, with the speed and the time left."""

    def __init__(self, clock: TimeLimit):
        self.clock = clock

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        total = self.clock.expected_steps(module.step)
        self.bar = tqdm(total=total, initial=module.step, unit="step", dynamic_ncols=True, desc="training")

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, CodecModule)
        self.bar.total = self.clock.expected_steps(module.step)
        self.bar.update(module.step - self.bar.n)
        if module.step % LOG_EVERY == 0:
            self.bar.set_postfix_str(f"{self.clock.audio_s_per_s:.0f} s of audio per second")

    def teardown(self, trainer: L.Trainer, module: L.LightningModule, stage: str) -> None:
        if hasattr(self, "bar"):
            self.bar.close()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, module, "fit")  # what went wrong is told on a line of its own
