"""Messages of long work: lines above the progress bar on a terminal, dated lines in a log, nothing with ``--quiet``."""

import sys
from datetime import datetime

_quiet = False


def set_quiet(quiet: bool) -> None:
    """Leave out progress and messages in this process from now on, except warnings and errors.

    Args:
        quiet: False shows them again
    """
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Return whether progress and messages are left out.

    Returns:
        The last value of :func:`set_quiet`; at first False.
    """
    return _quiet


def dated(text: str) -> str:
    """Put the local time before a line of a log.

    Args:
        text: one line

    Returns:
        Such as ``2030-01-02 03:04:05 text``.
    """
    return f"{datetime.now():%Y-%m-%d %H:%M:%S} {text}"


def say(text: str) -> None:
    """Print a message to standard output, unless the process is quiet; with the time if that is not a terminal.

    Args:
        text: one line
    """
    if not _quiet:
        warn(text)


def warn(text: str) -> None:
    """Print a message like :func:`say`, even if the process is quiet.

    Args:
        text: one line
    """
    from tqdm import tqdm

    tqdm.write(text if sys.stdout.isatty() else dated(text))
    sys.stdout.flush()
