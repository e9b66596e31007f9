"""Imports of large libraries by commands."""

import gc
import signal
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from codec.runtime.signals import SIGNALS, exit_on_interrupt


@contextmanager
def importing(numbers: Iterable[signal.Signals] = SIGNALS, *, tell: bool = True) -> Iterator[None]:
    """Import modules in the block, in less time and so that an interrupt ends the process at once.

    Python's garbage collector would look through the growing number of objects again and again, which takes an eighth
    of the time of ``import torch`` (measured); nothing that a module holds is garbage. So it waits until the end of the
    block, and never looks at what was there by then.

    Args:
        numbers: as for :func:`codec.runtime.signals.exit_on_interrupt`
        tell: as for :func:`codec.runtime.signals.exit_on_interrupt`

    Yields:
        Nothing.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        with exit_on_interrupt(numbers, tell=tell):
            yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
