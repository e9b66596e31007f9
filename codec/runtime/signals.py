"""Ctrl-C, and the signals that do the same: SIGTERM, and SIGHUP when a terminal closes; and what to do where an
exception in the middle would do harm.

A process that is started with one of these signals ignored, as shells start jobs in the background and as ``nohup``
does, goes on ignoring it.
"""

import atexit
import os
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Event
from types import FrameType
from typing import Any, BinaryIO

MESSAGE = "interrupted; run the same command again to go on"
STATUS = 130


def _present(*names: str) -> tuple[signal.Signals, ...]:
    """Windows lacks some of them."""
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


SIGNALS = _present("SIGINT", "SIGTERM", "SIGHUP")
RUN_SIGNALS = (*SIGNALS, *_present("SIGUSR1"))
"""Those of a training run: by SIGUSR1 job schedulers announce that its time is nearly over."""
Handler = Callable[[int, FrameType | None], object]

REPEATED_S = 5.0
"""An interrupt that comes sooner after the one before does nothing: the work is being put in order still."""


def install(handler: Handler, numbers: Iterable[signal.Signals] = SIGNALS) -> dict[signal.Signals, Any]:
    """Let signals call ``handler``, unless they are ignored. For the main thread alone.

    Returns:
        What handled them before.
    """
    chosen = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in chosen}


@contextmanager
def handled_by(handler: Handler, numbers: Iterable[signal.Signals] = SIGNALS) -> Iterator[None]:
    """As :func:`install`, while the block runs."""
    before = install(handler, numbers)
    try:
        yield
    finally:
        for number, present in before.items():
            signal.signal(number, signal.SIG_DFL if present is None else present)


@contextmanager
def raised_once(numbers: Iterable[signal.Signals] = SIGNALS) -> Iterator[None]:
    """The signals raise ``KeyboardInterrupt``, so that nothing half-written is left behind; further ones within
    :data:`REPEATED_S` do not disturb what removes it."""
    last = -REPEATED_S

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= REPEATED_S:
            atexit.register(_ignore)  # while the interpreter ends, an exception would be a trace on the screen
            raise KeyboardInterrupt

    with handled_by(interrupt, numbers):
        yield


def _ignore() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def ends_at_once() -> Iterator[None]:
    """An interrupt ends the process without more ado. For imports: a module that was interrupted in C++ aborts the
    process with a trace, and nothing is under way yet that could be lost."""
    with handled_by(_end):
        yield


def _end(number: int, frame: FrameType | None) -> None:
    print(f"codec: error: {MESSAGE}", file=sys.stderr, flush=True)
    os._exit(STATUS)


@contextmanager
def ends_input(file: BinaryIO) -> Iterator[Event]:
    """An interrupt lets ``file``, from which is read, end there, so that what was read is finished as usual, and sets
    the event. A second one is like any other."""
    interrupted = Event()

    def end(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, file.fileno())  # a read that waits is begun anew when this handler is done
        os.close(nothing)

    with handled_by(end):
        yield interrupted


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started here never get Ctrl-C, not even while they start; this one gets it at the end of the
    block. Who started them ends them."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows: children get Ctrl-C as well there
        yield
        return
    from multiprocessing import resource_tracker  # not on every system

    resource_tracker.ensure_running()  # starting it, as the first process does otherwise, lets SIGINT in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
