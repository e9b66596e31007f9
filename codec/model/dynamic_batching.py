"""Dynamic batching: the blocks of files that are coded concurrently are computed together.

Each file has a thread of its own that runs the same code as ever. Only the computation of a block is shared, see
:func:`batched`: a thread with a block waits until all threads at work have one. Then blocks of equal steps and shapes
are joined, computed as one batch, and handed back.

The batcher is a thread-local mode, like ``torch.inference_mode``; outside of one, each block is computed on its own.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from codec.model.backend import BlockOutputs, BlockState, BlockStep, split_streams


class BatchingStopped(BaseException):
    """The thread is to end. Like an interrupt, it is not an error that code on the way out would handle."""


@dataclass(frozen=True, eq=False)
class _PendingBlock:
    """A block that waits for those of the other files."""

    step: BlockStep
    block: npt.NDArray[Any]
    state: BlockState
    result: "Future[tuple[BlockOutputs, BlockState]]" = field(default_factory=Future)

    @property
    def batch_key(self) -> tuple[Any, ...]:
        """Blocks of equal keys can be computed together."""
        return self.step, self.block.shape[1:], self.block.dtype


class DynamicBatcher:
    """Batcher of the blocks of concurrent files.

    Args:
        files: number of threads, each of which is to enter :meth:`concurrent_file`; until a thread leaves it, the
            others wait for its blocks
    """

    def __init__(self, files: int) -> None:
        self._lock = threading.Lock()
        self._at_work = files
        self._pending: list[_PendingBlock] = []
        self._stopped = False

    @contextmanager
    def concurrent_file(self) -> Iterator[None]:
        """Make this thread compute its blocks together with those of the other threads.

        The thread leaves the context when it has no more work. :class:`BatchingStopped` ends the context quietly.

        Yields:
            Nothing.
        """
        _current.batcher = self
        try:
            yield
        except BatchingStopped:
            pass
        finally:
            _current.batcher = None
            with self._lock:
                self._at_work -= 1
                self._compute_if_all_wait()

    def stop(self) -> None:
        """Stop the threads, those that wait for blocks at once, the others at their next block or :meth:`check`."""
        with self._lock:
            self._stopped = True
            for pending in self._pending:
                pending.result.set_exception(BatchingStopped())
            self._pending.clear()

    def check(self) -> None:
        """Check whether the threads may go on.

        Raises:
            BatchingStopped: :meth:`stop` was called.
        """
        if self._stopped:
            raise BatchingStopped

    def compute(self, step: BlockStep, block: npt.NDArray[Any], state: BlockState) -> tuple[BlockOutputs, BlockState]:
        """Compute a block together with those of the other threads. Errors are raised in all threads concerned.

        Args:
            step: what to compute
            block: ``[streams, ...]``
            state: state after the previous block

        Returns:
            The outputs, and the state after this block.

        Raises:
            BatchingStopped: :meth:`stop` was called.
        """
        pending = _PendingBlock(step, block, state)
        with self._lock:
            self.check()
            self._pending.append(pending)
            self._compute_if_all_wait()
        return pending.result.result()

    def _compute_if_all_wait(self) -> None:
        if len(self._pending) < self._at_work:
            return
        batches: dict[tuple[Any, ...], list[_PendingBlock]] = {}
        for pending in self._pending:
            batches.setdefault(pending.batch_key, []).append(pending)
        self._pending.clear()
        for batch in batches.values():
            _compute(batch)


def _compute(batch: list[_PendingBlock]) -> None:
    step, sizes = batch[0].step, [len(pending.block) for pending in batch]
    try:
        blocks = [pending.block for pending in batch]
        state = step.join_states([pending.state for pending in batch])
        outputs, state = step(np.concatenate(blocks) if len(blocks) > 1 else blocks[0], state)
        results = list(zip(split_streams(outputs, sizes), step.split_state(state, sizes)))
    except BaseException as error:
        for pending in batch:
            pending.result.set_exception(error)
        return
    for pending, result in zip(batch, results):
        pending.result.set_result(result)


class _Current(threading.local):
    batcher: DynamicBatcher | None = None


_current = _Current()


def batched(step: BlockStep, block: npt.NDArray[Any], state: BlockState) -> tuple[BlockOutputs, BlockState]:
    """Compute a block, together with those of other files if this thread takes part in a :class:`DynamicBatcher`.

    Args:
        step: what to compute
        block: ``[streams, ...]``
        state: state after the previous block

    Returns:
        The outputs, and the state after this block.
    """
    batcher = _current.batcher
    return step(block, state) if batcher is None else batcher.compute(step, block, state)


def is_batched() -> bool:
    """Determine whether this thread's blocks are computed together with those of other files.

    Returns:
        Whether the thread takes part in a :class:`DynamicBatcher`.
    """
    return _current.batcher is not None
