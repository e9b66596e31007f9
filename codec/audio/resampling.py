"""Sample-rate conversion (soxr, high quality, no delay)."""

import math

import numpy as np
import soxr

from codec.audio.samples import FloatArray


def resample(wave: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """``[channels, n]`` at another rate, ``[channels, ceil(n * to_hz / from_hz)]`` (soxr, high quality, no
    delay).
    """
    if from_hz == to_hz:
        return wave
    resampler = StreamResampler(from_hz, to_hz, wave.shape[0])
    out = np.concatenate([resampler.push(wave), resampler.flush()], axis=1)
    return np.ascontiguousarray(out[:, : -(-wave.shape[1] * to_hz // from_hz)])


class StreamResampler:
    """Resample block by block. The output is aligned with the input, and not shorter than ``ceil(n * to /
    from)``.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        self._channels = channels
        # Silence after the end, so that the last, partly covered output sample exists as well.
        self._tail = math.ceil(from_hz / to_hz) + 1
        self._stream = (
            None if from_hz == to_hz else soxr.ResampleStream(from_hz, to_hz, channels, dtype="float32", quality="HQ")
        )

    def push(self, block: FloatArray) -> FloatArray:
        """Take ``[channels, n]``, give the ``[channels, m]`` that are ready."""
        return block if self._stream is None else self._convert(block, last=False)

    def flush(self) -> FloatArray:
        """What is left, after the last :meth:`push`."""
        silence = np.zeros((self._channels, self._tail), np.float32)
        return silence[:, :0] if self._stream is None else self._convert(silence, last=True)

    def _convert(self, block: FloatArray, last: bool) -> FloatArray:
        assert self._stream is not None
        frames = np.ascontiguousarray(block.T, dtype=np.float32)
        out = self._stream.resample_chunk(frames if self._channels > 1 else frames[:, 0], last=last)
        return np.ascontiguousarray(out.reshape(-1, self._channels).T)
