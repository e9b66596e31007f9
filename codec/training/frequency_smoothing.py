"""Frequencies for what was counted, smoothed as much as packets that were held out ask for.

Where little was counted, the shares of a class are drawn towards those of its whole table, and these towards uniform:
each is a Dirichlet prior, of so many occurrences, and how many is tried (empirical Bayes by held-out likelihood, as in
F. Jelinek, Statistical Methods for Speech Recognition, 1997, chapter 4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from codec.bitstream.tables import PRECISION
from codec.model.frequency_tables import to_frequencies

PRIORS = (3.0, 10.0, 30.0, 100.0, 400.0, 1600.0, 6400.0, math.inf)
"""A class counts so many occurrences as the table's symbols occur overall."""
UNIFORM = (0.0, 0.25, 1.0, 4.0)
"""A table counts so many occurrences of each symbol, and at least the square root of all that were seen, spread evenly
(see :meth:`codec.model.frequency_tables.FrequencyTables.fit`)."""


@dataclass(frozen=True)
class Counts:
    """How often each symbol occurred in each class, ``[tables, classes, size]`` (float64): in what tables are fitted
    to, and in what was held out."""

    fitted: Tensor
    held_out: Tensor


@dataclass(frozen=True)
class Smoothed:
    """``frequencies`` (int32) ``[tables, classes, size]``, of all that was counted; ``bits`` ``[tables]``: what is held
    out costs where the rest alone is counted."""

    frequencies: Tensor
    bits: Tensor


def smooth(counts: Counts, priors: Sequence[float] = PRIORS) -> Smoothed:
    """Smooths each table as costs least on what was held out."""
    settings = list(product(priors, UNIFORM))
    costs = []
    for prior, uniform in settings:
        shares = _shares(counts.fitted, prior, uniform)
        costs.append(-(counts.held_out * shares.log2()).sum((1, 2)))
    least, best = torch.stack(costs).min(0)
    everything = counts.fitted + counts.held_out
    tables = [_shares(one[None], *settings[i])[0] for one, i in zip(everything, best.tolist())]
    return Smoothed(to_frequencies(torch.stack(tables)), least)


def _shares(counts: Tensor, prior: float, uniform: float) -> Tensor:
    seen, size = counts.sum(1, keepdim=True), counts.shape[2]
    spread = seen.sum(2, keepdim=True).sqrt().clamp(min=max(1.0, uniform * size))
    overall = seen + spread / size
    overall = overall / overall.sum(2, keepdim=True)
    if math.isinf(prior):
        return overall.expand_as(counts)
    shares = counts + prior * overall
    return shares / shares.sum(2, keepdim=True)


def cost(counts: Tensor, tables: Tensor) -> Tensor:
    """Bits, ``[tables]``, that what was counted takes under integer frequencies, both ``[tables, classes, size]``."""
    return (counts * (PRECISION - tables.double().log2())).sum((1, 2))
