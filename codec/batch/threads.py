"""Files of a batch in concurrent threads of one process, so that their blocks are computed in common batches.

A GPU needs such batches, and with short files they pay on a CPU, too; see :mod:`codec.model.dynamic_batching`.
"""

import contextlib
import gc
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Generic, TypeVar

from codec.batch.jobs import FILES_AT_ONCE
from codec.errors import UserError
from codec.runtime.heap import share_heap
from codec.runtime.torch_threads import torch_threads_setter

_POLL_S = 0.02
"""Interval at which messages of the threads are looked for: a thread that waited for each would be woken several times
per file, and compete for Python's interpreter."""

_Item = TypeVar("_Item")


@dataclass(frozen=True)
class _Progress(Generic[_Item]):
    item: _Item
    seconds: float


@dataclass(frozen=True)
class _Ended(Generic[_Item]):
    item: _Item
    outcome: Any


def run_in_threads(
    work: Callable[[_Item, Callable[[float], None]], Any],
    items: Sequence[_Item],
    threads: int,
    progress: Callable[[_Item, float], None],
    *,
    take_turns: bool = False,
) -> Generator[tuple[_Item, Any]]:
    """Call a function for each item, several at a time.

    Closing the iterator, an error, or an interrupt ends the other calls at their next block, and waits until they have
    removed their incomplete output.

    Args:
        work: called with an item and a function that takes the seconds of audio that were processed
        items: the items, processed in this order
        threads: number of concurrent calls; one means no threads at all
        progress: called in the calling thread with each item and the seconds that ``work`` reports for it
        take_turns: whether only one of the threads runs at any time, as on a CPU that is to compute on one core

    Yields:
        Each item with the result of ``work``, in order of completion.

    Raises:
        UserError: not enough memory on the device for so many files.
        Exception: any error of ``work``, in the calling thread.
    """
    threads = min(threads, len(items))
    if threads <= 1:
        for item in items:
            yield item, work(item, partial(progress, item))
        return
    from codec.model.dynamic_batching import DynamicBatcher

    if take_turns:
        share_heap()

    batcher, set_torch_threads, left = (
        DynamicBatcher(threads, take_turns=take_turns),
        torch_threads_setter(),
        iter(items),
    )
    received: SimpleQueue[_Progress[_Item] | _Ended[_Item] | BaseException] = SimpleQueue()

    def report(item: _Item, seconds: float) -> None:
        batcher.check()
        received.put(_Progress(item, seconds))

    def run() -> None:
        try:
            set_torch_threads()
            with batcher.concurrent_file():
                for item in left:  # shared: each thread takes the next
                    batcher.check()
                    received.put(_Ended(item, work(item, partial(report, item))))
        except BaseException as error:
            if type(error).__name__ == "OutOfMemoryError":  # PyTorch's, which need not be imported
                reason = str(error).splitlines()[0]
                error = UserError(f"{threads} files at once are too many ({reason}); use a smaller --batch")
            received.put(error)

    running = [Thread(target=run) for _ in range(threads)]
    frozen = gc.get_freeze_count()
    gc.freeze()  # or else Python looks through all of PyTorch's objects again and again
    try:
        for thread in running:
            thread.start()
        ended = 0
        while ended < len(items):
            try:
                message = received.get_nowait()
            except Empty:
                time.sleep(_POLL_S)
                continue
            if isinstance(message, BaseException):
                raise message
            if isinstance(message, _Progress):
                progress(message.item, message.seconds)
            else:
                ended += 1
                yield message.item, message.outcome
    finally:
        if not frozen:
            gc.unfreeze()
        batcher.stop()
        for thread in running:
            if thread.ident:
                thread.join()


def split_by_length(
    items: Sequence[_Item], seconds: Callable[[_Item], float], concurrent_files: int | None
) -> list[tuple[list[_Item], int]]:
    """Separate short files from long ones, since on a CPU only blocks of short ones are computed together.

    Args:
        items: the files
        seconds: duration of each
        concurrent_files: see :class:`codec.batch.jobs.BatchOptions`

    Returns:
        Files, and how many of them to run at a time; all together if their number is given.
    """
    if concurrent_files is not None:
        return [(list(items), concurrent_files)]
    found, left = [], list(items)
    for longest, at_once in FILES_AT_ONCE.items():
        found.append(([item for item in left if seconds(item) <= longest], at_once))
        left = [item for item in left if seconds(item) > longest]
    return [*found, (left, 1)]


def group_by_length(
    items: Sequence[_Item], seconds: Callable[[_Item], float], concurrent_files: int | None, processes: int
) -> list[list[_Item]]:
    """Divide the work of several processes.

    Args:
        items: the files
        seconds: duration of each
        concurrent_files: see :class:`codec.batch.jobs.BatchOptions`
        processes: number of processes

    Returns:
        Groups of files to be run together in one process, at least two for each process as far as there are enough.
    """
    groups = []
    for some, threads in split_by_length(items, seconds, concurrent_files):
        size = max(1, min(threads, len(some) // (2 * processes)))
        groups += [some[first : first + size] for first in range(0, len(some), size)]
    return groups


def run_by_length(
    work: Callable[[_Item, Callable[[float], None]], Any],
    items: Sequence[_Item],
    seconds: Callable[[_Item], float],
    concurrent_files: int | None,
    progress: Callable[[_Item, float], None],
) -> Generator[tuple[_Item, Any]]:
    """Call a function for each item, as many at a time as is best for their durations; see :func:`run_in_threads`.

    Args:
        work: as for :func:`run_in_threads`
        items: the items
        seconds: duration of each
        concurrent_files: see :class:`codec.batch.jobs.BatchOptions`
        progress: as for :func:`run_in_threads`

    Yields:
        Each item with the result of ``work``, in order of completion.
    """
    for some, threads in split_by_length(items, seconds, concurrent_files):
        ended = run_in_threads(work, some, threads, progress, take_turns=concurrent_files is None)
        with contextlib.closing(ended):
            yield from ended
