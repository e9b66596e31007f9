"""A check of the packed arrays that a run uses, while it trains."""

import threading
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.dataset.packed import PackedSplit
from codec.errors import UserError


class ArrayCheck(Callback):
    """Compares packed arrays with the checksums that ``codec prepare`` recorded; a changed array ends the run.

    The arrays are read in a thread that starts with the first step, since a large corpus takes minutes to read. Hashing
    releases the interpreter lock, so that training keeps its speed.

    Args:
        splits: the clips that the run is trained and validated on
    """

    def __init__(self, splits: Sequence[PackedSplit]):
        self.splits = splits
        self._damage: UserError | None = None
        self._thread = threading.Thread(target=self._verify, name="array check", daemon=True)

    def on_train_start(self, *_: Any) -> None:
        """Start reading the arrays."""
        self._thread.start()

    def on_train_batch_end(self, trainer: L.Trainer, module: L.LightningModule, *_: Any) -> None:
        """End the run if an array has changed."""
        self._raise_damage()

    def wait(self) -> None:
        """Wait until all arrays have been read; a run that ends sooner must not count as trained on intact data.

        Raises:
            UserError: an array has changed.
        """
        if self._thread.ident is not None:
            self._thread.join()
        self._raise_damage()

    def _verify(self) -> None:
        try:
            for split in self.splits:
                split.verify()
        except UserError as error:
            self._damage = error

    def _raise_damage(self) -> None:
        if self._damage is not None:
            raise self._damage
