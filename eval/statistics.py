"""Means and their uncertainty. Clips of one speaker or album are not independent, so whole groups are drawn
again.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Estimate:
    """Mean over clips with its 95 % interval. ``low`` and ``high`` are None where fewer than two groups were
    judged.
    """

    mean: float
    low: float | None
    high: float | None
    clips: int
    groups: int


def estimate(values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Estimate | None:
    """Mean of ``values`` and its percentile bootstrap interval (Efron 1979) over ``groups``, one name per
    value.

    As many groups as there are, drawn with replacement, 2,000 times; each draw gives the mean over all its
    clips. None if there are no values.
    """
    if not values:
        return None
    _, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    mean = float(np.mean(values))
    if len(counts) < 2:
        return Estimate(mean, None, None, len(values), len(counts))
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
    low, high = np.percentile(drawn @ sums / (drawn @ counts), [2.5, 97.5])
    return Estimate(mean, float(low), float(high), len(values), len(counts))
