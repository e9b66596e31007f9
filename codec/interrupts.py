"""Ctrl-C, and the signals that do the same: SIGTERM, and SIGHUP when a terminal closes; and what to do where an
exception in the middle would do harm.

A signal that the process was started to ignore (``nohup``, SIGINT in the background of a script) stays ignored.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any, BinaryIO

MESSAGE = "interrupted; run the same command again to go on"
STATUS = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
RUN_SIGNALS = (*SIGNALS, signal.SIGUSR1)
"""Those of a training run: by SIGUSR1 job schedulers announce that its time is nearly over."""
Handlers = dict[signal.Signals, Any]


def handle(numbers: Iterable[signal.Signals], handler: Callable[[int, FrameType | None], Any]) -> Handlers:
    """Set the handler of several signals, but for those that are ignored; none outside the main thread.

    Returns:
        The handlers before, for :func:`restore`.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}
    chosen = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in chosen}


def restore(before: Handlers) -> None:
    """Undo :func:`handle`."""
    for number, handler in before.items():
        signal.signal(number, handler)


def terminable(numbers: Iterable[signal.Signals] = SIGNALS) -> None:
    """From now on these signals raise ``KeyboardInterrupt``, too, so that nothing half-written is left behind."""
    handle(numbers, signal.default_int_handler)


@contextmanager
def ends_at_once() -> Iterator[None]:
    """An interrupt ends the process without more ado. For imports: a module that was interrupted in C++ aborts the
    process with a trace, and nothing is under way yet that could be lost."""
    before = handle(SIGNALS, _end)
    try:
        yield
    finally:
        restore(before)


def _end(number: int, frame: FrameType | None) -> None:
    print(f"codec: error: {MESSAGE}", file=sys.stderr, flush=True)
    os._exit(STATUS)


@contextmanager
def ends_input(file: BinaryIO) -> Iterator[threading.Event]:
    """An interrupt lets ``file``, from which is read, end there, so that what was read is finished as usual, and sets
    the event. A second one is like any other."""
    interrupted = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        handle(before, signal.default_int_handler)
        interrupted.set()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, file.fileno())  # a read that waits is begun anew when this handler is done
        os.close(nothing)

    before = handle(SIGNALS, end)
    try:
        yield interrupted
    finally:
        restore(before)


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
