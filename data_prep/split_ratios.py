"""Names of the splits and their shares of the seconds."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from codec.errors import UserError

SPLITS = ("train", "val", "test")
"""Names of the splits."""
DEFAULT_RATIOS = "8:1:1"
"""Shares in the form of the option ``--ratios``."""


@dataclass(frozen=True)
class SplitRatios:
    """Shares of the seconds, which sum to 1."""

    train: float
    val: float
    test: float

    @staticmethod
    def parse(text: str) -> "SplitRatios":
        """Parse the option ``--ratios``.

        Args:
            text: three numbers, train:val:test, in any unit; one is above 0.

        Returns:
            The shares.

        Raises:
            UserError: the text is not of that form.

        >>> SplitRatios.parse("6:2:2")
        SplitRatios(train=0.6, val=0.2, test=0.2)
        """
        try:
            parts = [float(part) for part in text.split(":")]
        except ValueError:
            parts = []
        if len(parts) != 3 or not all(math.isfinite(part) and part >= 0 for part in parts) or not any(parts):
            raise UserError(f"--ratios {text}: give train:val:test, such as 8:1:1 or 9:0.5:0.5")
        return SplitRatios(*(part / sum(parts) for part in parts))

    def share(self, split: str) -> float:
        """Return the share of a split.

        Args:
            split: name of the split.

        Returns:
            Its share, from 0 to 1.
        """
        return {"train": self.train, "val": self.val, "test": self.test}[split]


@dataclass(frozen=True)
class SplitSize:
    """Size of a split."""

    groups: int
    seconds: float
    locked: bool
    """Some of its groups were assigned by an earlier run."""


def find_empty_splits(sizes: Mapping[str, SplitSize], ratios: SplitRatios) -> list[str]:
    """Return the splits that have a share, but no group.

    Args:
        sizes: sizes of the splits.
        ratios: shares of the splits.

    Returns:
        Names of the splits.
    """
    return [split for split in SPLITS if ratios.share(split) > 0 and not sizes[split].groups]
