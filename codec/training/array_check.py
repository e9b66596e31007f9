"""The check of the packed arrays that a run trains and is judged on, while it trains."""

import threading
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.dataset.packed import PackedSplit
from codec.errors import UserError


class ArrayCheck(Callback):
    """Compares the arrays of ``splits`` with the checksums that ``codec prepare`` noted, in a thread that starts with
    the first step, since a large corpus takes minutes to read. An array that has changed ends the run.

    Hashing releases the interpreter lock, so that training goes on at its speed.
    """

    def __init__(self, splits: Sequence[PackedSplit]):
        self.splits = splits
        self.damage: UserError | None = None
        self.thread = threading.Thread(target=self._verify, name="array check", daemon=True)

    def on_train_start(self, *_: Any) -> None:
        self.thread.start()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        self._raise()

    def wait(self) -> None:
        """Wait until all arrays have been read, for a run that ends sooner must not pass as trained on sound data.

        Raises:
            UserError: an array has changed.
        """
        if self.thread.ident is not None:
            self.thread.join()
        self._raise()

    def _verify(self) -> None:
        try:
            for split in self.splits:
                split.verify()
        except UserError as error:
            self.damage = error

    def _raise(self) -> None:
        if self.damage is not None:
            raise self.damage
