"""Run a function over many files on several processes, with a progress bar."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from codec.errors import UserError
from codec.interrupts import kept_from_children

Task = TypeVar("Task")
Result = TypeVar("Result")

INLINE_S = 2.0
"""Work that is done by then is done without other processes: starting them takes about as long."""


def run(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, description: str) -> Iterator[Result]:
    """``function`` of every task, in order. Closing the iterator or an interrupt stops the workers."""
    with tqdm(total=len(tasks), desc=description, unit="file", disable=not tasks) as bar:
        start, inline = time.monotonic(), 0
        while inline < len(tasks) and (workers <= 1 or time.monotonic() - start < INLINE_S):
            yield function(tasks[inline])
            inline += 1
            bar.update()
        if inline < len(tasks):
            for result in _spread(function, tasks[inline:], workers):
                yield result
                bar.update()


def _spread(function: Callable[[Task], Result], tasks: Sequence[Task], workers: int) -> Iterator[Result]:
    executor = ProcessPoolExecutor(
        workers, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare_worker
    )
    try:
        with kept_from_children():
            results = executor.map(function, tasks, chunksize=min(8, 1 + len(tasks) // (4 * workers)))
        yield from results
    except BrokenProcessPool as error:
        raise UserError("a worker process died (out of memory?); run again: what is finished is kept") from error
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    """End with the parent: a worker would otherwise wait for work after its parent was killed."""
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
