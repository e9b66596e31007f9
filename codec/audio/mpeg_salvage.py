"""The intact frames of a damaged MPEG audio file behind the first damage.

Frames have no numbers. How many are missing where none are found follows from the count in the header of the encoder,
if it holds for this file, else from the bytes between them and the mean size of a frame.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from codec.audio.backend import AudioDamage
from codec.audio.chunks import read_at
from codec.audio.ffmpeg_packets import PacketDecoder, create_decoder_context, frames_to_waveform
from codec.audio.mpeg_frames import (
    DECODERS,
    FRAME_HEADER_BYTES,
    SEARCHED_BYTES,
    FrameHeader,
    find_first_frame,
    parse_encoder_header,
    parse_frame_header,
)
from codec.audio.tag_positions import skip_tag
from codec.audio.waveform import FloatArray

_RESERVOIR_BYTES = 511
"""A frame of layer III may begin in so many bytes before it."""
_EARLIER_FRAMES = 16
"""Frames that are decoded before the first one that is wanted, so that it has all that it needs."""


@dataclass
class _Run:
    """Frames without a gap between them."""

    places: list[int]
    """First byte of each frame, and the byte after the last one."""
    gap: int = 0
    """Bytes before it that are neither frames nor tags."""
    number: int = 0
    """Number of the first frame, from 0."""
    damaged_end: bool = False
    """Whether a gap follows, which may begin within the last frame."""

    @property
    def frames(self) -> int:
        return len(self.places) - 1


def intact_frames(path: Path, start: int, end: int, first: int, total: int | None) -> Iterator[tuple[int, FloatArray]]:
    """Decode the intact frames of a file from a sample on.

    Args:
        path: the file
        start: first byte of the MPEG stream in it
        end: byte after its last one
        first: number of the sample
        total: samples per channel of the whole file, if they are known

    Yields:
        Number of the first sample, and samples, float32 ``[channels, n]``. Nothing for files in free format, or that
        were joined, so that there is no telling how much is missing.
    """
    with path.open("rb") as file:
        head = parse_frame_header(read_at(file, start, FRAME_HEADER_BYTES))
        if head is None or not head.size:
            return
        stated = parse_encoder_header(read_at(file, start, head.size), head)
        runs = _find_runs(file, start + (head.size if stated else 0), end, head)
        if runs is None or not runs:
            return
        delay = stated.delay if stated else 0
        _number(runs, stated.frames if stated and total is not None else None)
        for run in runs:
            skipped = max(0, (first + delay) // head.samples - run.number)
            for number, wave in _decode(file, run, max(0, skipped - _EARLIER_FRAMES), head):
                at = number * head.samples - delay
                stop = at + wave.shape[1] if total is None else min(total, at + wave.shape[1])
                if stop > max(at, first):
                    yield max(at, first), wave[:, max(0, first - at) : stop - at]


def stated_samples(path: Path, start: int) -> int | None:
    """Read how long a file was when its encoder wrote it, whatever is left of it.

    Args:
        path: the file
        start: first byte of the MPEG stream in it

    Returns:
        Samples per channel; None if its encoder did not state them.
    """
    with path.open("rb") as file:
        head = parse_frame_header(read_at(file, start, FRAME_HEADER_BYTES))
        stated = parse_encoder_header(read_at(file, start, head.size), head) if head and head.size else None
    if head is None or stated is None or stated.frames is None:
        return None
    return max(0, stated.frames * head.samples - stated.delay - stated.padding)


def _find_runs(file: BinaryIO, start: int, end: int, head: FrameHeader) -> list[_Run] | None:
    """Find all frames; None if another stream begins between them."""
    runs, at = [_Run([start])], start
    while at + FRAME_HEADER_BYTES <= end:
        here = parse_frame_header(read_at(file, at, FRAME_HEADER_BYTES))
        if here is not None and here.format == head.format and here.size:
            if here.layer == 3 and parse_encoder_header(read_at(file, at, here.size), here):
                return None
            at += here.size
            if at <= end:
                runs[-1].places.append(at)
            continue
        before, gap = at, 0 if runs[-1].frames else runs.pop().gap
        if (at := skip_tag(file, before, end)) <= before:
            found = find_first_frame(file, before + 1, end)
            at = min(end, before + SEARCHED_BYTES) if found is None else found
            gap += at - before
            if runs:
                runs[-1].damaged_end = at < end
        runs.append(_Run([at], gap))
    return [run for run in runs if run.frames]


def _number(runs: list[_Run], stated: int | None) -> None:
    """Set the numbers of the frames of all runs, counting those that are missing between them."""
    found, lost = sum(run.frames for run in runs), sum(run.gap for run in runs)
    size = sum(run.places[-1] - run.places[0] for run in runs) / found
    if stated is not None and stated > found and lost:
        size = lost / (stated - found)
    number = bytes_lost = 0
    for run in runs:
        bytes_lost += run.gap
        run.number = number + round(bytes_lost / size)
        number += run.frames


def _decode(file: BinaryIO, run: _Run, skipped: int, head: FrameHeader) -> Iterator[tuple[int, FloatArray]]:
    """Decode a run from one of its frames on, without those that need bytes of frames that are missing."""
    decoder, since = None, 0
    for number in range(skipped, run.frames - run.damaged_end):
        place, stop = run.places[number : number + 2]
        if decoder is None:
            decoder, since = PacketDecoder(create_decoder_context(*DECODERS[head.layer])), number
        try:
            frames = decoder.decode(read_at(file, place, stop - place))
        except AudioDamage:
            decoder = None
            continue
        # a frame overlaps with the one before it, which needs bytes of those before
        earlier = max(
            0, run.places[max(since, number - 1)] - run.places[since] - head.side_bytes * (number - 1 - since)
        )
        if len(frames) == 1 and number > since and (head.layer < 3 or earlier >= _RESERVOIR_BYTES):
            yield run.number + number, frames_to_waveform(frames, head.channels)
