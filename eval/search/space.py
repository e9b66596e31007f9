"""The space that a search draws settings from: each dimension has choices or a range.

Settings that are to change together, such as the dimension of the latent and the number of codebooks that it needs, are
one dimension with a name of its own. Its choices map the names of these settings to values.
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from codec.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

SIGNIFICANT_DIGITS = 4
"""Drawn numbers are rounded to this many significant digits, which keeps recipes readable."""

CandidateSettings = Mapping[str, Any]
"""Name of a dimension to value: a dotted name, such as ``{"optim.lr": 3e-4}``, or that of several settings."""


def sets_several(value: Any) -> bool:
    """Return whether a value stands for several settings.

    Args:
        value: value of a dimension.

    Returns:
        True if it maps dotted names to values.

    >>> sets_several({"codec.hop": 160, "codec.frames_per_latent": 2}), sets_several({"l1": 1.0})
    (True, False)
    """
    return isinstance(value, Mapping) and bool(value) and all("." in str(name) for name in value)


def single_settings(settings: CandidateSettings) -> dict[str, Any]:
    """Return the settings that values stand for.

    Args:
        settings: settings of a candidate.

    Returns:
        Dotted name to value.

    >>> single_settings({"optim.lr": 3e-4, "frames": {"codec.hop": 160, "codec.frames_per_latent": 2}})
    {'optim.lr': 0.0003, 'codec.hop': 160, 'codec.frames_per_latent': 2}
    """
    found: dict[str, Any] = {}
    for name, value in settings.items():
        found |= value if sets_several(value) else {name: value}
    return found


@dataclass(frozen=True)
class Dimension:
    """The values that one setting may take: a list of choices, or a range of numbers.

    Args:
        choices: possible values, or mappings of dotted names to values if they are of several settings; None: a range.
        low: smallest number. A range whose two ends are integers holds integers only.
        high: largest number.
        step: distance between integers.
        log: whether numbers are drawn uniformly on a logarithmic scale.
    """

    choices: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int = 1
    log: bool = False

    def check(self, where: str) -> None:
        """Check that values can be drawn.

        Args:
            where: file and setting, which begin the error message.

        Raises:
            UserError: there are neither choices nor a range, or the range is empty or unsuitable.
        """
        if (self.choices is None) == (self.low is None or self.high is None):
            raise UserError(f"{where}: give choices, or low and high")
        if self.choices is not None:
            if not self.choices:
                raise UserError(f"{where}: choices must list at least one value")
            if self.names and any(not sets_several(one) or list(one) != self.names for one in self.choices):
                raise UserError(f"{where}: each choice must set {', '.join(self.names)}, in this order")
        elif not self.low < self.high:  # type: ignore[operator]
            raise UserError(f"{where}: low ({self.low}) must be below high ({self.high})")
        elif self.log and not self.low > 0:  # type: ignore[operator]
            raise UserError(f"{where}: on a logarithmic scale low must be above 0, not {self.low}")
        elif self.step < 1 or (self.step > 1 and (not self.whole or self.log)):
            raise UserError(f"{where}: step must be at least 1, and needs a linear range of integers")

    @property
    def names(self) -> list[str]:
        """Names of the settings that the choices set, if these are several."""
        return list(self.choices[0]) if self.choices and sets_several(self.choices[0]) else []

    @property
    def whole(self) -> bool:
        """True if the range holds only integers."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    def contains(self, value: Any) -> bool:
        """Return whether a value can be drawn.

        Args:
            value: any value.

        Returns:
            True if it is one of the choices or lies in the range.

        >>> Dimension(low=1, high=8, step=3).contains(4), Dimension(low=1, high=8, step=3).contains(3)
        (True, False)
        """
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.whole or (isinstance(value, int) and (value - self.low) % self.step == 0)

    def distribution(self) -> "BaseDistribution":
        """Return the distribution for Optuna.

        Returns:
            Uniform, also on a logarithmic scale. Choices are JSON texts, since they may be lists or mappings.
        """
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution([json.dumps(choice) for choice in self.choices])
        assert self.low is not None and self.high is not None
        if self.whole:
            high = int(self.low) + (int(self.high) - int(self.low)) // self.step * self.step
            return IntDistribution(int(self.low), high, self.log, self.step)
        return FloatDistribution(float(self.low), float(self.high), self.log)

    def to_optuna(self, value: Any) -> Any:
        """Convert a value to the form in which Optuna stores it.

        Args:
            value: value of the setting.

        Returns:
            A JSON text if the dimension has choices, else the number.
        """
        return json.dumps(value) if self.choices is not None else value

    def from_optuna(self, value: Any) -> Any:
        """Convert a value that Optuna drew.

        Args:
            value: JSON text or number.

        Returns:
            The value of the setting; numbers are rounded to :data:`SIGNIFICANT_DIGITS`.

        >>> Dimension(low=0.1, high=1.0).from_optuna(0.123456)
        0.1235
        """
        if self.choices is not None:
            return json.loads(value)
        return int(value) if self.whole else _round(value)


