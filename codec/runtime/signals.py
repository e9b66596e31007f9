"""Handle Ctrl-C, and the signals that mean the same: SIGTERM, and SIGHUP when a terminal closes.

A process that starts with one of these signals ignored (jobs in the background of a shell, and ``nohup``) keeps
ignoring it.
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

MESSAGE = "interrupted; run the same command again to continue"
INTERRUPT_STATUS = 130


def _present(*names: str) -> tuple[signal.Signals, ...]:
    """Windows lacks some of them."""
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


SIGNALS = _present("SIGINT", "SIGTERM", "SIGHUP")
RUN_SIGNALS = (*SIGNALS, *_present("SIGUSR1"))
"""Those of a training run. Job schedulers send SIGUSR1 when its time is nearly over."""
Handler = Callable[[int, FrameType | None], object]

REPEATED_S = 5.0
"""A signal that follows another one sooner is ignored, because the program is still cleaning up."""


def install_handler(handler: Handler, numbers: Iterable[signal.Signals] = SIGNALS) -> dict[signal.Signals, Any]:
    """Let signals call a function, unless they are ignored. Only the main thread may do this.

    Args:
        handler: called with the number of the signal and the frame that it interrupted
        numbers: the signals

    Returns:
        The previous handler of each signal.
    """
    chosen = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
    return {number: signal.signal(number, handler) for number in chosen}


@contextmanager
def signal_handler(handler: Handler, numbers: Iterable[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Let signals call a function while the block runs, unless they are ignored.

    Args:
        handler: as for :func:`install_handler`
        numbers: the signals

    Yields:
        Nothing.
    """
    before = install_handler(handler, numbers)
    try:
        yield
    finally:
        for number, present in before.items():
            signal.signal(number, signal.SIG_DFL if present is None else present)


@contextmanager
def interrupt_once(numbers: Iterable[signal.Signals] = SIGNALS) -> Iterator[None]:
    """Let signals raise ``KeyboardInterrupt`` while the block runs, so that nothing half-written is left behind.

    Further signals within :data:`REPEATED_S` are ignored, so that they do not disturb the cleaning up.

    Args:
        numbers: the signals

    Yields:
        Nothing.
    """
    last = -REPEATED_S

    def interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal last
        before, last = last, time.monotonic()
        if last - before >= REPEATED_S:
            atexit.register(ignore)  # while the interpreter ends, an exception would be a trace on the screen
            raise KeyboardInterrupt

    with signal_handler(interrupt, numbers):
        yield


def ignore() -> None:
    """Ignore interrupts from now on, since the process ends."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def exit_on_interrupt(numbers: Iterable[signal.Signals] = SIGNALS, *, tell: bool = True) -> Iterator[None]:
    """Let an interrupt end the process at once while the block runs.

    This is for imports: a module that is interrupted in C++ aborts the process with a trace, and there is nothing yet
    that could be lost.

    Args:
        numbers: the signals
        tell: whether to print a line

    Yields:
        Nothing.
    """

    def end(number: int, frame: FrameType | None) -> None:
        if tell:
            print(f"codec: error: {MESSAGE}", file=sys.stderr, flush=True)
        os._exit(INTERRUPT_STATUS)

    with signal_handler(end, numbers):
        yield


@contextmanager
def end_input_on_interrupt(file: BinaryIO) -> Iterator[Event]:
    """Let an interrupt end an input file while the block runs, so that the data read so far is processed as usual.

    Args:
        file: the input, such as standard input; a read that waits for data also ends

    Yields:
        An event that the interrupt sets. A second interrupt raises ``KeyboardInterrupt``.
    """
    interrupted = Event()

    def end(number: int, frame: FrameType | None) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, file.fileno())  # a read that waits starts again after this handler
        os.close(nothing)

    with signal_handler(end):
        yield interrupted


@contextmanager
def sigint_blocked() -> Iterator[None]:
    """Keep Ctrl-C from processes that are started in the block, even while they start.

    This process receives it at the end of the block, and must end the others.

    Yields:
        Nothing.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows: children get Ctrl-C as well there
        yield
        return
    from multiprocessing import resource_tracker  # not on every system

    resource_tracker.ensure_running()  # the first process would start it otherwise, which unblocks SIGINT
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
