"""How often each code occurs: integers that are a part of the model, so that coding is the same on every machine.

Order 0: one table per codebook, whatever the codes before and beside. Its frequencies add up to ``2**PRECISION``, and
none is 0, so that any code can be coded.
"""

import torch
from torch import Tensor, nn

PRECISION = 24
"""Bits of the sum of a table."""


class FrequencyTables(nn.Module):
    """``frequencies`` ``[codebooks, size]`` (int32); uniform until they are fitted."""

    frequencies: Tensor

    def __init__(self, codebooks: int, size: int):
        super().__init__()
        self.register_buffer("frequencies", torch.zeros(codebooks, size, dtype=torch.int32))
        self.fit(torch.zeros(codebooks, size, dtype=torch.int64))

    def fit(self, counts: Tensor) -> None:
        """Sets the tables from how often each code occurred, ``[codebooks, size]``.

        As many occurrences as the square root of their number are added, spread evenly, so that codes that were not
        seen have a share too, but a small one even where the codebook is large and little was seen.
        """
        size = counts.shape[1]
        seen = counts.sum(1, keepdim=True).double()
        edges = (counts + seen.sqrt().clamp(min=1) / size).cumsum(1)
        edges = (edges / edges[:, -1:] * ((1 << PRECISION) - size)).long()
        self.frequencies.copy_(1 + edges.diff(dim=1, prepend=torch.zeros_like(edges[:, :1])))

    def check(self) -> None:
        """Raises ``ValueError`` unless the tables are ones that a range coder can use."""
        if self.frequencies.min() < 1 or (self.frequencies.sum(1) != 1 << PRECISION).any():
            raise ValueError(f"the frequencies of a codebook do not add up to 2^{PRECISION}")

    @property
    def bits(self) -> Tensor:
        """What each code costs, ``[codebooks, size]`` (float64)."""
        return PRECISION - self.frequencies.double().log2()

    def expected_bits(self) -> Tensor:
        """What a code of each codebook costs on average if codes occur as the tables say, ``[codebooks]``."""
        return (self.bits * self.frequencies).sum(1) / (1 << PRECISION)
