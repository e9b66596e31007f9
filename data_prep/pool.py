"""Run a function over many files on several processes, with a progress bar."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from tqdm import tqdm

from codec.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")

_WORTH_A_POOL = 64
"""Starting processes costs more than the work on fewer files."""


def run(
    function: Callable[[Task], Result], tasks: Sequence[Task], workers: int, description: str
) -> Iterator[Result]:
    """``function`` of every task, in order. Closing the iterator or an interrupt stops the workers."""
    with tqdm(total=len(tasks), desc=description, unit="file", disable=not tasks) as bar:
        if workers <= 1 or len(tasks) < _WORTH_A_POOL:
            for task in tasks:
                yield function(task)
                bar.update()
            return
        executor = ProcessPoolExecutor(
            workers, mp_context=multiprocessing.get_context("spawn"), initializer=_prepare_worker
        )
        try:
            for result in executor.map(function, tasks, chunksize=8):
                yield result
                bar.update()
        except BrokenProcessPool as error:
            raise UserError(
                "a worker process died (out of memory?); run again: what is finished is kept"
            ) from error
        finally:
            executor.shutdown(wait=True, cancel_futures=True)


def _prepare_worker() -> None:
    """Leave Ctrl-C to the parent, and end with it: a worker would otherwise wait for work after its parent
    was killed.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
