"""A function over many inputs on several processes, which end with the process that started them.

For long work on single files, where the death of one process must cost one file alone, see
:mod:`codec.batch.processes`.
"""

import multiprocessing
import os
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from codec.errors import UserError
from codec.runtime.signals import sigint_blocked

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_in_processes(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    *,
    advice: str,
    start: Callable[[], object] | None = None,
    chunksize: int = 1,
) -> Generator[Result]:
    """``function`` of every item, in order.

    Closing the iterator, or an interrupt, ends the processes after the items they are at. They are spawned: a fork of a
    process in which torch has used its threads can hang.

    Args:
        function: what to compute; it is pickled.
        items: its arguments.
        workers: number of processes.
        advice: what to do when a process dies, as the end of the error message.
        start: called in each process before its first item.
        chunksize: number of items that a process takes at once.

    Raises:
        UserError: a process died.
    """
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start, initargs=(start,))
    try:
        with sigint_blocked():
            results = pool.map(function, items, chunksize=chunksize)
        yield from results
    except BrokenProcessPool as error:
        raise UserError(f"a worker process died (out of memory?); {advice}") from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(start: Callable[[], object] | None) -> None:
    _end_with_parent()
    if start is not None:
        start()


def _end_with_parent() -> None:
    """A worker would otherwise wait for work for ever after its parent was killed."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
