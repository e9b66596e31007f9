"""Dynamic batching: the blocks and packets of files that are coded concurrently are computed together.

Each file has a thread of its own that runs the same code as ever. Only the computation of a block, see :func:`batched`,
and the range coding of packets, see :class:`BatchedCoder`, are shared: a thread with one of them waits until all
threads at work have one. Then blocks of equal steps and shapes are joined, computed as one batch, and handed back, and
likewise packets.

The batcher is a thread-local mode, like ``torch.inference_mode``; outside of one, each block is computed on its own.
"""

import threading
from collections.abc import Callable, Hashable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import CODES_AT_ONCE, CodeArray, IntArray, PacketCoder
from codec.model.backend import BlockOutputs, BlockState, BlockStep, split_streams

_Item = TypeVar("_Item")

MANY = 8
"""Blocks of one length that are computed together without padding. Fewer are padded, since each new length takes time
and memory: oneDNN keeps instructions for each size of a product (1.8 GB in place of 0.8 for a folder of speech,
measured)."""


class BatchingStopped(BaseException):
    """The thread is to end. Like an interrupt, it is not an error that code on the way out would handle."""


@dataclass(frozen=True, eq=False)
class _Pending:
    """An item that waits for those of the other files."""

    batch_key: Hashable
    """Items of equal keys are computed together."""
    item: Any
    compute: Callable[[list[Any]], Sequence[Any]]
    """Computes one result for each of several items."""
    result: "Future[Any]" = field(default_factory=Future)


class DynamicBatcher:
    """Batcher of the blocks of concurrent files.

    Args:
        files: number of threads, each of which is to enter :meth:`concurrent_file`; until a thread leaves it, the
            others wait for its blocks
        take_turns: whether only one of the threads runs at any time: many that compete for Python's interpreter cost
            time, and on a CPU that computes on one core nothing is gained
    """

    def __init__(self, files: int, *, take_turns: bool = False) -> None:
        self._lock = threading.Lock()
        self._running = threading.Semaphore(1 if take_turns else files)
        self._at_work = files
        self._pending: list[_Pending] = []
        self._stopped = False

    @contextmanager
    def concurrent_file(self) -> Iterator[None]:
        """Make this thread compute its blocks together with those of the other threads.

        The thread leaves the context when it has no more work. :class:`BatchingStopped` ends the context quietly.

        Yields:
            Nothing.
        """
        _current.batcher = self
        self._running.acquire()
        try:
            yield
        except BatchingStopped:
            pass
        finally:
            _current.batcher = None
            with self._lock:
                self._at_work -= 1
                self._compute_if_all_wait()
            self._running.release()

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

    def compute(self, batch_key: Hashable, item: Any, compute: Callable[[list[Any]], Sequence[Any]]) -> Any:
        """Compute a result together with those of the other threads. Errors are raised in all threads concerned.

        Args:
            batch_key: items of equal keys are computed together
            item: what to compute
            compute: returns the results of several items

        Returns:
            The result of the item.

        Raises:
            BatchingStopped: :meth:`stop` was called.
        """
        pending = _Pending(batch_key, item, compute)
        with self._lock:
            self.check()
            self._pending.append(pending)
            self._compute_if_all_wait()
        if pending.result.done():
            return pending.result.result()
        self._running.release()
        try:
            return pending.result.result()
        finally:
            self._running.acquire()

    def _compute_if_all_wait(self) -> None:
        if len(self._pending) < self._at_work:
            return
        batches: dict[Hashable, list[_Pending]] = {}
        for pending in self._pending:
            batches.setdefault(pending.batch_key, []).append(pending)
        self._pending.clear()
        for batch in batches.values():
            _compute(batch)


def _compute(batch: list[_Pending]) -> None:
    try:
        results = batch[0].compute([pending.item for pending in batch])
    except BaseException as error:
        for pending in batch:
            pending.result.set_exception(error)
        return
    for pending, result in zip(batch, results, strict=True):
        pending.result.set_result(result)


def _compute_blocks(
    step: BlockStep, length: int, items: list[tuple[npt.NDArray[Any], BlockState]]
) -> list[tuple[BlockOutputs, BlockState]]:
    blocks, states = zip(*items)
    sizes = list(map(len, blocks))
    outputs, state = step(_join_blocks(blocks, length), step.join_states(states))
    return list(zip(split_streams(outputs, sizes), step.split_state(state, sizes)))


