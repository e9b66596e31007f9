"""What the commands share: exit statuses, how arguments are read, how results and errors are shown."""

import argparse
import contextlib
import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any, NoReturn

from codec.errors import UserError
from codec.runtime import signals

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
"""C0 and C1, and what reorders or breaks lines in Unicode."""

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, signals.STATUS

Command = Callable[[argparse.Namespace, list[str]], int]
AddCommand = Callable[..., argparse.ArgumentParser]
"""Adds a command by its name, what runs it, a summary and, where the summary is not all, a description."""


class Parser(argparse.ArgumentParser):
    """One line for wrong arguments, like for all bad input; no abbreviations, which new options would break."""

    def __init__(self, **options: Any) -> None:
        super().__init__(allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message}; see {self.prog} --help")


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number above 0, not {text}")
    return int(text)


def tags_of(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """The texts by their names; of a name that was given several times, all values."""
    from codec.audio import join_values

    return {name: join_values(text for other, text in pairs if other == name) for name, _ in pairs}


def printable(text: str) -> str:
    """Return the text with its control characters escaped: names of files may hold them, and terminals obey."""
    return _CONTROL.sub(lambda found: repr(found[0])[1:-1], text)


def command_line(*words: object) -> str:
    """Return a command as it can be typed, whatever the names in it."""
    return shlex.join(map(str, words))


def print_error(message: str, status: int) -> int:
    print(f"codec: error: {printable(message)}", file=sys.stderr)
    return status


def note(message: str) -> None:
    """What the user may want to know of what is done all the same."""
    print(f"codec: note: {printable(message)}", file=sys.stderr)


def describe_losses(spans: Sequence[tuple[float, float]], cut_off: float | None) -> str:
    """Which moments were lost, in words; the first few of many. From ``cut_off`` on, they are not concealed."""
    ends = math.inf if cut_off is None else cut_off
    concealed = [(start, min(end, ends)) for start, end in spans if start < ends]
    some = ", ".join(f"{start:.2f} to {end:.2f} s" for start, end in concealed[:5])
    more = f" and {len(concealed) - 5} more stretches" if len(concealed) > 5 else ""
    told = [f"damaged; lost and concealed are {some}{more}"] if concealed else []
    if cut_off is not None:
        until = spans[-1][1] if spans else cut_off
        rest = f", up to {until:.2f} s," if until > cut_off else ""
        told.append(f"cut off at {cut_off:.2f} s; what was to follow{rest} is missing")
    return "; ".join(told)


@contextlib.contextmanager
def result_alone() -> Iterator[None]:
    """What trainings say meanwhile is progress, not the result: it goes where progress bars go."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def show(result: Any, as_json: bool) -> None:
    assert is_dataclass(result) and not isinstance(result, type)
    if as_json:
        print(json.dumps(asdict(result), indent=1, default=str))
    else:
        print(result.text())  # type: ignore[attr-defined]
