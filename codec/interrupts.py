"""Ctrl-C, and SIGTERM, which does the same; and what to do where an exception in the middle would do harm."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from threading import Event
from types import FrameType
from typing import BinaryIO

MESSAGE = "interrupted; run the same command again to go on"
STATUS = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def terminable() -> None:
    """From now on SIGTERM raises ``KeyboardInterrupt``, too, so that nothing half-written is left behind."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@contextmanager
def ends_at_once() -> Iterator[None]:
    """An interrupt ends the process without more ado. For imports: a module that was interrupted in C++ aborts the
    process with a trace, and nothing is under way yet that could be lost."""
    before = {number: signal.signal(number, _end) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(number: int, frame: FrameType | None) -> None:
    print(f"codec: error: {MESSAGE}", file=sys.stderr, flush=True)
    os._exit(STATUS)


@contextmanager
def ends_input(file: BinaryIO) -> Iterator[Event]:
    """An interrupt lets ``file``, from which is read, end there, so that what was read is finished as usual, and sets
    the event. A second one is like any other."""
    interrupted = Event()

    def end(number: int, frame: FrameType | None) -> None:
        for one in SIGNALS:
            signal.signal(one, signal.default_int_handler)
        interrupted.set()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, file.fileno())  # a read that waits is begun anew when this handler is done
        os.close(nothing)

    before = {number: signal.signal(number, end) for number in SIGNALS}
    try:
        yield interrupted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Processes that are started here never get Ctrl-C, not even while they start; this one gets it at the end of the
    block. Who started them ends them."""
    resource_tracker.ensure_running()  # starting it, as the first process does otherwise, lets SIGINT in again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