def _join_blocks(blocks: Sequence[npt.NDArray[Any]], length: int) -> npt.NDArray[Any]:
    """Join blocks ``[streams, ..., up to length]``, with zeros at their ends unless :data:`MANY` are equally long."""
    lengths = {block.shape[-1] for block in blocks}
    if lengths == {length} or (len(lengths) == 1 and len(blocks) >= MANY):
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0]
    joined = np.zeros((sum(map(len, blocks)), *blocks[0].shape[1:-1], length), blocks[0].dtype)
    first = 0
    for block in blocks:
        joined[first : first + len(block), ..., : block.shape[-1]] = block
        first += len(block)
    return joined


class _Current(threading.local):
    batcher: DynamicBatcher | None = None


_current = _Current()


def batched(
    step: BlockStep, block: npt.NDArray[Any], state: BlockState, length: int
) -> tuple[BlockOutputs, BlockState]:
    """Compute a block, together with those of other files if this thread takes part in a :class:`DynamicBatcher`.

    Args:
        step: what to compute
        block: ``[streams, ..., length]``
        state: state after the previous block
        length: length to which the block is padded, unless many of its own length are computed together. A block that
            another one follows must have this length.

    Returns:
        The outputs, for this length or less, and the state after this block, which is of no use if it was padded.
    """
    batcher = _current.batcher
    if batcher is None:
        return step(_join_blocks([block], length), state)
    found: tuple[BlockOutputs, BlockState] = batcher.compute(
        (step, block.shape[1:-1], length, block.dtype), (block, state), partial(_compute_blocks, step, length)
    )
    return found


@dataclass(frozen=True)
class BatchedCoder:
    """A coder of packets, together with those of other files if this thread takes part in a :class:`DynamicBatcher`.

    Args:
        coder: codes the packets
    """

    coder: PacketCoder

    def encode(self, codes: IntArray, variable: bool) -> bytes:
        """Encode the codes of one packet; see :class:`codec.bitstream.codes.PacketEncoder`.

        Args:
            codes: ``[channels, codebooks, frames]``
            variable: whether frames may have fewer codes than codebooks

        Returns:
            The payload of the packet.
        """
        batcher = _current.batcher
        if batcher is None:
            return self.coder.encode(codes, variable)
        payload: bytes = batcher.compute(
            (id(self.coder), codes.shape, variable), codes, partial(self._encode_all, variable)
        )
        return payload

    def _encode_all(self, variable: bool, packets: list[IntArray]) -> list[bytes]:
        """Encode as many packets at once as memory permits."""
        parts = _split_by_codes(packets, packets[0].size)
        return [payload for part in parts for payload in self.coder.encode_packets(part, variable)]

    def decode_packets(
        self, payloads: Sequence[bytes], channels: int, codebooks: int, frames: int, variable: bool
    ) -> Sequence[CodeArray | ValueError]:
        """Decode the payloads of packets of equal size; see :class:`codec.bitstream.codes.PacketDecoder`.

        Args:
            payloads: payloads, of untrusted origin
            channels: channels of the file
            codebooks: codebooks of the file
            frames: latent frames of each packet
            variable: whether frames may have fewer codes than codebooks

        Returns:
            For each payload existing codes ``[channels, codebooks, frames]``, or what is wrong with it.
        """
        shape = (channels, codebooks, frames, variable)
        batcher = _current.batcher
        if batcher is None:
            return self.coder.decode_packets(payloads, *shape)
        found: Sequence[CodeArray | ValueError] = batcher.compute(
            (id(self.coder), shape, len(payloads)), payloads, partial(self._decode_all, shape)
        )
        return found

    def _decode_all(
        self, shape: tuple[int, int, int, bool], items: list[Sequence[bytes]]
    ) -> list[Sequence[CodeArray | ValueError]]:
        """Decode the packets of as many files at once as memory permits."""
        channels, codebooks, frames, _ = shape
        each = len(items[0])
        results: list[Sequence[CodeArray | ValueError]] = []
        for some in _split_by_codes(items, each * channels * codebooks * frames):
            decoded = self.coder.decode_packets([payload for item in some for payload in item], *shape)
            results += [decoded[at : at + each] for at in range(0, len(decoded), each)] if each else [()] * len(some)
        return results


def _split_by_codes(items: list[_Item], codes: int) -> list[list[_Item]]:
    """Split items of a number of codes each into parts of at most :data:`CODES_AT_ONCE`, or of one item."""
    at_once = max(1, CODES_AT_ONCE // max(1, codes))
    return [items[first : first + at_once] for first in range(0, len(items), at_once)]


def is_batched() -> bool:
    """Determine whether this thread's blocks are computed together with those of other files.

    Returns:
        Whether the thread takes part in a :class:`DynamicBatcher`.
    """
    return _current.batcher is not None
