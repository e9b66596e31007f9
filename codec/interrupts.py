"""Ctrl-C, and SIGTERM, which does the same; and what to do where an exception in the middle would do harm."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

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
def kept_from_children() -> Iterator[None]:
    """Processes that are started here never get Ctrl-C, not even while they start; this one gets it at the end of the
    block. Who started them ends them."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
