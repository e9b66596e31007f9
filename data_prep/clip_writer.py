"""Convert clips to the sample rate, channels and 16 bits of packed arrays.

A clip is mixed to the requested channels, resampled once and rounded to 16 bits. A clip that would exceed full scale
(float files, overshoot of the resampling filter) is scaled down as a whole, so that nothing clips.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from codec import audio
from codec.audio.int16_conversion import LARGEST, convert_blocks, to_int16
from codec.errors import UserError
from data_prep.segments import AudioSegment


@dataclass(frozen=True)
class ClipTask:
    """A clip to write into an array."""

    segment: AudioSegment
    target: Path
    """File of the array."""
    offset: int
    """Offset of the first sample in the file, in bytes."""
    frames: int
    """Samples per channel."""
    sample_rate: int
    """Sample rate of the array, in Hz."""
    channels: int
    """Channels of the array."""


def write_clip(task: ClipTask) -> None:
    """Write a clip into an array.

    Args:
        task: the clip and its location.

    Raises:
        UserError: the file has another length than when it was scanned.
    """
    peak = _store(task, 1.0)
    if peak > 1.0:
        _store(task, 1.0 / peak)


def _store(task: ClipTask, gain: float) -> float:
    """Write the clip and return its peak before the gain, relative to the largest that fits 16 bits."""
    peak, done = 0.0, 0
    with task.target.open("r+b") as file:
        file.seek(task.offset)
        for block in convert_audio(task.segment, task.sample_rate, task.channels):
            block = block[:, : task.frames - done]
            if block.size:
                peak = max(peak, float(block.max()) / LARGEST, -float(block.min()))
            done += block.shape[1]
            file.write(to_int16(block * np.float32(gain)).tobytes())
    if done != task.frames:
        raise UserError(f"{task.segment.path}: the file changed while it was being packed; run the command again")
    return peak


def convert_audio(segment: AudioSegment, sample_rate: int, channels: int) -> Iterator[audio.FloatArray]:
    """Read audio at a sample rate and channel count.

    Args:
        segment: the audio.
        sample_rate: sample rate in Hz.
        channels: channels. If the file has another number, every channel is the mean of the file's.

    Yields:
        Blocks of float32 ``[channels, n]``.

    Raises:
        AudioError: the file cannot be decoded.
    """
    file_rate = audio.info(segment.path).sample_rate
    yield from convert_blocks(segment.blocks(file_rate), file_rate, sample_rate, channels)
