"""How often each code occurs: integers that are a part of the model, so that coding is the same on every machine.

Each codebook has a table of frequencies for each of some classes of context. Which class holds is put to the vote: the
codes nearby, and how many codes the frames nearby have, each give points to every class, and the class with the most
points has it. All of it is integers. With one class there are no votes: a codebook has one table (order 0).

Frequencies of a table add up to ``2**PRECISION``, and none is 0, so that any code can be coded.
"""

import torch
from torch import Tensor, nn

PRECISION = 24
"""Bits of the sum of a table."""

CODE_VOTERS = 4
"""Codes that vote on the class of a code. Those of a frame's first code: the first codes of the two frames before (two
voters remain silent). Those of any other: the first codes of the frame before, of its own frame and of the frame after,
and the code before it in its frame."""

COUNT_VOTERS = 4
"""Numbers of codes that vote: of the frame before, the frame itself, the frame after, and on average in the packet."""


class FrequencyTables(nn.Module):
    """Uniform until they are fitted (``codec.training.fit_frequency_tables``).

    ``frequencies`` (int32) ``[codebooks, classes, size]``, without the middle where there is one class. With more:
    ``shares`` (int32) ``[codebooks, classes]``, how often each class holds where all codes are in use;
    ``votes`` (int8) ``[codebooks, CODE_VOTERS, size + 1, classes]``, the last row for a code that is absent;
    ``count_votes`` (int8) ``[codebooks, COUNT_VOTERS, codebooks + 2, classes]``, the last row for a number that is
    unknown; ``counts`` (int32) ``[codebooks + 2, codebooks + 1]``, the frequencies of the number of codes of a frame
    after that of the frame before, the last row where there is none.
    """

    frequencies: Tensor
    shares: Tensor
    votes: Tensor
    count_votes: Tensor
    counts: Tensor

    def __init__(self, codebooks: int, size: int, classes: int = 1):
        super().__init__()
        self.codebooks, self.size, self.classes = codebooks, size, classes
        shape = (codebooks, size) if classes == 1 else (codebooks, classes, size)
        self.register_buffer("frequencies", frequencies(torch.zeros(shape, dtype=torch.float64)))
        if classes > 1:
            self.register_buffer("shares", frequencies(torch.zeros(codebooks, classes, dtype=torch.float64)))
            points = torch.zeros(codebooks, CODE_VOTERS, size + 1, classes, dtype=torch.int8)
            self.register_buffer("votes", points)
            points = torch.zeros(codebooks, COUNT_VOTERS, codebooks + 2, classes, dtype=torch.int8)
            self.register_buffer("count_votes", points)
            empty = torch.zeros(codebooks + 2, codebooks + 1, dtype=torch.float64)
            self.register_buffer("counts", frequencies(empty))

    def fit(self, counts: Tensor) -> None:
        """Sets tables of order 0 from how often each code occurred, ``[codebooks, size]``.

        As many occurrences as the square root of their number are added, spread evenly, so that codes that were not
        seen have a share too, but a small one even where the codebook is large and little was seen.
        """
        seen = counts.sum(1, keepdim=True).double()
        self.frequencies.copy_(frequencies(counts + seen.sqrt().clamp(min=1) / counts.shape[1]))

    def order_0(self) -> "FrequencyTables":
        """One table per codebook: how often each code occurs, whatever its context."""
        if self.classes == 1:
            return self
        tables = FrequencyTables(self.codebooks, self.size)
        tables.frequencies.copy_(frequencies((self.frequencies.double() * self.shares.double()[..., None]).sum(1)))
        return tables

    def check(self) -> None:
        """Raises ``ValueError`` unless the tables are ones that a range coder can use."""
        for table in (self.frequencies, self.shares, self.counts) if self.classes > 1 else (self.frequencies,):
            if table.min() < 1 or (table.sum(-1) != 1 << PRECISION).any():
                raise ValueError(f"the frequencies of a codebook do not add up to 2^{PRECISION}")

    @property
    def bits(self) -> Tensor:
        """What each code costs, like ``frequencies`` (float64)."""
        return PRECISION - self.frequencies.double().log2()

    def expected_bits(self) -> Tensor:
        """What a code of each codebook costs on average if codes occur as the tables say, ``[codebooks]``."""
        bits = (self.bits * self.frequencies).sum(-1) / (1 << PRECISION)
        return bits if self.classes == 1 else (bits * self.shares).sum(1) / (1 << PRECISION)


def frequencies(weights: Tensor) -> Tensor:
    """Weights from 0 up ``[..., size]`` to frequencies in proportion (int32), each at least 1; all alike where all
    weights are 0."""
    size = weights.shape[-1]
    weights = torch.where(weights.sum(-1, keepdim=True) > 0, weights.double(), torch.ones_like(weights).double())
    edges = weights.cumsum(-1)
    edges = (edges / edges[..., -1:] * ((1 << PRECISION) - size)).long()
    return (1 + edges.diff(dim=-1, prepend=torch.zeros_like(edges[..., :1]))).int()
