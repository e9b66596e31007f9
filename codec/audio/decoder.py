"""What all back ends have in common."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from codec.audio.samples import FloatArray


class Damage(Exception):
    """The file is cut off or damaged where the message says."""


class Unsupported(Exception):
    """The back end cannot read this, for the reason that the message gives."""


@dataclass(frozen=True)
class Description:
    """What a back end knows before it decodes; the fields are those of :class:`codec.audio.AudioInfo`."""

    format: str
    subtype: str
    sample_rate: int
    channels: int
    frames: int | None
    other_streams: int = 0


class Decoder(Protocol):
    """An open file."""

    description: Description

    def blocks(self) -> Iterator[FloatArray]:
        """Yield the samples, float32 ``[channels, n]`` with any ``n``, once.

        Raises:
            Damage: the file is cut off or damaged.
            Unsupported: something in it cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


def regrouped(blocks: Iterable[FloatArray], block_frames: int) -> Iterator[FloatArray]:
    """Yield the same samples in blocks of ``block_frames``, of which the last may be shorter."""
    joined, filled = np.empty((0, 0), np.float32), 0
    for block in blocks:
        length, at = block.shape[1], 0
        if length == block_frames and not filled:
            yield np.ascontiguousarray(block)
            continue
        while at < length:
            if not filled:
                joined = np.empty((block.shape[0], block_frames), np.float32)
            taken = min(length - at, block_frames - filled)
            joined[:, filled : filled + taken] = block[:, at : at + taken]
            at, filled = at + taken, filled + taken
            if filled == block_frames:
                yield joined
                filled = 0
    if filled:
        yield joined[:, :filled].copy()


class Trim:
    """Drop samples at both ends of a stream whose end is known only when it is there.

    Args:
        skipped: samples to be dropped at the start.
        held: samples to be held back until it is known whether they are padding.
    """

    def __init__(self, skipped: int, held: int = 0) -> None:
        self._skipped, self._held = skipped, held
        self._waiting: list[FloatArray] = []
        self._count = 0

    def push(self, block: FloatArray) -> list[FloatArray]:
        """Take ``[channels, n]`` and return what is certain to be heard."""
        dropped = min(self._skipped, block.shape[1])
        self._skipped -= dropped
        block = block[:, dropped:]
        if not self._held:
            return [block]
        self._waiting.append(block)
        self._count += block.shape[1]
        ready = []
        while self._waiting and self._count - self._waiting[0].shape[1] >= self._held:
            ready.append(self._waiting.pop(0))
            self._count -= ready[-1].shape[1]
        return ready

    def end(self, padding: int) -> list[FloatArray]:
        """Return what was held back, without the last ``padding`` samples."""
        kept, left = [], max(0, self._count - padding)
        for block in self._waiting:
            kept.append(block[:, : min(left, block.shape[1])])
            left -= kept[-1].shape[1]
        self._waiting, self._count = [], 0
        return kept
