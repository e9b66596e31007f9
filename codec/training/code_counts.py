"""Occurrences of codes in their contexts: frequency tables are made from them, and compared by them."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from codec.bitstream.codes import NO_CODE
from codec.bitstream.context_classes import shift_frames
from codec.bitstream.range_coder import RangeCoder
from codec.model.frequency_tables import FrequencyTables
from codec.training.context_scores import Packets

_PACKETS_AT_ONCE = 64
"""Packets whose contexts are classified at once; more need much memory."""


def count_codes(tables: FrequencyTables, variants: Sequence[Packets]) -> Tensor:
    """Count each code in each context class.

    Args:
        tables: tables, whose scores decide on the classes
        variants: the packets

    Returns:
        float64 ``[codebooks, classes, size]``.
    """
    coder = RangeCoder(tables.to_numpy())
    counts = torch.zeros(coder.codebooks, coder.classes, coder.size).double()
    for packets in variants:
        for codes in packets.codes.split(_PACKETS_AT_ONCE):
            classes = torch.from_numpy(coder.context_classes(codes.numpy(), packets.variable))
            codes = codes.transpose(0, 1)[: len(classes)]
            books = torch.arange(len(classes))[:, None, None].expand_as(codes)
            index = torch.stack([books, classes, codes])[:, codes != NO_CODE]
            counts.index_put_(tuple(index), torch.ones((), dtype=counts.dtype), accumulate=True)
    return counts


def count_numbers_of_codes(codebooks: int, variants: Sequence[Packets]) -> Tensor:
    """Count how often each number of codes of a frame follows each other one.

    Args:
        codebooks: number of codebooks
        variants: the packets, the first with all codes; only those with a variable number of codes are counted

    Returns:
        float64 ``[1, codebooks + 2, codebooks + 1]``; the last row but one is that of the first frame of a packet.
    """
    counts = torch.zeros(1, codebooks + 2, codebooks + 1).double()
    real = variants[0].codes[:, 0] != NO_CODE
    for packets in variants:
        if packets.variable:
            after = (packets.codes != NO_CODE).sum(1).numpy()
            index = torch.from_numpy(np.stack([shift_frames(after, -1), after]))[:, real]
            counts[0].index_put_(tuple(index), torch.ones((), dtype=counts.dtype), accumulate=True)
    return counts
