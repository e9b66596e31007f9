"""What happens around the training step: checkpoints, the best model, health, the clock, the progress bar."""

import os
import signal
import threading
import time
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from codec.checkpoint import save_model, save_weights
from codec.config import Recipe
from codec.errors import UserError
from codec.interrupts import SIGNALS
from codec.losses import mel_distance
from codec.losses.baseline import shaped_noise
from codec.model.codec import Codec
from codec.packed import Material
from codec.training.curves import read_curves
from codec.training.data import Crops
from codec.training.diagnosis import NOISE
from codec.training.module import LOG_EVERY, CodecModule
from codec.training.standing import standing, step_audio_s

CHECKPOINT_SECONDS = 120.0
NOISE_BATCHES = 4
COLLAPSED = 0.1
"""A codebook of which less than this share is in use has collapsed."""


class KeepCheckpoint(Callback):
    """Writes ``last.ckpt`` after each validation, every two minutes between them, and not before the last validation:
    a run that ended is judged."""

    def __init__(self, path: Path):
        self.path = path
        self.written_at = time.monotonic()

    def write(self, trainer: L.Trainer) -> None:
        part = self.path.with_suffix(".part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            trainer.save_checkpoint(part)
            os.replace(part, self.path)
        finally:
            part.unlink(missing_ok=True)
        self.written_at = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if time.monotonic() - self.written_at > CHECKPOINT_SECONDS and not trainer.should_stop:
            self.write(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking:
            self.write(trainer)


class KeepBest(Callback):
    """Saves the averaged weights as the run's model whenever the validation loss is the lowest so far."""

    def __init__(self, folder: Path, recipe: Recipe, material: Material):
        self.folder, self.recipe, self.material = folder, recipe, material
        self.best, self.best_step = float("inf"), 0

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_step": self.best_step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_step = state["best"], state["best_step"]

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if trainer.sanity_checking:
            return
        value = float(trainer.callback_metrics["val_total"])
        if value < self.best:
            self.best, self.best_step = value, module.step
            if isinstance(module.average, Codec):
                known = {"step": module.step, "validation_loss": value, "trained_on": asdict(self.material)}
                save_model(self.folder, module.average, known)
            else:
                save_weights(self.folder, module.average)


class Health(Callback):
    """Warns when a codebook collapses or the loss is no longer finite, and stops where the recipe, or sense, says
    so."""

    def __init__(self, stop_on_collapse: bool):
        self.stop_on_collapse = stop_on_collapse
        self.reason = ""

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if trainer.sanity_checking or module.step == 0:
            return
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
        if module.diverged:
            raise UserError(
                f"the loss is not finite at step {module.step}; lower optim.lr and run the same command again:"
                " it goes on from the last checkpoint"
            )


class Clock(Callback):
    """Stops after the recipe's steps, or after ``max_minutes`` of training, counted over all resumptions. Validation
    does not count, so that how often a run is judged changes neither its end nor its learning rates; nor does what
    steps wait for at the entrance of ``around_steps``, which batches of validation enter, too. Tells how fast training
    is."""

    def __init__(self, recipe: Recipe, around_steps: AbstractContextManager[object]):
        self.around_steps = around_steps
        self.steps, self.limit_s = recipe.train.steps, 60 * recipe.train.max_minutes
        self.step_audio_s = step_audio_s(recipe)
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
        trainer.should_stop = module.step >= self.steps

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
        if module.step >= self.steps:
            trainer.should_stop = True
        elif self.limit_s and self.elapsed_s > self.limit_s and not trainer.should_stop:
            self.reason = f"the clock: {self.limit_s / 60:g} minutes"
            trainer.should_stop = True

    def on_exception(self, *_: Any) -> None:
        self.around_steps.__exit__(None, None, None)

    def on_validation_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if not trainer.sanity_checking:
            self._measure(module)
            self.judging_since = time.monotonic()

    def on_validation_batch_start(self, *_: Any) -> None:
        self.around_steps.__enter__()

    def on_validation_batch_end(self, *_: Any) -> None:
        self.around_steps.__exit__(None, None, None)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if not trainer.sanity_checking:
            judging_s = time.monotonic() - self.judging_since
            module.write("val", {"minutes": self.elapsed_s / 60, "judging_s": judging_s})
            self.stands = True  # while other callbacks save and tell what they found

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


class Tell(Callback):
    """Says at each validation where the run stands, as its curves have it, to which the verdict needs what noise
    scores. ``crops``: those of the validation."""

    def __init__(self, run: Path, recipe: Recipe, crops: Crops):
        self.run, self.recipe, self.crops = run, recipe, crops

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        if NOISE not in read_curves(self.run):
            rate, batches = self.recipe.codec.sample_rate, range(NOISE_BATCHES)
            waves = torch.cat([self.crops[batch] for batch in batches])
            noise = torch.from_numpy(shaped_noise(waves[:, 0].numpy(), rate))[:, None]
            split, term = NOISE
            module.write(split, {term: mel_distance(noise, waves, rate)})

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if not trainer.sanity_checking and (found := standing(read_curves(self.run), self.recipe)) is not None:
            tqdm.write(found.line())


class Interrupted(Exception):
    """The run was asked to stop, and has written its checkpoint."""


class StopSafely(Callback):
    """On Ctrl-C or SIGTERM finishes the step, or the validation, writes the checkpoint, and ends. A second one ends at
    once. A context manager around the whole fit: what starts a run may take a while, too. Stands after ``checkpoint``
    among the callbacks."""

    def __init__(self, checkpoint: KeepCheckpoint):
        self.checkpoint = checkpoint
        self.asked = False
        self.previous: dict[int, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.previous = {number: signal.signal(number, self._ask) for number in SIGNALS}

    def __exit__(self, *_: object) -> None:
        for number, handler in self.previous.items():
            signal.signal(number, handler)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self.asked and not trainer.should_stop:  # else the last validation comes first
            self.checkpoint.write(trainer)
            raise Interrupted

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.asked:
            raise Interrupted

    def _ask(self, *_: Any) -> None:
        self.asked = True
        for number in SIGNALS:
            signal.signal(number, signal.default_int_handler)


class Bar(Callback):
    """One bar over all steps, as many as the clock allows, with the speed and the time left."""

    def __init__(self, clock: Clock):
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
