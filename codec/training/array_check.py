"""A check of the packed arrays that a run uses, while it trains; clips of a few damaged ones are skipped."""

import threading
from collections.abc import Sequence
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.model.processes import ONE_PROCESS, Processes
from codec.runtime.messages import warn
from codec.training.batches import CountedBatch


class ArrayCheck(Callback):
    """Compares packed arrays with the checksums that ``codec prepare`` recorded.

    The run ends if arrays are damaged that hold more than ``data.max_damaged_share`` of the training audio, or any of
    the validation audio. Otherwise, their clips are skipped from the next validation on, or from now on where the
    training itself loads the data, and counted.

    The arrays are read in a thread that starts with the first step, since a large corpus takes minutes to read. Hashing
    releases the interpreter lock, so that training keeps its speed. Among several processes the leader reads them, and
    the others learn at the next validation what it has found.

    Args:
        splits: the clips that the run is trained on, which come first, and validated on
        processes: those that train together
        quiet: print nothing
    """

    def __init__(self, splits: Sequence[PackedSplit], processes: Processes = ONE_PROCESS, quiet: bool = False):
        self.splits, self._processes, self._quiet = splits, processes, quiet or not processes.is_leader
        self._reported = [len(split.damaged) for split in splits]
        self._damage: UserError | None = None
        self._thread = threading.Thread(target=self._verify, name="array check", daemon=True)

    def on_train_start(self, *_: Any) -> None:
        """Start reading the arrays."""
        if self._processes.is_leader:
            self._thread.start()

    def on_train_batch_end(
        self, trainer: L.Trainer, module: L.LightningModule, outputs: Any, batch: CountedBatch, batch_index: int
    ) -> None:
        """Name arrays that were found to be damaged since; end the run if they are too many."""
        for shard, reason in batch.damaged.items():
            self.splits[0].skip(shard, reason)
        self._raise_damage()
        self._report()

    def on_validation_end(self, *_: Any) -> None:
        """Skip in all processes what the leader has found to be damaged."""
        self._raise_damage()
        found = self._processes.from_leader([dict(split.damaged) for split in self.splits])
        for split, damaged in zip(self.splits, found, strict=True):
            for shard, reason in damaged.items():
                split.skip(shard, reason)

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
                    warn(f"{reason}: {split.describe_damage()}")

    def _verify(self) -> None:
        try:
            for split in self.splits:
                split.verify()
        except UserError as error:
            self._damage = error

    def _raise_damage(self) -> None:
        if self._damage is not None:
            raise self._damage
