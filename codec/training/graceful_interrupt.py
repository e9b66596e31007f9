"""Ctrl-C and the signals of job schedulers: the run writes a checkpoint and ends."""

import threading
import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.model.processes import ONE_PROCESS, Processes
from codec.runtime import signals
from codec.training.checkpointing import RunCheckpoint


class Interrupted(Exception):
    """The run was asked to stop and has written a checkpoint."""


class GracefulInterrupt(Callback):
    """Ends the run on a signal, after the step or the batch of a validation that is being computed.

    It writes a checkpoint and raises :class:`Interrupted`. A second signal ends the run at once. An interrupted
    validation is repeated when the run is resumed. It is also a context manager, to be entered around the whole fit,
    since the start of a run may also take a while.

    Args:
        checkpoint: callback that writes the checkpoint; it must come before this one
        processes: those that train together; a signal to one of them ends all after the same step
    """

    def __init__(self, checkpoint: RunCheckpoint, processes: Processes = ONE_PROCESS):
        self.checkpoint, self.processes = checkpoint, processes
        self._asked, self._asked_at = False, 0.0
        self._handled: AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._handled = signals.signal_handler(self._ask, signals.RUN_SIGNALS)
        self._handled.__enter__()

    def __exit__(self, *_: object) -> None:
        self._handled.__exit__(None, None, None)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Install the signal handler again."""
        # by now, Lightning has installed a handler of its own, which ends the process with status 0
        if threading.current_thread() is threading.main_thread():
            signals.install_handler(self._ask, signals.RUN_SIGNALS)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """End the run after this step if a signal was received."""
        if self.processes.any(self._asked):
            self._end(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """End the run after this batch if a signal was received."""
        if self.processes.any(self._asked):
            self._end(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """End the run after this validation if a signal was received."""
        if self.processes.any(self._asked):  # the checkpoint was written just before
            raise Interrupted

    def _end(self, trainer: L.Trainer) -> None:
        self.checkpoint.write(trainer)
        raise Interrupted

    def _ask(self, *_: Any) -> None:
        before, self._asked_at = self._asked_at, time.monotonic()
        # launchers pass on a signal that the job scheduler sends to the processes, too
        if self._asked and (self.processes.count == 1 or self._asked_at - before > signals.REPEATED_S):
            raise KeyboardInterrupt
        self._asked = True
