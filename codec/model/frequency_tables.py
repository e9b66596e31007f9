"""Frequency tables of the range coder as a part of a model: integers, so that coding is the same on every machine.

:mod:`codec.bitstream.tables` explains the tables; here they are buffers in a state dict, fitted after training
(:mod:`codec.training.fit_frequency_tables`).
"""

import torch
from torch import Tensor, nn

from codec.bitstream.tables import CODE_FEATURES, COUNT_FEATURES, PRECISION, CodeTables


class FrequencyTables(nn.Module):
    """Frequencies of codes by codebook and context class; uniform until they are fitted.

    Tensors (their names are part of the format of models):
        ``frequencies`` (int32) ``[codebooks, classes, size]``: ``[codebooks, size]`` with one class, which has none of
        the others. ``shares`` (int32) ``[codebooks, classes]``: frequencies of the classes with all codes in use.
        ``votes`` (int8) ``[codebooks, CODE_FEATURES, size + 1, classes]``: scores of neighbouring codes, the last row
        for an absent code. ``count_votes`` (int8) ``[codebooks, COUNT_FEATURES, codebooks + 2, classes]``: scores of
        numbers of codes, the last row for an unknown number. ``counts`` (int32) ``[codebooks + 2, codebooks + 1]``:
        frequencies of the number of codes of a frame given that of the frame before, the last row for the first frame
        of a packet.

    Args:
        codebooks: number of codebooks
        size: number of values of a code
        classes: number of context classes of each codebook
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
        self.register_buffer("frequencies", _uniform(*shape))
        if classes > 1:
            self.register_buffer("shares", _uniform(codebooks, classes))
            scores = torch.zeros(codebooks, CODE_FEATURES, size + 1, classes, dtype=torch.int8)
            self.register_buffer("votes", scores)
            scores = torch.zeros(codebooks, COUNT_FEATURES, codebooks + 2, classes, dtype=torch.int8)
            self.register_buffer("count_votes", scores)
            self.register_buffer("counts", _uniform(codebooks + 2, codebooks + 1))

    def to_numpy(self) -> CodeTables:
        """Return the tables for a range coder.

        Returns:
            The tables as NumPy arrays of their own: multiprocessing moves the memory of tensors that it pickles.

        Raises:
            ValueError: The frequencies of a table are not all at least 1, or do not add up to ``2**PRECISION``.
        """
        return CodeTables.from_stored({name: tensor.cpu().numpy().copy() for name, tensor in self.named_buffers()})

    def fit(self, counts: Tensor) -> None:
        """Set tables of order 0 from occurrences of codes.

        The square root of the number of occurrences is added as uniform pseudo-counts, so that unseen codes also have a
        share, but a small one even if the codebook is large and the data is small.

        Args:
            counts: how often each code occurred ``[codebooks, size]``
        """
        seen = counts.sum(1, keepdim=True).double()
        self.frequencies.copy_(to_frequencies(counts + seen.sqrt().clamp(min=1) / counts.shape[1]))

    def order_0(self) -> "FrequencyTables":
        """Return tables with one class per codebook: the frequencies of its codes independent of context.

        Returns:
            New tables, or these ones if they have one class.
        """
        if self.classes == 1:
            return self
        tables = FrequencyTables(self.codebooks, self.size)
        tables.frequencies.copy_(to_frequencies((self.frequencies.double() * self.shares.double()[..., None]).sum(1)))
        return tables

    @property
    def bits(self) -> Tensor:
        """Information content of each code in bits, of the shape of ``frequencies`` (float64)."""
        return PRECISION - self.frequencies.double().log2()


def _uniform(*shape: int) -> Tensor:
    """Return uniform frequencies of this shape; those of one table are computed, since they are all alike."""
    return to_frequencies(torch.zeros(shape[-1])).repeat(*shape[:-1], 1)


def to_frequencies(weights: Tensor) -> Tensor:
    """Convert weights to integer frequencies in proportion.

    Args:
        weights: ``[..., size]``, each at least 0; if all of a table are 0, its frequencies are uniform

    Returns:
        int32 of that shape; each at least 1, those of a table adding up to ``2**PRECISION``.

    >>> to_frequencies(torch.tensor([1.0, 3.0])).tolist()
    [4194304, 12582912]
    """
    size = weights.shape[-1]
    weights = torch.where(weights.sum(-1, keepdim=True) > 0, weights.double(), torch.ones_like(weights).double())
    edges = weights.cumsum(-1)
    edges = (edges / edges[..., -1:] * ((1 << PRECISION) - size)).long()
    return (1 + edges.diff(dim=-1, prepend=torch.zeros_like(edges[..., :1]))).int()
