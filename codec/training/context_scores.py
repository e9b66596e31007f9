"""Votes on the class of a code's context, learnt from codes; see :mod:`codec.model.frequency_tables`.

They are learnt by gradient descent under cross
entropy. Each codebook is a small mixture: the points of the voters go through a softmax to a share of each class, and
each class has logits over the codes. The loss moves, step by step, from the likelihood under the mixture to the mean of
what the code costs in each class, which is lowest where one class has it all. Then points become integers, and the
tables of the classes are counted (:mod:`codec.training.fit_frequency_tables`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.bitstream.range_coder import count_features, shift_frames
from codec.bitstream.tables import CODE_FEATURES, COUNT_FEATURES, UNKNOWN_COUNT
from codec.model.frequency_tables import FrequencyTables

SEED = 30_000
STEPS, BATCH, LEARNING_RATE = 2000, 1024, 2e-2
EPOCHS = 3
"""No code is looked at more often, on average: with little data there are fewer steps."""


@dataclass(frozen=True)
class Packets:
    """Codes ``[packets, codebooks, frames]``. ``variable``: some are absent, and how many is coded, too."""

    codes: Tensor
    variable: bool


def _voters(packets: Packets, codebook: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of each code of the codebook: the codes ``[codes, CODE_FEATURES]`` and the numbers of codes ``[codes,
    COUNT_FEATURES]`` that vote on its class, and the code itself ``[codes]``."""
    codes = packets.codes.numpy()
    first, counts = codes[:, 0], (codes != NO_CODE).sum(1)
    if not packets.variable:
        counts = np.full_like(counts, UNKNOWN_COUNT)
    if codebook == 0:
        none = np.full_like(first, NO_CODE)
        voters = [shift_frames(first, -1), shift_frames(first, -2), none, none]
    else:
        voters = [shift_frames(first, -1), first, shift_frames(first, 1), codes[:, codebook - 1]]
    present = codes[:, codebook] != NO_CODE
    near = np.stack([values[present] for values in voters], 1)
    numbers = np.stack([values[present] for values in count_features(counts)], 1)
    return torch.from_numpy(near), torch.from_numpy(numbers), torch.from_numpy(codes[:, codebook][present])


class _Mixture(nn.Module):
    """The contexts of one codebook while they are learnt. The points that codes give start from a linear function of
    what the codes stand for, so that codes alike vote alike."""

    def __init__(self, tables: FrequencyTables, entries: Tensor, codes: Tensor, generator: torch.Generator):
        super().__init__()

        def random(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.3 * torch.randn(shape, generator=generator))

        self.entries = entries
        self.directions = random(CODE_FEATURES, entries.shape[1], tables.classes)
        self.own = nn.Parameter(torch.zeros(CODE_FEATURES, tables.size + 1, tables.classes))
        self.counts = random(COUNT_FEATURES, tables.codebooks + 2, tables.classes)
        overall = torch.bincount(codes, minlength=tables.size) + 0.5
        # nearly alike, or few classes would win all at the start
        self.tables = nn.Parameter(overall.log() + 0.3 * random(tables.classes, tables.size).data)

    def votes(self) -> Tensor:
        return self.entries @ self.directions + self.own

    def forward(self, near: Tensor, numbers: Tensor, codes: Tensor, hardness: float) -> Tensor:
        votes = self.votes()
        points = torch.stack([votes[i, near[:, i]] for i in range(CODE_FEATURES)]).sum(0)
        points = points + torch.stack([self.counts[i, numbers[:, i]] for i in range(COUNT_FEATURES)]).sum(0)
        share = F.log_softmax(points, -1)
        fits = F.log_softmax(self.tables, -1).T[codes]
        mixture, mean = torch.logsumexp(share + fits, -1), (share.exp() * fits).sum(-1)
        return -((1 - hardness) * mixture + hardness * mean).mean()


@torch.enable_grad()
def learn_votes(tables: FrequencyTables, codebook: int, variants: list[Packets], entries: Tensor) -> None:
    near, numbers, codes = (torch.cat(kind) for kind in zip(*(_voters(packets, codebook) for packets in variants)))
    generator = torch.Generator().manual_seed(SEED + codebook)
    mixture = _Mixture(tables, entries, codes, generator)
    steps = min(STEPS, EPOCHS * len(codes) // BATCH)
    groups = [
        {"params": [mixture.directions, mixture.counts, mixture.tables], "lr": LEARNING_RATE},
        {"params": [mixture.own], "lr": LEARNING_RATE / 3},
    ]
    optimizer = torch.optim.Adam(groups, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, max(1, steps))
    for step in range(steps):
        batch = torch.randint(len(codes), (BATCH,), generator=generator)
        loss = mixture(near[batch], numbers[batch], codes[batch], min(1.0, 2 * step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        votes, counts = mixture.votes(), mixture.counts
        largest = max(votes.abs().max(), counts.abs().max())
        tables.votes[codebook] = (votes * (127 / largest)).round().to(torch.int8)
        tables.count_votes[codebook] = (counts * (127 / largest)).round().to(torch.int8)
