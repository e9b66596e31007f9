"""The scores that context features give to context classes, learnt from codes.

See :mod:`codec.bitstream.range_coder` for their use. They are learnt by gradient descent on the cross entropy of the
codes. Each codebook is a small mixture: the sum of the scores of a code's context features goes through a softmax to
the share of each class, and each class has logits over the codes. The loss moves gradually from the likelihood under
the mixture to the mean cost over the classes, which is lowest if one class has the whole share. Then the scores are
rounded to integers, and the tables of the classes are counted (:mod:`codec.training.fit_frequency_tables`).
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.bitstream.context_classes import count_features, shift_frames
from codec.bitstream.tables import CODE_FEATURES, COUNT_FEATURES, UNKNOWN_COUNT
from codec.model.frequency_tables import FrequencyTables

_SEED = 30_000
_MAX_STEPS, _BATCH, _LEARNING_RATE = 2000, 1024, 2e-2
_MAX_EPOCHS = 3
"""Maximum average use of a code: with little data there are fewer steps."""


@dataclass(frozen=True)
class Packets:
    """Codes of packets."""

    codes: Tensor
    """``[packets, codebooks, frames]``."""
    variable: bool
    """Some codes are absent, and their number is coded in each frame."""


@dataclass(frozen=True)
class _Occurrences:
    """Occurrences of the codes of one codebook with their context."""

    code_features: Tensor
    """Neighbouring codes ``[occurrences, CODE_FEATURES]``."""
    count_features: Tensor
    """Numbers of codes ``[occurrences, COUNT_FEATURES]``."""
    codes: Tensor
    """``[occurrences]``."""


def _collect_occurrences(packets: Packets, codebook: int) -> _Occurrences:
    codes = packets.codes.numpy()
    first, counts = codes[:, 0], (codes != NO_CODE).sum(1)
    if not packets.variable:
        counts = np.full_like(counts, UNKNOWN_COUNT)
    if codebook == 0:
        none = np.full_like(first, NO_CODE)
        neighbours = [shift_frames(first, -1), shift_frames(first, -2), none, none]
    else:
        neighbours = [shift_frames(first, -1), first, shift_frames(first, 1), codes[:, codebook - 1]]
    present = codes[:, codebook] != NO_CODE
    near = np.stack([values[present] for values in neighbours], 1)
    numbers = np.stack([values[present] for values in count_features(counts)], 1)
    own = torch.from_numpy(codes[:, codebook][present])
    return _Occurrences(torch.from_numpy(near), torch.from_numpy(numbers), own)


class _ContextMixture(nn.Module):
    """The context model of one codebook while it is learnt.

    The scores of codes start as a linear function of the vectors of the codes, so that similar codes have similar
    scores.
    """

    def __init__(self, tables: FrequencyTables, vectors: Tensor, codes: Tensor, generator: torch.Generator):
        super().__init__()

        def random(*shape: int) -> nn.Parameter:
            return nn.Parameter(0.3 * torch.randn(shape, generator=generator))

        self.vectors = vectors
        self.directions = random(CODE_FEATURES, vectors.shape[1], tables.classes)
        self.offsets = nn.Parameter(torch.zeros(CODE_FEATURES, tables.size + 1, tables.classes))
        self.count_scores = random(COUNT_FEATURES, tables.codebooks + 2, tables.classes)
        overall = torch.bincount(codes, minlength=tables.size) + 0.5
        # classes start nearly equal, or a few of them would take all codes at once
        self.logits = nn.Parameter(overall.log() + 0.3 * random(tables.classes, tables.size).data)

    def code_scores(self) -> Tensor:
        """Return the scores of each code ``[CODE_FEATURES, size + 1, classes]``."""
        return self.vectors @ self.directions + self.offsets

    def forward(self, batch: _Occurrences, hardness: float) -> Tensor:
        """Return the mean cost of codes; with ``hardness`` from 0 to 1, each code is assigned to one class."""
        code_scores, near, numbers = self.code_scores(), batch.code_features, batch.count_features
        scores = torch.stack([code_scores[i, near[:, i]] for i in range(CODE_FEATURES)]).sum(0)
        scores = scores + torch.stack([self.count_scores[i, numbers[:, i]] for i in range(COUNT_FEATURES)]).sum(0)
        share = F.log_softmax(scores, -1)
        likelihood = F.log_softmax(self.logits, -1).T[batch.codes]
        mixture, mean = torch.logsumexp(share + likelihood, -1), (share.exp() * likelihood).sum(-1)
        return -((1 - hardness) * mixture + hardness * mean).mean()


def context_steps(codes: int) -> int:
    """Return the number of steps in which the scores of a codebook are learnt.

    Args:
        codes: number of its codes, all variants of the packets together

    Returns:
        The number of steps.
    """
    return min(_MAX_STEPS, _MAX_EPOCHS * codes // _BATCH)


@torch.enable_grad()
def learn_context_scores(tables: FrequencyTables, codebook: int, variants: list[Packets], vectors: Tensor) -> None:
    """Learn the context scores of one codebook, and set them in the tables.

    Args:
        tables: the tables, of more than one class
        codebook: number of the codebook
        variants: the same packets with all codes, and with some codes absent
        vectors: latent vectors of the codes of this codebook ``[size + 1, dimension]``, of mean power 1; the last one,
            of an absent code, is zero
    """
    found = [_collect_occurrences(packets, codebook) for packets in variants]
    near, numbers = torch.cat([one.code_features for one in found]), torch.cat([one.count_features for one in found])
    codes = torch.cat([one.codes for one in found])
    generator = torch.Generator().manual_seed(_SEED + codebook)
    mixture = _ContextMixture(tables, vectors, codes, generator)
    steps = context_steps(len(codes))
    groups = [
        {"params": [mixture.directions, mixture.count_scores, mixture.logits], "lr": _LEARNING_RATE},
        {"params": [mixture.offsets], "lr": _LEARNING_RATE / 3},
    ]
    optimizer = torch.optim.Adam(groups, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.01, max(1, steps))
    for step in range(steps):
        chosen = torch.randint(len(codes), (_BATCH,), generator=generator)
        loss = mixture(_Occurrences(near[chosen], numbers[chosen], codes[chosen]), min(1.0, 2 * step / steps))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        code_scores, count_scores = mixture.code_scores(), mixture.count_scores
        largest = max(code_scores.abs().max(), count_scores.abs().max())
        tables.votes[codebook] = (code_scores * (127 / largest)).round().to(torch.int8)
        tables.count_votes[codebook] = (count_scores * (127 / largest)).round().to(torch.int8)
