"""Code that several commands share: exit statuses, parsing of arguments, printing of results and errors."""

import argparse
import contextlib
import json
import math
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, NoReturn

from codec.errors import UserError
from codec.runtime import signals
from codec.runtime.messages import is_quiet
from codec.runtime.text import escape_invisible

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, signals.INTERRUPT_STATUS

Run = Callable[[argparse.Namespace, list[str]], int]
"""Runs a command: takes its arguments and the words that the parser does not know; returns the exit status."""
AddCommand = Callable[..., argparse.ArgumentParser]
"""Adds a command: takes its name, its :data:`Run`, a summary and, if that is not enough, a description."""

_TIME = re.compile(r"(\d+(:[0-5]?\d){0,2}(\.\d*)?)|\.\d+", re.ASCII)
_LISTED_SPANS = 5
"""Lost spans that a message lists before it counts the rest."""


class Parser(argparse.ArgumentParser):
    """A parser that reports wrong arguments in one line, like other bad input. It accepts no abbreviated options, which
    new options would break.

    Args:
        **options: options of ``argparse.ArgumentParser``
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        """Report wrong arguments.

        Args:
            message: what is wrong with them

        Raises:
            UserError: always.
        """
        raise UserError(f"{message}; see {self.prog} --help")


def positive(text: str) -> int:
    """Convert an argument to a whole number above 0.

    Args:
        text: the argument

    Returns:
        The number.

    Raises:
        argparse.ArgumentTypeError: it is anything else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return int(text)


def seconds(text: str) -> float:
    """Convert an argument to seconds.

    Args:
        text: seconds (``75.5``), or minutes and seconds (``1:15.5``), or hours, minutes and seconds (``1:02:03``)

    Returns:
        Seconds, 0 or more.

    Raises:
        argparse.ArgumentTypeError: it is anything else.

    >>> seconds("75.5"), seconds("1:15.5"), seconds("1:02:03")
    (75.5, 75.5, 3723.0)
    """
    if not _TIME.fullmatch(text):
        raise argparse.ArgumentTypeError(f"must be seconds, M:SS or H:MM:SS, such as 75.5 or 1:02:03, not {text}")
    total = 0.0
    for part in text.split(":"):
        total = 60 * total + float(part)
    return total


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data``, whose value :func:`codec.dataset.location.parse_location` reads.

    Args:
        parser: the parser of a command
    """
    parser.add_argument(
        "--data",
        required=True,
        metavar="DIR",
        help="folder written by codec prepare, or a folder or URL (s3://, https:// and others) with such a folder,"
        " or with tars of WebDataset or chunks of litdata in train/ and val/",
    )


def add_quiet_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--quiet``, which :func:`codec.cli.main` obeys.

    Args:
        parser: the parser of a command
    """
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="print only warnings, errors and the last line of the result: no progress and no notes",
    )


def join_tags(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Collect tags by name.

    Args:
        pairs: name, in any case, and text of each ``--tag``; a name may occur several times

    Returns:
        Text by name in lower case; several values of a name are joined as :func:`codec.audio.join_values` joins them.
    """
    from codec.audio import join_values

    named = [(name.lower(), text) for name, text in pairs]
    return {name: join_values(text for other, text in named if other == name) for name, _ in named}


def print_error(message: str, status: int) -> int:
    """Print an error to standard error, with control characters escaped, since terminals interpret them.

    Args:
        message: one sentence with the fault and its remedy
        status: exit status of the process

    Returns:
        ``status``.
    """
    print(f"codec: error: {escape_invisible(message)}", file=sys.stderr)
    return status


def print_note(message: str) -> None:
    """Print a note for the user to standard error, unless the command is quiet.

    Args:
        message: one sentence
    """
    if not is_quiet():
        print(f"codec: note: {escape_invisible(message)}", file=sys.stderr)


def print_warning(message: str) -> None:
    """Print a warning for the user to standard error, even if the command is quiet.

    Args:
        message: one sentence
    """
    print(f"codec: warning: {escape_invisible(message)}", file=sys.stderr)


def describe_losses(
    spans: Sequence[tuple[float, float]], cut_off: float | None, remedy: str = "lost and concealed"
) -> str:
    """Describe the lost parts of a file.

    Args:
        spans: start and end of each lost span, in seconds; the first few are listed
        cut_off: time in seconds from which on nothing can be read, else None; nothing stands for this loss
        remedy: what becomes of the others

    Returns:
        Part of a sentence.
    """
    ends = math.inf if cut_off is None else cut_off
    inner = [(start, min(end, ends)) for start, end in spans if start < ends]
    listed = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in inner[:_LISTED_SPANS])
    more = f" and {len(inner) - _LISTED_SPANS} more spans" if len(inner) > _LISTED_SPANS else ""
    parts = [f"damaged; {remedy}: {listed}{more}"] if inner else []
    if cut_off is not None:
        until = spans[-1][1] if spans else cut_off
        rest = f", up to {until:.2f} s," if until - cut_off >= 0.01 else ""
        parts.append(f"nothing after {cut_off:.2f} s can be read; the rest{rest} is missing")
    return "; ".join(parts)


@contextlib.contextmanager
def stdout_to_stderr() -> Iterator[None]:
    """Redirect standard output to standard error while the block runs: trainings print progress, not the result.

    Yields:
        Nothing.
    """
    with contextlib.redirect_stdout(sys.stderr):
        yield


def print_result(result: Any, as_json: bool) -> None:
    """Print the result of a command.

    Args:
        result: a dataclass with a method ``text()``
        as_json: print its fields as JSON instead of that text
    """
    assert is_dataclass(result) and not isinstance(result, type)
    if as_json:
        print(json.dumps(asdict(result), indent=1, default=str))
    else:
        text = result.text()  # type: ignore[attr-defined]
        print(text.splitlines()[-1] if is_quiet() else text)
