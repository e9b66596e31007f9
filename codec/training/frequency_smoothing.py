"""Frequencies from counts, with the smoothing that is best for held-out packets.

The distribution of a class with few occurrences is drawn towards that of its whole table, and this towards uniform.
Each is a Dirichlet prior, whose strength is chosen by trial: empirical Bayes with held-out likelihood, as in
F. Jelinek, "Statistical Methods for Speech Recognition", 1997, chapter 4.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from codec.bitstream.tables import PRECISION
from codec.model.frequency_tables import to_frequencies

CLASS_PRIORS = (3.0, 10.0, 30.0, 100.0, 400.0, 1600.0, 6400.0, math.inf)
"""Prior strengths that are tried for the classes, in pseudo-counts that are distributed like the whole table; infinite:
all classes have the distribution of the table."""
UNIFORM_PRIORS = (0.0, 0.25, 1.0, 4.0)
"""Prior strengths that are tried for the whole table, in uniform pseudo-counts per symbol. In total at least the square
root of the number of occurrences is used (see :meth:`codec.model.frequency_tables.FrequencyTables.fit`)."""


@dataclass(frozen=True)
class Counts:
    """Numbers of occurrences of each symbol in each class, float64 ``[tables, classes, size]``."""

    fitted: Tensor
    """Counts in the packets that tables are fitted to."""
    held_out: Tensor
    """Counts in the packets that are held out."""


def smooth(counts: Counts, class_priors: Sequence[float] = CLASS_PRIORS) -> Tensor:
    """Smooth each table so that the held-out packets cost least.

    Args:
        counts: occurrences of the symbols
        class_priors: prior strengths to try for the classes

    Returns:
        Frequencies from all packets, int32 ``[tables, classes, size]``.
    """
    settings = list(product(class_priors, UNIFORM_PRIORS))
    return _least_cost(
        counts, [partial(_shares, class_prior=prior, uniform_prior=uniform) for prior, uniform in settings]
    )


def adapt(counts: Counts, frequencies: Tensor) -> Tensor:
    """Draw each table of a parent model towards what was counted in its classes, so that held-out packets cost least.

    The parent's distribution is the mean of a Dirichlet prior, as in maximum a posteriori adaptation of language models
    (M. Bacchiani, B. Roark, "Unsupervised language model adaptation", ICASSP 2003).

    Args:
        counts: occurrences of the symbols in the parent's classes
        frequencies: those of the parent ``[tables, classes, size]``

    Returns:
        Frequencies of the same shape; the parent's where the held-out packets say so.
    """
    prior = frequencies.double() / 2**PRECISION

    def drawn(strength: float) -> Callable[[Tensor], Tensor]:
        if math.isinf(strength):
            return lambda counted: prior
        return lambda counted: (counted + strength * prior) / (counted.sum(2, keepdim=True) + strength)

    return _least_cost(counts, [drawn(strength) for strength in CLASS_PRIORS])


def _least_cost(counts: Counts, estimators: Sequence[Callable[[Tensor], Tensor]]) -> Tensor:
    """Choose the estimator of each table that fits the held-out packets best, and apply it to all packets.

    Args:
        counts: occurrences of the symbols
        estimators: functions from counts to probabilities, both ``[tables, classes, size]``
    """
    costs = [-(counts.held_out * estimate(counts.fitted).log2()).sum((1, 2)) for estimate in estimators]
    best = torch.stack(costs).argmin(0)
    everything = counts.fitted + counts.held_out
    tables = torch.empty_like(everything)
    for number in best.unique().tolist():
        tables[best == number] = estimators[number](everything)[best == number]
    return to_frequencies(tables)


def _shares(counts: Tensor, class_prior: float, uniform_prior: float) -> Tensor:
    """Return smoothed probabilities ``[tables, classes, size]``."""
    seen, size = counts.sum(1, keepdim=True), counts.shape[2]
    spread = seen.sum(2, keepdim=True).sqrt().clamp(min=max(1.0, uniform_prior * size))
    overall = seen + spread / size
    overall = overall / overall.sum(2, keepdim=True)
    if math.isinf(class_prior):
        return overall.expand_as(counts)
    shares = counts + class_prior * overall
    return shares / shares.sum(2, keepdim=True)


def coding_cost(counts: Tensor, frequencies: Tensor) -> Tensor:
    """Compute the bits that symbols cost under integer frequencies.

    Args:
        counts: occurrences ``[tables, classes, size]``
        frequencies: of the same shape, each class adding up to ``2**PRECISION``

    Returns:
        Bits ``[tables]``.
    """
    return (counts * (PRECISION - frequencies.double().log2())).sum((1, 2))
