"""Trainings that are broken off in every way, each in a process of its own; :mod:`test_resume` runs this as a script.

Arguments: a recipe file, prepared data, the folder of a run, and the events as JSON, each a list of what happens, where
and at which step. Prints for each event the process's exit status and the step of the checkpoint that it left.

Processes are forked before PyTorch has computed anything, and so has started a thread.
"""

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from codec.errors import UserError
from codec.recipe import read_recipe
from codec.training import checkpoints, module, run

TOO_SMALL = 256


def happen(event: str) -> None:
    """In the middle of a step, of a validation, or of the writing of a checkpoint."""
    if event == "full":
        resource.setrlimit(resource.RLIMIT_FSIZE, (TOO_SMALL, TOO_SMALL))
    else:
        os.kill(os.getpid(), signal.Signals[event])


def break_off(event: str, place: str, at: int) -> None:
    """Let ``event`` happen before the training step, the validation or the checkpoint ``at`` a step."""
    owner: Any = checkpoints.RunCheckpoint if place == "write" else module.CodecModule
    original = getattr(owner, place)

    def replaced(self: Any, *given: Any) -> Any:
        step = given[0].lightning_module.step if place == "write" else self.step
        if step == at:
            happen(event)
        return original(self, *given)

    setattr(owner, place, replaced)


def main(recipe: Path, data: Path, folder: Path, event: str, place: str, at: int) -> int:
    torch.set_num_threads(1)
    if event:
        break_off(event, place, at)
        # else checkpoints are those of validations alone
        checkpoints.CHECKPOINT_SECONDS = 0.0 if event == "SIGKILL" and place == "training_step" and at % 4 else 1e9
    try:
        run.train(read_recipe(str(recipe)), data, folder, quiet=True)
    except KeyboardInterrupt:
        return 130
    except UserError as error:
        print(error, file=sys.stderr, flush=True)
        return 2
    return 0


if __name__ == "__main__":
    for event, place, at in json.loads(sys.argv[4]):
        if (child := os.fork()) == 0:
            os._exit(main(*map(Path, sys.argv[1:4]), event, place, at))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        last = Path(sys.argv[3]) / checkpoints.FOLDER / checkpoints.LAST
        step = torch.load(last, weights_only=True)["step"] if last.exists() else None
        print(json.dumps([status, step]), flush=True)
