"""Commands as they are typed: any command as text for a shell, and the command that is being run."""

import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

_running: list[str] = []


def command_line(*words: object) -> str:
    """Return a command as it can be typed, whatever characters its words have.

    Args:
        words: the program and its arguments

    Returns:
        The words, quoted for a shell.

    >>> command_line("codec", "info", "my file.nac")
    "codec info 'my file.nac'"
    """
    return shlex.join(map(str, words))


@contextmanager
def recorded_command(arguments: Sequence[str] | None = None) -> Iterator[None]:
    """Let :func:`running_command` return this command while the block runs.

    Args:
        arguments: words after the program's name; None: those of the process

    Yields:
        Nothing.
    """
    before = list(_running)
    _running[:] = ["codec", *(sys.argv[1:] if arguments is None else arguments)]
    try:
        yield
    finally:
        _running[:] = before


def command_words() -> list[str]:
    """Return the arguments of the command that is being run, as they were typed.

    Returns:
        The words after the program's name; none for calls from Python.
    """
    return _running[1:]


def running_command(*otherwise: object) -> str:
    """Return the command that is being run, as it was typed.

    Args:
        otherwise: the command that does the same, for calls from Python

    Returns:
        The words, quoted for a shell, without the passwords in URLs: commands are recorded in reports.
    """
    return command_line(*(hide_passwords(str(word)) for word in _running or otherwise))


def hide_passwords(text: str) -> str:
    """Replace the passwords in URLs.

    Args:
        text: any text

    Returns:
        The text with three asterisks for each password.

    >>> hide_passwords("--storage postgresql://me:secret@host:5432/search")
    '--storage postgresql://me:***@host:5432/search'
    """
    return re.sub(r"(\w://[^\s/@:]*:)[^\s/@]+@", r"\1***@", text)
