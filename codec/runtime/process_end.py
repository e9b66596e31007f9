"""The end of a process."""

import atexit
import contextlib
import os
import sys
import threading

from codec.runtime import signals


def end_process(status: int) -> None:
    """End the process as :func:`sys.exit` does, but leave its objects to the system.

    Python would take PyTorch's apart one by one, a tenth of a second of processor time after each command (measured).
    Functions registered with :mod:`atexit` are called, and output is flushed. If threads are left that the end has to
    wait for, nothing happens, and the caller ends the process in the usual way.

    Args:
        status: exit status
    """
    if any(thread is not threading.current_thread() and not thread.daemon for thread in threading.enumerate()):
        return
    signals.ignore()
    atexit._run_exitfuncs()
    for output in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # their reader is gone, or they are closed
            output.flush()
    os._exit(status)
