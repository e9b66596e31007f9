"""FLAC headers (RFC 9639), and a check that a file ends at the length in its header: libFLAC stops there."""

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from codec.audio.chunks import read_at

_LONGEST_FRAME = 1 << 18
_SYNC = re.compile(rb"\xff[\xf8\xf9]")
_BLOCK_SIZES = {1: 192, **{code: 144 << code for code in range(2, 6)}, **{code: 1 << code for code in range(8, 16)}}


def _crc8_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value << 1 ^ 0x07) & 0xFF if value & 0x80 else value << 1
        table.append(value)
    return tuple(table)


_CRC8 = _crc8_table()


def flac_sample_count(header: bytes) -> int:
    """Return the length in the header of a FLAC file.

    Args:
        header: the first 26 bytes of the file

    Returns:
        Samples per channel, 0 if the length is unknown.
    """
    return int.from_bytes(header[21:26], "big") & (1 << 36) - 1


def flac_bits_per_sample(header: bytes) -> int:
    """Return the number of bits per sample of a FLAC file.

    Args:
        header: the first 26 bytes of the file

    Returns:
        4 to 32 bits.
    """
    return ((header[20] & 1) << 4 | header[21] >> 4) + 1


def ends_at_stated_length(file: BinaryIO, start: int, end: int) -> bool:
    """Return whether a FLAC file has its length in the header and its last frame ends there.

    Args:
        file: open for reading; its position is moved
        start: first byte of the FLAC file in it
        end: byte after the last one

    Returns:
        Whether libFLAC reads all samples of the file.
    """
    header = read_at(file, start, 42)
    total = flac_sample_count(header)
    if not total or len(header) < 42:
        return False
    largest = int.from_bytes(header[15:18], "big") or _LONGEST_FRAME
    tail_start = max(start, end - largest - 16)
    ends = _frame_ends(read_at(file, tail_start, end - tail_start), int.from_bytes(header[10:12], "big"))
    return max(ends, default=0) == total


@dataclass(frozen=True)
class FrameHead:
    """The header of a frame, with an intact checksum."""

    place: int
    """Its first byte."""
    first: int
    """Number of the frame's first sample."""
    samples: int
    """Samples per channel in the frame."""
    numbered: bool
    """Whether the header has the number of the sample, not that of a frame of constant size."""


def find_frame_heads(data: bytes | mmap.mmap, start: int, end: int) -> Iterator[FrameHead]:
    """Find the headers of frames.

    Args:
        data: a FLAC file
        start: its first byte
        end: byte after the last one

    Yields:
        Each place that looks like a header and has its checksum, in the order of the file.
    """
    block_frames = int.from_bytes(data[start + 10 : start + 12], "big")
    for found in _SYNC.finditer(data, start, end):
        if head := _frame_head(data[found.start() : found.start() + 16], found.start(), block_frames):
            yield head


def _frame_ends(data: bytes, block_frames: int) -> list[int]:
    """Return the position in samples at the end of each frame whose header is in ``data``."""
    heads = (_frame_head(data[found.start() :][:16], 0, block_frames) for found in _SYNC.finditer(data))
    return [head.first + head.samples for head in heads if head]


def _frame_head(head: bytes, place: int, block_frames: int) -> FrameHead | None:
    """Parse the header at the start of ``head``; None if there is none."""
    if len(head) < 6:
        return None
    size_code, rate_code = head[2] >> 4, head[2] & 15
    width = 8 - (head[4] ^ 0xFF).bit_length()  # leading ones, as in UTF-8
    if size_code == 0 or rate_code == 15 or width in (1, 8) or head[3] & 1:
        return None
    number, at = head[4] & (0x7F >> width), 5
    for byte in head[5 : 4 + max(1, width)]:
        number, at = number << 6 | byte & 0x3F, at + 1
    size_bytes = {6: 1, 7: 2}.get(size_code, 0)
    samples = _BLOCK_SIZES.get(size_code) or int.from_bytes(head[at : at + size_bytes], "big") + 1
    at += size_bytes + {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    crc = 0
    for byte in head[:at]:
        crc = _CRC8[crc ^ byte]
    if at >= len(head) or crc != head[at]:
        return None
    numbered = bool(head[1] & 1)
    return FrameHead(place, number if numbered else number * block_frames, samples, numbered)
