"""A lock that is held while a training computes, so that processes of a search can take turns on one machine."""

import time
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

StepLock = AbstractContextManager[object]
"""A context manager that can be entered again and again, such as :class:`eval.search.exclusive_timing.Turns`."""
NO_LOCK: StepLock = nullcontext()


class StepLockHolder(Callback):
    """Holds a lock during each training step and each batch of validation, and measures how long it waited for it.

    Args:
        lock: context manager that is entered before and left after each step. It must tolerate being left without
            having been entered, which happens if a training ends in an error between two steps.
    """

    def __init__(self, lock: StepLock):
        self.lock = lock
        self.waited_s = 0.0
        """Seconds that were spent waiting, in total."""

    def on_train_batch_start(self, *_: Any) -> None:
        """Wait for the lock."""
        self._acquire()

    def on_train_batch_end(self, *_: Any) -> None:
        """Release the lock."""
        self._release()

    def on_validation_batch_start(self, *_: Any) -> None:
        """Wait for the lock."""
        self._acquire()

    def on_validation_batch_end(self, *_: Any) -> None:
        """Release the lock."""
        self._release()

    def on_exception(self, trainer: L.Trainer, module: L.LightningModule, exception: BaseException) -> None:
        """Release the lock."""
        self._release()

    def _acquire(self) -> None:
        started = time.monotonic()
        self.lock.__enter__()
        self.waited_s += time.monotonic() - started

    def _release(self) -> None:
        self.lock.__exit__(None, None, None)
