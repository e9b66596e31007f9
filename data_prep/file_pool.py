"""Run a function over many files on several processes, with a progress bar."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tqdm import tqdm

from codec.runtime.process_pool import map_in_processes

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
            left = tasks[inline:]
            chunksize = min(8, 1 + len(left) // (4 * workers))
            advice = "run again: what is finished is kept"
            for result in map_in_processes(function, left, workers, advice=advice, chunksize=chunksize):
                yield result
                bar.update()
