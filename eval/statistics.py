"""Means and their uncertainty. Clips of one speaker or album are not independent, so whole groups are drawn
again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

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
    number = len(set(groups))
    return _interval(float(np.mean(values)), _means(values, groups, seed), len(values), number)


def _means(values: Sequence[float], groups: Sequence[str], seed: int) -> npt.NDArray[np.float64] | None:
    """Of the draws; None where there are fewer than two groups to draw from."""
    _, index = np.unique(np.asarray(groups, dtype=object).astype(str), return_inverse=True)
    sums, counts = np.bincount(index, values), np.bincount(index)
    if len(counts) < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=RESAMPLES)
    means: npt.NDArray[np.float64] = drawn @ sums / (drawn @ counts)
    return means


def _interval(mean: float, draws: npt.NDArray[np.float64] | None, clips: int, groups: int) -> Estimate:
    if draws is None:
        return Estimate(mean, None, None, clips, groups)
    low, high = np.percentile(draws, [2.5, 97.5])
    return Estimate(mean, float(low), float(high), clips, groups)


def paired_difference(
    values: Mapping[str, float | None], reference: Mapping[str, float | None], groups: Mapping[str, str]
) -> Estimate | None:
    """Mean of the differences clip by clip, with its interval over groups, where both have a value."""
    both = {
        clip: value - other
        for clip, value in values.items()
        if value is not None and (other := reference.get(clip)) is not None
    }
    return estimate(list(both.values()), [groups[clip] for clip in both])


def gap(
    values: Sequence[float], groups: Sequence[str], others: Sequence[float], other_groups: Sequence[str]
) -> Estimate | None:
    """Mean of ``values`` less that of ``others``, which are of other groups; the groups of either side are drawn again
    by themselves. ``clips`` and ``groups`` of the result are those of both. None where a side has no values."""
    if not values or not others:
        return None
    here, there = _means(values, groups, 0), _means(others, other_groups, 1)
    draws = None if here is None or there is None else here - there
    number = len({*groups}) + len({*other_groups})
    return _interval(float(np.mean(values) - np.mean(others)), draws, len(values) + len(others), number)
