"""The intact frames of a FLAC file (RFC 9639) behind damage: their headers give their places, checksums their state."""

import mmap
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from codec.audio.backend import AudioDamage
from codec.audio.ffmpeg_packets import STRICT_OPTIONS, PacketDecoder, create_decoder_context, frames_to_waveform
from codec.audio.flac_frames import FrameHead, find_frame_heads
from codec.audio.waveform import FloatArray

_HEADER_BYTES = 42
"""Signature and STREAMINFO, with which a file begins."""
_ENDS_TRIED = 4
"""Ends that are tried for a frame: bytes within it may look like the header of the next one."""


def intact_frames(path: Path, start: int, end: int, first: int) -> Iterator[tuple[int, FloatArray]]:
    """Decode the intact frames of a FLAC file from a sample on.

    Args:
        path: the file
        start: first byte of the FLAC stream in it
        end: byte after its last one
        first: number of the sample

    Yields:
        Number of the first sample of each frame, and the frame's samples, float32 ``[channels, n]``. Nothing if frames
        have no reliable numbers: in joined files, and of encoders before FLAC 1.2 with frames of various sizes.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        header = data[start : start + _HEADER_BYTES]
        if len(header) < _HEADER_BYTES or data.find(b"fLaC\x00\x00\x00\x22", start + 4, end) >= 0:
            return
        channels = (header[20] >> 1 & 7) + 1
        decoder = PacketDecoder(create_decoder_context("flac", extradata=header[8:]), STRICT_OPTIONS)
        heads = find_frame_heads(data, start, end)
        waiting = list(islice(heads, _ENDS_TRIED))
        while waiting:
            head = waiting.pop(0)
            waiting.extend(islice(heads, 1))
            if head.first < first or not (head.numbered or header[8:10] == header[10:12]):
                continue
            for stop in [*(one.place for one in waiting), *([] if len(waiting) == _ENDS_TRIED else [end])]:
                wave = _decode(decoder, data[head.place : stop], head, channels)
                if wave is not None:
                    yield head.first, wave
                    first = head.first + head.samples
                    break


def _decode(decoder: PacketDecoder, frame: bytes, head: FrameHead, channels: int) -> FloatArray | None:
    """Decode a frame; None if it is damaged, or one of another stream."""
    try:
        frames = decoder.decode(frame)
    except AudioDamage:
        return None
    if len(frames) != 1 or frames[0].samples != head.samples or frames[0].layout.nb_channels != channels:
        return None
    return frames_to_waveform(frames, channels)
