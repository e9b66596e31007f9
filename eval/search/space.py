"""What a search may vary: settings with their choices or ranges."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from codec.errors import UserError

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

DIGITS = 4
"""Significant ones of a number that is drawn: more would be noise in a recipe."""

Settings = Mapping[str, Any]
"""Name: value, such as ``{"optim.lr": 3e-4}``."""


@dataclass(frozen=True)
class Setting:
    """One of ``choices``, or a number from ``low`` to ``high``; whole where both are, and then in steps of ``step``."""

    choices: list[Any] | None = None
    low: int | float | None = None
    high: int | float | None = None
    step: int = 1
    log: bool = False

    def check(self, where: str) -> None:
        """Raises ``UserError`` unless it can be drawn from."""
        if (self.choices is None) == (self.low is None or self.high is None):
            raise UserError(f"{where}: give choices, or low and high")
        if self.choices is not None:
            if not self.choices:
                raise UserError(f"{where}: has no choices")
        elif not self.low < self.high:  # type: ignore[operator]
            raise UserError(f"{where}: low ({self.low}) must be below high ({self.high})")
        elif self.log and not self.low > 0:  # type: ignore[operator]
            raise UserError(f"{where}: on a logarithmic scale low must be above 0, not {self.low}")
        elif self.step < 1 or (self.step > 1 and (not self.whole or self.log)):
            raise UserError(f"{where}: step is for whole numbers on a linear scale, and at least 1")

    @property
    def whole(self) -> bool:
        return isinstance(self.low, int) and isinstance(self.high, int)

    def holds(self, value: Any) -> bool:
        """Whether it could be drawn."""
        if self.choices is not None:
            return value in self.choices
        assert self.low is not None and self.high is not None
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        return not self.whole or (isinstance(value, int) and (value - self.low) % self.step == 0)

    def distribution(self) -> "BaseDistribution":
        """Choices as JSON, since they may be lists or mappings."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.choices is not None:
            return CategoricalDistribution([json.dumps(choice) for choice in self.choices])
        assert self.low is not None and self.high is not None
        if self.whole:
            high = int(self.low) + (int(self.high) - int(self.low)) // self.step * self.step
            return IntDistribution(int(self.low), high, self.log, self.step)
        return FloatDistribution(float(self.low), float(self.high), self.log)

    def to_drawn(self, value: Any) -> Any:
        """As the distribution has it."""
        return json.dumps(value) if self.choices is not None else value

    def from_drawn(self, value: Any) -> Any:
        if self.choices is not None:
            return json.loads(value)
        return int(value) if self.whole else rounded(value)


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
