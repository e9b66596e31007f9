"""Processes that tests start, and end again whatever happens.

They come from a server that has imported what they need and computed nothing: a fork of a process in which torch has
used its threads can hang, and starting each afresh takes seconds.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.process import BaseProcess

LIMIT_S = 600.0
"""What is not done by then hangs."""

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.helpers.preloaded"])


@contextmanager
def running(target: Callable[..., object], *arguments: object) -> Iterator[BaseProcess]:
    """A process that calls ``target``; it is killed at the end of the block, if it has not ended."""
    process = CONTEXT.Process(target=target, args=arguments)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def wait_until(true: Callable[[], object], *processes: BaseProcess) -> None:
    """Fails where a process ends before it is ``true``, or after :data:`LIMIT_S`."""
    started = time.monotonic()
    while not true():
        assert all(process.exitcode is None for process in processes), "a process has ended"
        assert time.monotonic() - started < LIMIT_S, "it takes too long"
        time.sleep(0.01)


def wait_for_end(process: BaseProcess) -> int:
    """The exit status."""
    process.join(LIMIT_S)
    assert process.exitcode is not None, "it takes too long"
    return process.exitcode
