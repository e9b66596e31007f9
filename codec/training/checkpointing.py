"""The checkpoints of a run: written completely or not at all, and read without running code.

A run continues from ``checkpoints/last.ckpt``. ``checkpoints/best.ckpt`` is the checkpoint at the validation with the
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
from codec.model.processes import ONE_PROCESS, Processes
from codec.runtime.atomic_files import commit_file
from codec.training.best_model import BestModelCheckpoint
from codec.training.metrics_log import MetricsLog
from codec.training.module import CHECKPOINT_FORMAT, CodecModule
from codec.training.state import TrainingState

CHECKPOINT_FOLDER = "checkpoints"
LAST_CHECKPOINT, _BEST_CHECKPOINT = "last.ckpt", "best.ckpt"
CHECKPOINT_INTERVAL_S = 120.0
"""Seconds between checkpoints while no validation writes one."""


def read_checkpoint(path: Path, run: Path) -> dict[str, Any]:
    """Read a checkpoint of a run.

    Args:
        path: the checkpoint
        run: folder of the run, for messages

    Returns:
        Its contents by name.

    Raises:
        UserError: it is damaged, contains anything but tensors and plain values, or has another format.
    """
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        version = state.get("format", 1)
        step = state["step"] if version == CHECKPOINT_FORMAT else 0
        if not isinstance(step, int):
            raise ValueError("its step is not a number")
    except Exception as error:  # what a damaged file can raise is not documented
        raise UserError(f"{path}: not a checkpoint that can be resumed; delete it to start again") from error
    if version != CHECKPOINT_FORMAT:
        raise UserError(
            f"{path}: a checkpoint of format {version}, but this version of the program reads {CHECKPOINT_FORMAT};"
            f" start a new run from its weights, with another --run and --init-from {run}"
        )
    return dict(state)


def continue_from_best(run: Path) -> None:
    """Make the checkpoint of the best validation the one that the run continues from.

    Args:
        run: folder of the run

    Raises:
        UserError: there is no such checkpoint.
    """
    best, last = (run / CHECKPOINT_FOLDER / name for name in (_BEST_CHECKPOINT, LAST_CHECKPOINT))
    if not best.is_file():
        raise UserError(f"{best}: there is no checkpoint of a best validation; leave out --from-best")
    _replace_by_link(best, last)


def roll_back(run: Path, rollbacks: int) -> int | None:
    """Let a run that diverged continue from its best validation, with a lower learning rate.

    It starts from the averaged weights, which were validated: those that were trained may have diverged already.

    Args:
        run: folder of the run
        rollbacks: how often the run has gone back then

    Returns:
        The step of the best validation; None if there is none, and nothing has changed.
    """
    best, last = (run / CHECKPOINT_FOLDER / name for name in (_BEST_CHECKPOINT, LAST_CHECKPOINT))
    if not best.is_file():
        return None
    state = read_checkpoint(best, run)
    weights = state["state_dict"]
    averages = {name: value for name, value in weights.items() if name.startswith("average.")}
    weights |= {name.replace("average.", "codec.", 1): value for name, value in averages.items()}
    CheckpointFiles(run).save_checkpoint(state | {"rollbacks": rollbacks, "state_dict": weights}, last)
    return int(state["step"])


def _replace_by_link(path: Path, other: Path) -> None:
    """Make ``other`` the same file as ``path``; a link will do, since a checkpoint is never changed in place."""
    part = other.with_suffix(".part")
    part.unlink(missing_ok=True)
    try:
        os.link(path, part)
    except OSError:
        shutil.copyfile(path, part)
    commit_file(part, other)


class CheckpointFiles(CheckpointIO):
    """Reads and writes checkpoint files for Lightning; a file gets its name when all of it is on the disk.

    Args:
        run: folder of the run, for messages
        processes: those that train together; the leader reads for all, so that the others need not see its disk
    """

    def __init__(self, run: Path, processes: Processes = ONE_PROCESS):
        self.run, self.processes = run, processes

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint.

        Args:
            checkpoint: its contents by name
            path: the file
            storage_options: not used

        Raises:
            OSError: it cannot be written, as on a full disk.
        """
        part = Path(path).with_suffix(".part")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            with part.open("wb") as file:
                try:
                    torch.save(checkpoint, file)
                except RuntimeError as error:  # by which PyTorch's writer hides the error of the file
                    raise error.__context__ if isinstance(error.__context__, OSError) else error from None
            commit_file(part, Path(path))
        finally:
            part.unlink(missing_ok=True)

    def load_checkpoint(self, path: Any, *_: Any, **__: Any) -> dict[str, Any]:
        """Read a checkpoint, see :func:`read_checkpoint`.

        Args:
            path: the file

        Returns:
            Its contents by name.
        """
        return self.processes.from_leader(read_checkpoint(Path(path), self.run) if self.processes.is_leader else {})

    def remove_checkpoint(self, path: Any) -> None:
        """Remove a checkpoint.

        Args:
            path: the file
        """
        Path(path).unlink(missing_ok=True)


class RunCheckpoint(Callback):
    """Writes ``last.ckpt`` after each validation and every two minutes in between, and ``best.ckpt`` after the best.

    No checkpoint is written if a validation, which writes one, is next, nor while steps are skipped because the loss is
    not finite. A checkpoint records the length of ``metrics.csv``, which is truncated to it when the run is resumed.

    Args:
        run: folder of the run
        state: progress of the training
        best: callback that determines the best step; it must come before this one
        metrics: table of the run
        processes: those that train together; the leader alone writes, and its clock counts
    """

    state_key = "checkpoint"  # type: ignore[assignment]  # a property there, which takes the name of the class

    def __init__(
        self,
        run: Path,
        state: TrainingState,
        best: BestModelCheckpoint,
        metrics: MetricsLog,
        processes: Processes = ONE_PROCESS,
    ):
        self.state, self.best, self.metrics, self.processes = state, best, metrics, processes
        self._last, self._best_path = (run / CHECKPOINT_FOLDER / name for name in (LAST_CHECKPOINT, _BEST_CHECKPOINT))
        self._written_at = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Return the length of the table of metrics."""
        return {"curves_bytes": self.metrics.size}

    def write(self, trainer: L.Trainer) -> None:
        """Write ``last.ckpt``.

        Args:
            trainer: the trainer whose state is written

        Raises:
            OSError: it cannot be written, as on a full disk.
        """
        module = trainer.lightning_module
        assert isinstance(module, CodecModule)
        module.deferred.flush()  # before the length of the table is recorded
        trainer.save_checkpoint(self._last)
        self._written_at = time.monotonic()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """Write a checkpoint if the last one is old."""
        assert isinstance(module, CodecModule)
        old = time.monotonic() - self._written_at > CHECKPOINT_INTERVAL_S
        if not self.processes.any(old and self.processes.is_leader):
            return
        module.skipped.read()
        if not self.state.skipped_in_a_row and not self.state.validation_is_next(trainer.should_stop):
            self.write(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Write a checkpoint, also as ``best.ckpt`` if the validation was the best."""
        self.write(trainer)
        if self.best.best_step == self.state.step and self.processes.is_leader:
            _replace_by_link(self._last, self._best_path)
