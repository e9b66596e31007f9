"""Map a function over many items in several processes, which end with the process that started them.

For long work on single files, where the death of one process must cost one file alone, see
:mod:`codec.batch.processes`.
"""

import multiprocessing
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar

from codec.errors import UserError
from codec.runtime.progress import ProgressBar
from codec.runtime.signals import sigint_blocked

_Item = TypeVar("_Item")
_Item_co = TypeVar("_Item_co", covariant=True)
_Result = TypeVar("_Result")

_CHUNKS_AHEAD = 4
"""Chunks that each process has in flight at most, so that memory does not grow with the number of items."""


class Items(Protocol[_Item_co]):
    """Items of a known number, which are read one by one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[_Item_co]: ...


class ItemMapper(Protocol):
    """Processes elsewhere, such as :class:`codec.distributed.cluster.Cluster`."""

    def map(
        self, function: Callable[[_Item], _Result], items: Items[_Item], options: "PoolOptions"
    ) -> Generator[_Result, None, None]:
        """Compute ``function(item)`` of every item, like :func:`map_in_processes`.

        Args:
            function: function to compute; it is pickled
            items: arguments of the calls
            options: options that apply to processes elsewhere

        Returns:
            The results in the order of the items.
        """


Workers = int | ItemMapper
"""A number of processes on this machine, or processes elsewhere."""

INLINE_S = 2.0
"""Seconds of :attr:`PoolOptions.inline_first`: starting processes takes about as long."""


@dataclass(frozen=True)
class PoolOptions:
    """Options of :func:`map_in_processes`: processes and progress bar."""

    workers: Workers
    """Number of processes. With 1, everything is computed in the calling process."""
    description: str = ""
    """Text of the progress bar; without it, there is none."""
    unit: str = "file"
    """Unit of the progress bar."""
    inline_first: bool = False
    """Compute in the calling process for :data:`INLINE_S`, so that short work starts no other process."""
    max_chunk: int = 1
    """Maximum number of items that a process takes at once: more save time if items are short, but delay the progress
    bar."""
    initializer: Callable[[], object] | None = None
    """Called in each started process before its first item; it is pickled."""
    advice: str = "run the same command again: finished work is not repeated"
    """Advice at the end of the error message if a process dies."""


def map_in_processes(
    function: Callable[[_Item], _Result], items: Items[_Item], options: PoolOptions
) -> Generator[_Result, None, None]:
    """Yield ``function(item)`` of every item, in order. Few items are held at a time.

    Closing the generator, or an interrupt, ends the processes after the items that they are computing. Processes are
    spawned: a fork of a process in which PyTorch has used its threads can hang.

    Args:
        function: function to compute; it is pickled, so it is defined at the top level of a module
        items: arguments of the calls
        options: number of processes, progress bar and the like

    Yields:
        The results in the order of the items.

    Raises:
        UserError: a process died.
    """
    if not isinstance(options.workers, int):
        yield from options.workers.map(function, items, options)
        return
    total = len(items)
    hidden = not total or not options.description
    with ProgressBar(total=total, desc=options.description, unit=options.unit, disable=hidden) as bar:
        started, done = time.monotonic(), 0
        inline_s = INLINE_S if options.inline_first else 0.0
        rest = iter(items)
        while done < total and (options.workers <= 1 or time.monotonic() - started < inline_s):
            yield function(next(rest))
            done += 1
            bar.update()
        if done == total:
            return
        bar.set_description(f"{options.description}: starting {options.workers} processes")
        chunk = min(options.max_chunk, 1 + (total - done) // (4 * options.workers))
        with closing(_map_in_pool(function, rest, chunk, options.workers, options)) as results:
            for result in results:
                yield result
                bar.set_description(options.description, refresh=False)
                bar.update()


def _map_in_pool(
    function: Callable[[_Item], _Result], items: Iterator[_Item], chunk: int, workers: int, options: PoolOptions
) -> Generator[_Result, None, None]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(options.initializer,))
    chunks = iter(lambda: list(islice(items, chunk)), [])
    running: deque[Future[list[_Result]]] = deque()
    try:
        while True:
            with sigint_blocked():  # starts processes, which must not inherit an interrupt
                for some in islice(chunks, _CHUNKS_AHEAD * workers - len(running)):
                    running.append(pool.submit(_call_each, function, some))
            if not running:
                return
            yield from running.popleft().result()
    except BrokenProcessPool as error:
        raise UserError(f"a worker process died (out of memory?); {options.advice}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _call_each(function: Callable[[_Item], _Result], items: Sequence[_Item]) -> list[_Result]:
    return [function(item) for item in items]


def _start(initializer: Callable[[], object] | None) -> None:
    _end_with_parent()
    if initializer is not None:
        initializer()


def _end_with_parent() -> None:
    """End this process when its parent ends: it would otherwise wait for work for ever after the parent was killed."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
