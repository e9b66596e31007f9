"""Sample-rate conversion by libsoxr in its high-quality setting (``HQ``), without delay.

``n`` samples at ``from_hz`` become ``ceil(n * to_hz / from_hz)``: a whole waveform by :func:`resample`, a stream by
:class:`StreamResampler` or :func:`resample_blocks`. A part of a waveform whose samples must equal those of the
whole, bit for bit, is converted by :class:`SegmentResampler`.
"""

import math
from collections.abc import Iterable, Iterator

import numpy as np
import soxr

from codec.audio.waveform import FloatArray

_PIECE_VALUES = 1 << 20
"""Largest number of values that :func:`resample_blocks` returns at once, about."""
_SEGMENT_SAMPLES = 1 << 16
"""Length of a segment before resampling, about."""
_MARGIN_SAMPLES = 1024
"""Context to either side of a segment, in samples of the lower of the two rates: longer than the filter of libsoxr."""


def resampled_length(samples: int, from_hz: int, to_hz: int) -> int:
    """Return how many samples a waveform has after resampling.

    Args:
        samples: length before resampling, per channel
        from_hz: sample rate before, in Hz
        to_hz: sample rate after, in Hz

    Returns:
        ``ceil(samples * to_hz / from_hz)``.

    >>> resampled_length(44101, 44100, 16000)
    16001
    """
    return -(-samples * to_hz // from_hz)


def resample(waveform: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Convert a whole waveform to another sample rate.

    Args:
        waveform: float32 ``[channels, samples]``
        from_hz: its sample rate, in Hz
        to_hz: the wanted sample rate, in Hz

    Returns:
        float32 ``[channels, ceil(samples * to_hz / from_hz)]``, aligned with the input; the input itself if the rates
        are equal.

    >>> resample(np.zeros((2, 441), np.float32), 44100, 16000).shape
    (2, 160)
    """
    if from_hz == to_hz:
        return waveform
    resampler = StreamResampler(from_hz, to_hz, waveform.shape[0])
    return np.ascontiguousarray(np.concatenate([resampler.push(waveform), resampler.flush()], axis=1))


class StreamResampler:
    """A resampler for a stream of blocks, aligned with its input.

    The blocks returned by :meth:`push` and :meth:`flush` have ``ceil(n * to_hz / from_hz)`` samples in all for ``n``
    samples pushed, whatever the lengths of the blocks. Equal rates pass blocks through.

    Args:
        from_hz: sample rate of the input, in Hz
        to_hz: sample rate of the output, in Hz
        channels: number of channels
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._from_hz, self._to_hz, self._channels = from_hz, to_hz, channels
        self._pushed = self._returned = 0
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
        )

    def push(self, block: FloatArray) -> FloatArray:
        """Convert the next block.

        Args:
            block: float32 ``[channels, n]``

        Returns:
            The samples that are ready, float32 ``[channels, m]``; ``m`` may be 0.
        """
        if self._stream is None:
            return block
        out = self._convert(block, last=False)
        self._pushed, self._returned = self._pushed + block.shape[1], self._returned + out.shape[1]
        return out

    def flush(self) -> FloatArray:
        """Finish the stream.

        Returns:
            The remaining samples after the last block, float32 ``[channels, m]``.
        """
        # Silence after the end, so that the last output sample, which is only partly covered, is computed as well.
        silence = np.zeros((self._channels, math.ceil(self._from_hz / self._to_hz) + 1), np.float32)
        if self._stream is None:
            return silence[:, :0]
        left = resampled_length(self._pushed, self._from_hz, self._to_hz) - self._returned
        return self._convert(silence, last=True)[:, : max(0, left)]

    def _convert(self, block: FloatArray, last: bool) -> FloatArray:
        assert self._stream is not None
        frames = np.ascontiguousarray(block.T, dtype=np.float32)
        out = self._stream.resample_chunk(frames if self._channels > 1 else frames[:, 0], last=last)
        return np.ascontiguousarray(out.reshape(-1, self._channels).T)


def resample_blocks(blocks: Iterable[FloatArray], from_hz: int, to_hz: int, channels: int) -> Iterator[FloatArray]:
    """Convert a stream of blocks to another sample rate.

    Args:
        blocks: float32 ``[channels, n]`` each, of any lengths
        from_hz: their sample rate, in Hz
        to_hz: the wanted sample rate, in Hz
        channels: number of channels

    Yields:
        float32 ``[channels, m]`` as soon as it is ready. Large blocks are converted in pieces, so that memory stays
        bounded.
    """
    resampler = StreamResampler(from_hz, to_hz, channels)
    piece = max(1, _PIECE_VALUES * from_hz // (to_hz * channels))
    for block in blocks:
        for start in range(0, block.shape[1], piece):
            yield resampler.push(block[:, start : start + piece])
    yield resampler.flush()


class SegmentResampler:
    """A resampler for any part of a waveform, whose samples equal those of the whole bit for bit.

    A stream resampler that starts in the middle returns samples that differ by rounding. Here the waveform is divided
    into segments on a fixed grid, and each is converted on its own with some context to either side, so that it is the
    same computation wherever reading begins. Positions are samples per channel from the start of the waveform.

    Args:
        from_hz: sample rate of the input, in Hz
        to_hz: sample rate of the output, in Hz
    """

    def __init__(self, from_hz: int, to_hz: int) -> None:
        self._from_hz, self._to_hz = from_hz, to_hz
        step = from_hz // np.gcd(from_hz, to_hz)
        self._segment = int(step * max(1, _SEGMENT_SAMPLES // step))
        self._margin = int(step * -(-(_MARGIN_SAMPLES * max(from_hz, to_hz) // to_hz) // step))

    def input_range(self, start: int, end: int) -> tuple[int, int]:
        """Return the range of the input that is needed for a range of the output.

        Args:
            start: first sample wanted, at ``to_hz``
            end: sample after the last one wanted, at ``to_hz``

        Returns:
            First sample needed and the one after the last, at ``from_hz``. The latter may lie beyond the end of the
            waveform.
        """
        first = start * self._from_hz // self._to_hz // self._segment
        last = max(first, (end - 1) * self._from_hz // self._to_hz // self._segment)
        return max(0, first * self._segment - self._margin), (last + 1) * self._segment + self._margin

    def resample(self, blocks: Iterable[FloatArray], start: int, end: int) -> Iterator[FloatArray]:
        """Convert a range of the waveform.

        Args:
            blocks: the input from the first sample of :meth:`input_range` on, float32 ``[channels, n]`` each; it may
                end early if the waveform does
            start: first sample wanted, at ``to_hz``
            end: sample after the last one wanted, at ``to_hz``

        Yields:
            The samples from ``start`` to before ``end``, or to where the input ends, float32 ``[channels, m]`` each.
        """
        at, _ = self.input_range(start, end)
        source, held, ended = iter(blocks), None, False
        segment = start * self._from_hz // self._to_hz // self._segment
        while start < end:
            stop = (segment + 1) * self._segment
            while not ended and (held is None or at + held.shape[1] < stop + self._margin):
                block = next(source, None)
                ended = block is None
                if block is not None:
                    held = block if held is None else np.concatenate([held, block], 1)
            if held is None:
                return
            begin = max(0, segment * self._segment - self._margin)
            held, at = held[:, begin - at :], begin
            piece = resample(held[:, : stop + self._margin - at], self._from_hz, self._to_hz)
            offset = at * self._to_hz // self._from_hz
            upto = min(end, stop * self._to_hz // self._from_hz, offset + piece.shape[1])
            if upto <= start:
                return
            yield piece[:, start - offset : upto - offset]
            start, segment = upto, segment + 1
