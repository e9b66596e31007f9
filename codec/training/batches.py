"""What a training batch consists of: its waveforms, or the positions from which they are read."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from torch import Tensor


class CropPosition(NamedTuple):
    """Where a crop begins."""

    clip: int
    """Number of the clip in the split."""
    start: int
    """First frame; the end of the clip gives a crop of silence."""


class DrawnBatch(NamedTuple):
    """A batch, or the part of it that one process computes, of which only the positions are known."""

    step: int
    """Number of the batch."""
    numbers: list[int]
    """Numbers of the crops in the batch."""
    positions: Tensor
    """Clip and first frame of these crops and of those that are mixed into them, int64 ``[crops, 2]``."""
    frames: dict[str, int]
    """As in :class:`CountedBatch`."""
    damaged: Mapping[str, str]
    """As in :class:`CountedBatch`."""


class CountedBatch(NamedTuple):
    """A batch, or the part of it that one process computes."""

    waveform: Tensor
    """float32 ``[crops * channels, 1, samples]``."""
    frames: dict[str, int]
    """Samples per channel of each source in it."""
    damaged: Mapping[str, str] = MappingProxyType({})
    """Damaged arrays that the process met so far, each with the reason; their clips are skipped."""
