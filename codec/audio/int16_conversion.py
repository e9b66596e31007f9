"""Convert audio to the sample rate, channels and 16 bits of packed arrays."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from codec.audio.resampling import StreamResampler
from codec.audio.waveform import FloatArray

LARGEST = 32767 / 32768
"""Largest sample that 16 bits hold."""


def convert_blocks(
    blocks: Iterable[FloatArray], file_rate: int, sample_rate: int, channels: int
) -> Iterator[FloatArray]:
    """Convert a stream of blocks to a sample rate and channel count.

    Args:
        blocks: float32 ``[any channels, n]`` each.
        file_rate: their sample rate in Hz.
        sample_rate: wanted sample rate in Hz.
        channels: wanted channels. If the blocks have another number, every channel is the mean of theirs.

    Yields:
        Blocks of float32 ``[channels, n]``.
    """
    resampler = StreamResampler(file_rate, sample_rate, channels)
    for block in blocks:
        if len(block) != channels:
            block = np.repeat(block.mean(axis=0, keepdims=True), channels, axis=0)
        yield resampler.push(block)
    yield resampler.flush()


def to_int16(waveform: FloatArray) -> npt.NDArray[np.int16]:
    """Round a waveform to 16 bits: round(32768 x), the inverse of reading a 16-bit file.

    Args:
        waveform: float ``[channels, n]``, full scale 1; larger values are clipped.

    Returns:
        int16 ``[n, channels]``.

    >>> to_int16(np.array([[0.5, -1.0, 1.0]], np.float32)).T
    array([[ 16384, -32768,  32767]], dtype=int16)
    """
    return np.rint(waveform.T * 32768.0).clip(-32768, 32767).astype("<i2")
