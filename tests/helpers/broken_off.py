"""A training that is broken off in the middle of something; :mod:`test_resume` runs it in processes of its own."""

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


def happen(event: str) -> None:
    if event == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_SMALL, TOO_SMALL))
    else:
        os.kill(os.getpid(), signal.Signals[event])


def break_off(event: str, place: str, at: int) -> None:
    """Let ``event`` happen before the training step, a batch of the validation or the checkpoint ``at`` a step."""
    owner: Any = checkpointing.RunCheckpoint if place == "write" else module.CodecModule
    original = getattr(owner, place)

    def replaced(self: Any, *given: Any) -> Any:
        if (given[0].lightning_module if place == "write" else self).state.step == at:
            happen(event)
        return original(self, *given)

    setattr(owner, place, replaced)


def train(recipe: Path, data: Path, folder: Path, event: str, place: str, at: int, every_step: bool) -> None:
    """Exit with 130 where it was interrupted, and 2 where something was wrong.

    ``every_step``: write a checkpoint after each, and not after validations alone.
    """
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    checkpointing.CHECKPOINT_INTERVAL_S = 0.0 if every_step else 1e9
    if event:
        break_off(event, place, at)
    try:
        trainer.train(
            read_recipe(str(recipe)), data, folder, quiet=True, options=trainer.TrainingOptions(fit_tables=False)
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError:
        sys.exit(2)
