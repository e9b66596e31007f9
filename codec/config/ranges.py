"""Checks of settings: each value has its declared type, and each number lies in its range."""

import math
import reprlib
import typing
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal

from codec.errors import UserError

_representation = reprlib.Repr()
_representation.maxlevel = 2


def shorten(value: Any) -> str:
    """Represent a value of any size in a message.

    Args:
        value: any value, such as one from a recipe

    Returns:
        Its ``repr``, without the middle part if it is long.
    """
    return _representation.repr(value)


@dataclass(frozen=True)
class Range:
    """An interval of numbers.

    >>> str(Range(0, 1, above=True)), Range(0, 1, above=True).contains(0)
    ('above 0 and at most 1', False)
    """

    low: float
    high: float
    above: bool = False
    """``low`` itself is excluded."""
    below: bool = False
    """``high`` itself is excluded."""

    def contains(self, value: float) -> bool:
        """Decide whether a number lies in the interval.

        Args:
            value: the number

        Returns:
            True if it does; False for NaN.
        """
        low = value > self.low if self.above else value >= self.low
        return low and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low, high = (f"{end:,}" if isinstance(end, int) else f"{end:g}" for end in (self.low, self.high))
        if self.above:
            return f"above {low} and {'below' if self.below else 'at most'} {high}"
        return f"from {low} to {'below ' if self.below else ''}{high}"


SHARE = Range(0, 1)
"""Range of a share."""


def check_settings(section: str, settings: Any, ranges: Mapping[str, Range]) -> None:
    """Check each field of a dataclass: its declared type, and for numbers the range.

    Args:
        section: name of the section in messages, such as ``optim``
        settings: an instance of a dataclass, whose fields are numbers, truth values, literals, tuples or dictionaries
            of numbers, or dataclasses
        ranges: range of each field with numbers, by name

    Raises:
        UserError: one line that names the setting, the range and the value.
    """
    hints = _hints(settings.__class__)
    for field in fields(settings):
        name = f"{section}.{field.name}" if section else field.name
        _check(name, getattr(settings, field.name), hints[field.name], ranges.get(field.name))


@lru_cache
def _hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _check(name: str, value: Any, hint: Any, limits: Range | None) -> None:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in (int, float):
        assert limits is not None, f"{name} has no range"
        _check_number(name, value, hint, limits)
    elif origin is Literal:
        _require_value(value in arguments, name, f"one of {', '.join(arguments)}", value)
    elif origin is tuple:
        any_length = arguments[-1] is Ellipsis
        length = "values" if any_length else f"{len(arguments)} values"
        fits = isinstance(value, tuple) and (0 < len(value) <= 64 if any_length else len(value) == len(arguments))
        _require_value(fits, name, f"a list of {length}", value)
        for item in value:
            _check(name, item, arguments[0], limits)
    elif origin is dict:
        _require_value(isinstance(value, dict), name, "names with numbers", value)
        for key, item in value.items():
            _require_value(isinstance(key, str), name, "names with numbers", key)
            _check(f"{name}.{key}", item, arguments[1], limits)
    else:
        assert isinstance(hint, type) and (hint is bool or is_dataclass(hint))
        _require_value(isinstance(value, hint), name, "true or false" if hint is bool else "a group of settings", value)


def _check_number(name: str, value: Any, kind: type, limits: Range) -> None:
    number = not isinstance(value, bool) and isinstance(value, int if kind is int else (int, float))
    _require_value(number, name, "a whole number" if kind is int else "a number", value)
    _require_value(limits.contains(value) and (kind is int or math.isfinite(value)), name, str(limits), value)


def _require_value(valid: bool, name: str, what: str, value: Any) -> None:
    if not valid:
        raise UserError(f"{name} must be {what}, not {shorten(value)}")


def check_order(name: str, bounds: tuple[float, float]) -> None:
    """Check that the limits of a range are in order.

    Args:
        name: the setting, for the message
        bounds: lowest and highest value

    Raises:
        UserError: the lowest is above the highest.
    """
    if bounds[0] > bounds[1]:
        raise UserError(f"{name} must be the lowest and the highest value, not {shorten(bounds)}")


def check_setting(valid: bool, message: str) -> None:
    """Check a rule that concerns several settings.

    Args:
        valid: whether the rule holds
        message: one sentence that names the settings and the rule

    Raises:
        UserError: with that message, if the rule does not hold.
    """
    if not valid:
        raise UserError(message)
