"""A training that is interrupted at a given point; tests run it in processes of their own."""

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from codec.errors import UserError
from codec.recipe import read_recipe
from codec.training import checkpointing, module, trainer

TOO_SMALL = 256


def interrupt(event: str) -> None:
    """Fill the disk, as far as this process can tell, or send a signal to this process."""
    if event == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_SMALL, TOO_SMALL))
    else:
        os.kill(os.getpid(), signal.Signals[event])


def interrupt_at(event: str, place: str, at: int) -> None:
    """Interrupt before the training step, a batch of the validation, or the checkpoint at a step."""
    owner: Any = checkpointing.RunCheckpoint if place == "write" else module.CodecModule
    original = getattr(owner, place)

    def replaced(self: Any, *given: Any) -> Any:
        if (given[0].lightning_module if place == "write" else self).state.step == at:
            interrupt(event)
        return original(self, *given)

    setattr(owner, place, replaced)


def train(recipe: Path, data: Path, folder: Path, event: str, place: str, at: int, every_step: bool) -> None:
    """Train, and exit with status 130 after an interrupt and 2 after an error.

    Args:
        recipe: the recipe file.
        data: the prepared data.
        folder: the folder of the run.
        event: a signal, "full" (disk), or empty for no interruption.
        place: the method before which it happens.
        at: the step at which it happens.
        every_step: write a checkpoint after every step, not only after validations.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    checkpointing.CHECKPOINT_INTERVAL_S = 0.0 if every_step else 1e9
    if event:
        interrupt_at(event, place, at)
    try:
        trainer.train(
            read_recipe(str(recipe)), data, folder, quiet=True, options=trainer.TrainingOptions(fit_tables=False)
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError:
        sys.exit(2)
