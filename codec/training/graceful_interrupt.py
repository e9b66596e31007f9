"""Ctrl-C and the signals of job schedulers: the run writes its checkpoint, and ends."""

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.runtime import signals
from codec.training.checkpoints import RunCheckpoint


class Interrupted(Exception):
    """The run was asked to stop, and has written its checkpoint."""


class GracefulInterrupt(Callback):
    """On a signal, finishes the step, or the batch of a validation, writes the checkpoint, and ends the run by
    :class:`Interrupted`; a second signal ends it at once.

    A context manager around the whole fit: to start a run may take a while, too. A validation that was broken off is
    done when the run goes on. Stands after ``checkpoint`` among the callbacks.
    """

    def __init__(self, checkpoint: RunCheckpoint):
        self.checkpoint = checkpoint
        self.asked = False
        self.handled: AbstractContextManager[None] = nullcontext()

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.handled = signals.signal_handler(self._ask, signals.RUN_SIGNALS)
        self.handled.__enter__()

    def __exit__(self, *_: object) -> None:
        self.handled.__exit__(None, None, None)

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """Lightning has put a handler of its own before ours by now, which ends the process with status 0."""
        if threading.current_thread() is threading.main_thread():
            signals.install(self._ask, signals.RUN_SIGNALS)

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self.asked:
            self._end(trainer)

    def on_validation_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        if self.asked:
            self._end(trainer)

    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        if self.asked:  # the checkpoint was written just before
            raise Interrupted

    def _end(self, trainer: L.Trainer) -> None:
        self.checkpoint.write(trainer)
        raise Interrupted

    def _ask(self, *_: Any) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True
