"""A check of the packed arrays that a run uses, while it trains; clips of a few damaged ones are skipped."""

import threading
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from tqdm import tqdm

from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.training.batches import CountedBatch


class ArrayCheck(Callback):
    """Compares packed arrays with the checksums that ``codec prepare`` recorded.

    The run ends if arrays are damaged that hold more than ``data.max_damaged_share`` of the training audio, or any of
    the validation audio. Otherwise, their clips are skipped from the next validation on, or from now on where the
    training itself loads the data, and counted.

    The arrays are read in a thread that starts with the first step, since a large corpus takes minutes to read. Hashing
    releases the interpreter lock, so that training keeps its speed.

    Args:
        splits: the clips that the run is trained on, which come first, and validated on
        quiet: print nothing
    """

    def __init__(self, splits: Sequence[PackedSplit], quiet: bool = False):
        self.splits, self._quiet = splits, quiet
        self._reported = [len(split.damaged) for split in splits]
        self._damage: UserError | None = None
        self._thread = threading.Thread(target=self._verify, name="array check", daemon=True)

    def on_train_start(self, *_: Any) -> None:
        """Start reading the arrays."""
        self._thread.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: CountedBatch, batch_index: int
    ) -> None:
        """Name arrays that were found to be damaged since; end the run if they are too many."""
        for shard, reason in batch.damaged.items():
            self.splits[0].skip(shard, reason)
        self._raise_damage()
        self._report()

    def wait(self) -> None:
        """Wait until all arrays have been read; a run that ends sooner must not count as trained on intact data.

        Raises:
            UserError: an array has changed.
        """
        if self._thread.ident is not None:
            self._thread.join()
        self._raise_damage()
        self._report()

    def _report(self) -> None:
        """Print which arrays are damaged, once for each."""
        for index, split in enumerate(self.splits):
            for reason in list(split.damaged.values())[self._reported[index] :]:
                self._reported[index] += 1
                if not self._quiet:
                    tqdm.write(f"{reason}: {split.describe_damage()}")

    def _verify(self) -> None:
        try:
            for split in self.splits:
                split.verify()
        except UserError as error:
            self._damage = error

    def _raise_damage(self) -> None:
        if self._damage is not None:
            raise self._damage
