"""Walk the outermost parts of container formats: chunks, boxes, elements and objects.

Sources: RIFF/WAVE (Microsoft, 1991), RF64 (EBU Tech 3306), BW64 (ITU-R BS.2088), AIFF/AIFF-C (Apple, 1989/1991),
Sony Wave64, Core Audio Format (Apple), ISO base media file format (ISO/IEC 14496-12), Matroska (RFC 9559), ASF
(Microsoft, 2004).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

ChunkLayout = Literal["RIFF", "RIFX", "AIFF", "CAF", "W64", "ASF"]
_HEADERS: dict[ChunkLayout, tuple[str, int, bool]] = {
    "RIFF": ("<4sI", 2, False),
    "RIFX": (">4sI", 2, False),
    "AIFF": (">4sI", 2, False),
    "CAF": (">4sQ", 1, False),
    "W64": ("<16sQ", 8, True),
    "ASF": ("<16sQ", 1, True),
}
"""Identifier and size, the multiple of bytes that chunks fill, and whether the size counts the header."""

UNKNOWN_64 = (1 << 64) - 1


@dataclass(frozen=True)
class Chunk:
    """A part of a file. ``size`` is that of its body as stated; ``start`` the first byte of the body."""

    name: bytes
    start: int
    size: int
    next: int

    @property
    def stop(self) -> int:
        """The byte after the body."""
        return self.start + self.size


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Return ``count`` bytes from ``offset``, or those that are left."""
    file.seek(offset)
    return file.read(count)


def chunks(file: BinaryIO, layout: ChunkLayout, start: int, end: int) -> Iterator[Chunk]:
    """Yield the chunks from byte ``start`` on, as stated, the last of which may exceed ``end``."""
    header, multiple, counted = _HEADERS[layout]
    length = struct.calcsize(header)
    while start + length <= end:
        name, size = struct.unpack(header, read_at(file, start, length))
        size = max(0, size - length * counted)
        stop = start + length + size
        found = Chunk(name, start + length, size, stop + -stop % multiple if multiple == 8 else stop + size % multiple)
        yield found
        start = found.next


def boxes(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """Yield the boxes of an MP4 or QuickTime file."""
    while start + 8 <= end and len(head := read_at(file, start, 8)) == 8:  # an outer box may be cut off
        size, name = struct.unpack(">I4s", head)
        length = 8
        if size == 1:
            size, length = int.from_bytes(read_at(file, start + 8, 8), "big"), 16
        elif size == 0:
            size = end - start
        if size < length:
            return
        yield Chunk(name, start + length, size - length, start + size)
        start += size


def elements(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """Yield the EBML elements of a Matroska file. An unknown size is :data:`UNKNOWN_64`, and ends the walk."""
    while start < end:
        head = read_at(file, start, 12)
        length = 9 - head[0].bit_length()
        if not 1 <= length <= 4 or len(head) <= length:
            return
        width = 9 - head[length].bit_length()
        if width > 8:
            return
        size = int.from_bytes(head[length : length + width], "big") - (1 << 7 * width)
        body = start + length + width
        if size == (1 << 7 * width) - 1:
            yield Chunk(head[:length], body, UNKNOWN_64, end)
            return
        yield Chunk(head[:length], body, size, body + size)
        start = body + size