def _round(value: float) -> float:
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}") if math.isfinite(value) else value


def format_setting(value: Any) -> str:
    """Format the value of a setting for a table.

    Args:
        value: number, text, list or mapping.

    Returns:
        The text. Of several settings, the part of their names that is common is left out.

    >>> format_setting({"codec.quantizer.latent_dim": 96, "codec.quantizer.codebooks": 36})
    'latent_dim 96, codebooks 36'

    >>> format_setting(0.0005), format_setting("onnx"), format_setting([1, 2])
    ('0.0005', 'onnx', '[1, 2]')
    """
    if sets_several(value):
        sections = zip(*(name.split(".")[:-1] for name in value))
        common = sum(1 for _ in takewhile(lambda names: len(set(names)) == 1, sections))
        return ", ".join(f"{name.split('.', common)[-1]} {format_setting(one)}" for name, one in value.items())
    return f"{value:g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value


_PHRASES: Mapping[str, Callable[[Any], str]] = {
    "kbps": lambda value: f"{value:g} kbit/s" if value else "all codes",
    "codebooks": lambda value: f"{value} codebooks" if value > 1 else "1 codebook",
    "entropy": lambda value: "stream" if value == "none" else "file",
    "precision": str,
    "runtime": lambda value: {"onnx": "ONNX", "eager": "PyTorch"}.get(value, str(value)),
    "threads": lambda value: f"{value} threads" if value > 1 else "1 thread",
    "packet_s": lambda value: f"packets of {value:g} s",
}
"""Settings of operating points in words."""


def describe_settings(settings: CandidateSettings, default: CandidateSettings) -> str:
    """Describe settings by those that differ from others.

    Args:
        settings: settings of a candidate.
        default: the settings that they are compared with.

    Returns:
        A short text; empty if there is no difference. Of a dotted name, the last part stands for it, or the last two if
        several settings end alike.

    >>> describe_settings({"kbps": 6.0, "codebooks": 12}, {"kbps": 0.0, "codebooks": 24})
    '6 kbit/s, 12 codebooks'
    >>> names = ("codec.encoder.width", "codec.decoder.width", "optim.lr")
    >>> describe_settings(dict(zip(names, (96, 128, 0.002))), dict(zip(names, (256, 128, 0.001))))
    'encoder.width 96, lr 0.002'
    """
    ends = Counter(name.rpartition(".")[2] for name in settings)
    parts = []
    for name, value in settings.items():
        if value != default.get(name):
            last = name.rpartition(".")[2]
            short = last if ends[last] == 1 else ".".join(name.split(".")[-2:])
            text = format_setting(value)
            parts.append(
                _PHRASES[name](value) if name in _PHRASES else text if sets_several(value) else f"{short} {text}"
            )
    return ", ".join(parts)
