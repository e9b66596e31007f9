"""The checkpoints of a run: written whole or not at all, and read without running code.

``checkpoints/last.ckpt`` is where a run goes on; ``checkpoints/best.ckpt`` is what it was at the validation with the
lowest loss. Both are PyTorch files of tensors and plain values, which :func:`torch.load` reads with ``weights_only``.
"""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import CheckpointIO

from codec.errors import UserError
from codec.runtime.atomic_files import settle
from codec.training.best_model import BestModelCheckpoint
from codec.training.curves_logger import CurvesLogger
from codec.training.module import FORMAT, CodecModule

FOLDER, LAST, BEST = "checkpoints", "last.ckpt", "best.ckpt"
CHECKPOINT_SECONDS = 120.0


def read_checkpoint(path: Path, run: Path) -> dict[str, Any]:
    """Read a checkpoint of ``run``.

    Raises:
        UserError: it is damaged, holds anything but tensors and plain values, or has another format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state.get("format", 1)
        step = state["step"] if version == FORMAT else 0
        if not isinstance(step, int):
            raise ValueError("its step is not a number")
    except Exception as error:  # what a damaged file can raise is not documented
        raise UserError(f"{path}: not a checkpoint that can be resumed; delete it to start again") from error
    if version != FORMAT:
        raise UserError(
            f"{path}: a checkpoint of format {version}, and this version writes {FORMAT}; start a new run from its"
            f" weights, with another --run and --init-from {run}"
        )
    return dict(state)


class CheckpointFiles(CheckpointIO):
    """Writes into a part file in the folder of the checkpoint itself, which gets its name when it is on the disk."""

    def __init__(self, run: Path):
        self.run = run

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        part = Path(path).with_suffix(".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:  # by which PyTorch's writer replaces the reason of the file
                    raise error.__context__ if isinstance(error.__context__, OSError) else error from None
            settle(part, Path(path))
        finally:
            part.unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        return read_checkpoint(Path(path), self.run)

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)


def go_back_to_best(run: Path) -> None:
    """Let the run go on from its best validation.

    Raises:
        UserError: there is none on record.
    """
    best, last = (run / FOLDER / name for name in (BEST, LAST))
    if not best.is_file():
        raise UserError(f"{best}: no checkpoint of a best validation; leave out --from-best")
    _same_file(best, last)


def _same_file(path: Path, other: Path) -> None:
    """``other`` becomes ``path``: by a link where there are any, for a checkpoint is never changed in place."""
    part = other.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
    except OSError:
        shutil.copyfile(path, part)
    settle(part, other)


class RunCheckpoint(Callback):
    """Writes ``last.ckpt`` after each validation, and every two minutes between them; ``best.ckpt`` is the one of the
    best validation.

    None is written where a validation follows at once, which writes one itself, nor while steps are skipped because the
    loss is not finite. Stands after ``best`` among the callbacks. A checkpoint says how long the table of ``curves``
    was, which is cut to that length where the run goes on.
    """

    state_key = "checkpoint"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(self, run: Path, best: BestModelCheckpoint, curves: CurvesLogger):
        self.last, self.best_path, self.best, self.curves = run / FOLDER / LAST, run / FOLDER / BEST, best, curves
        self.written_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        return {"curves_bytes": self.curves.size}

    def write(self, trainer: L.Trainer) -> None:
        trainer.save_checkpoint(self.last)
        self.written_at = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        assert isinstance(module, CodecModule)
        due = time.monotonic() - self.written_at > CHECKPOINT_SECONDS
        if due and not module.skipped_in_a_row and not module.validation_is_next(trainer.should_stop):
            self.write(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        self.write(trainer)
        if self.best.best_step == module.step:
            _same_file(self.last, self.best_path)
