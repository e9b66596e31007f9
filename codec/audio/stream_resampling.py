"""Resampling block by block: of a stream as it comes, or of a part that is to be like that of the whole."""

from collections.abc import Iterable, Iterator

import numpy as np

from codec.audio import FloatArray, StreamResampler, resample

_PIECE_VALUES = 1 << 20
_SEGMENT = 1 << 16
"""Samples before resampling that are resampled at once, about."""
_MARGIN = 1024
"""Samples, of the lower of the two rates, to either side of a segment: more than the filter's length."""


class ExactResampler:
    """Blocks at another rate, aligned with the input: ``ceil(n * to_hz / from_hz)`` samples in all."""

    def __init__(self, from_hz: int, to_hz: int, channels: int):
        self.from_hz, self.to_hz = from_hz, to_hz
        self._stream = StreamResampler(from_hz, to_hz, channels)
        self._taken = self._given = 0

    def push(self, block: FloatArray) -> FloatArray:
        """Take ``[channels, n]``, give the ``[channels, m]`` that are ready."""
        out = self._stream.push(block)
        self._taken, self._given = self._taken + block.shape[1], self._given + out.shape[1]
        return out

    def flush(self) -> FloatArray:
        """What is left, after the last :meth:`push`."""
        return self._stream.flush()[:, : max(0, -(-self._taken * self.to_hz // self.from_hz) - self._given)]


def resampled(blocks: Iterable[FloatArray], from_hz: int, to_hz: int, channels: int) -> Iterator[FloatArray]:
    """What an :class:`ExactResampler` makes of them, in pieces of which none is large."""
    resampler = ExactResampler(from_hz, to_hz, channels)
    piece = max(1, _PIECE_VALUES * from_hz // (to_hz * channels))
    for block in blocks:
        for start in range(0, block.shape[1], piece):
            yield resampler.push(block[:, start : start + piece])
    yield resampler.flush()


class SegmentResampler:
    """Resamples segment by segment, each with what lies around it, on a grid that starts with the sound.

    A stream resampler that starts elsewhere gives samples that differ by rounding; here each segment is one computation
    wherever reading began. Positions count samples per channel from the start of the sound.
    """

    def __init__(self, from_hz: int, to_hz: int):
        self.from_hz, self.to_hz = from_hz, to_hz
        step = from_hz // np.gcd(from_hz, to_hz)
        self.segment = int(step * max(1, _SEGMENT // step))
        self.margin = int(step * -(-(_MARGIN * max(from_hz, to_hz) // to_hz) // step))

    def needed(self, start: int, end: int) -> tuple[int, int]:
        """What to give for the resampled samples from ``start`` to below ``end``: the positions before resampling,
        which may lie beyond the sound's end."""
        first = start * self.from_hz // self.to_hz // self.segment
        last = max(first, (end - 1) * self.from_hz // self.to_hz // self.segment)
        return max(0, first * self.segment - self.margin), (last + 1) * self.segment + self.margin

    def __call__(self, blocks: Iterable[FloatArray], start: int, end: int) -> Iterator[FloatArray]:
        """``blocks`` ``[channels, n]``, from the position that :meth:`needed` says for ``start`` on, to the samples
        from ``start`` to below ``end``, or up to where the blocks end."""
        at, _ = self.needed(start, end)
        source, held, ended = iter(blocks), None, False
        segment = start * self.from_hz // self.to_hz // self.segment
        while start < end:
            stop = (segment + 1) * self.segment
            while not ended and (held is None or at + held.shape[1] < stop + self.margin):
                block = next(source, None)
                ended = block is None
                if block is not None:
                    held = block if held is None else np.concatenate([held, block], 1)
            if held is None:
                return
            begin = max(0, segment * self.segment - self.margin)
            held, at = held[:, begin - at :], begin
            piece = resample(held[:, : stop + self.margin - at], self.from_hz, self.to_hz)
            offset = at * self.to_hz // self.from_hz
            upto = min(end, stop * self.to_hz // self.from_hz, offset + piece.shape[1])
            if upto <= start:
                return
            yield piece[:, start - offset : upto - offset]
            start, segment = upto, segment + 1
