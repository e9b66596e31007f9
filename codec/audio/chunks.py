"""Iteration over the outermost parts of container formats: chunks, boxes, elements and objects.

Sources: RIFF/WAVE (Microsoft, 1991), RF64 (EBU Tech 3306), BW64 (ITU-R BS.2088), AIFF/AIFF-C (Apple, 1989/1991),
Sony Wave64, Core Audio Format (Apple), ISO base media file format (ISO/IEC 14496-12), Matroska (RFC 9559), ASF
(Microsoft, 2004).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

ChunkLayout = Literal["RIFF", "RIFX", "AIFF", "CAF", "W64", "ASF"]
"""Layout of the chunk headers of a format."""
_HEADERS: dict[ChunkLayout, tuple[str, int, bool]] = {
    "RIFF": ("<4sI", 2, False),
    "RIFX": (">4sI", 2, False),
    "AIFF": (">4sI", 2, False),
    "CAF": (">4sQ", 1, False),
    "W64": ("<16sQ", 8, True),
    "ASF": ("<16sQ", 1, True),
}
"""Format of name and size, the multiple of bytes to which chunks are padded, and whether the size counts the header."""

UNKNOWN_64 = (1 << 64) - 1
"""A size of 64 bits that means "unknown"."""


@dataclass(frozen=True)
class Chunk:
    """A part of a file."""

    name: bytes
    """Its identifier."""
    start: int
    """First byte of its body."""
    size: int
    """Length of its body by its header, which may exceed the file."""
    next: int
    """First byte of the part that follows."""

    @property
    def stop(self) -> int:
        """Byte after the last one of its body."""
        return self.start + self.size


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read bytes at a position.

    Args:
        file: open for reading; its position is moved
        offset: first byte
        count: number of bytes

    Returns:
        ``count`` bytes, or fewer at the end of the file.
    """
    file.seek(offset)
    return file.read(count)


def iter_chunks(file: BinaryIO, layout: ChunkLayout, start: int, end: int) -> Iterator[Chunk]:
    """Iterate over the chunks of a file.

    Args:
        file: open for reading; its position is moved
        layout: layout of the chunk headers
        start: first byte of the first chunk
        end: length of the file

    Yields:
        The chunks with the sizes in their headers; the last one may exceed ``end``.

    >>> import io
    >>> data = b"fmt " + (2).to_bytes(4, "little") + b"xx" + b"data" + (9).to_bytes(4, "little") + b"yyy"
    >>> [(chunk.name, chunk.start, chunk.size) for chunk in iter_chunks(io.BytesIO(data), "RIFF", 0, len(data))]
    [(b'fmt ', 8, 2), (b'data', 18, 9)]
    """
    header, multiple, counts_header = _HEADERS[layout]
    length = struct.calcsize(header)
    while start + length <= end:
        name, size = struct.unpack(header, read_at(file, start, length))
        size = max(0, size - length * counts_header)
        stop = start + length + size
        found = Chunk(name, start + length, size, stop + -stop % multiple if multiple == 8 else stop + size % multiple)
        yield found
        start = found.next


def iter_boxes(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """Iterate over the boxes of an MP4 or QuickTime file, or over those in a box.

    Args:
        file: open for reading; its position is moved
        start: first byte of the first box
        end: byte after the last box

    Yields:
        The boxes with the sizes in their headers; the last one may exceed ``end``.
    """
    while start + 8 <= end and len(head := read_at(file, start, 8)) == 8:  # an outer box may be truncated
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


def iter_elements(file: BinaryIO, start: int, end: int) -> Iterator[Chunk]:
    """Iterate over the EBML elements of a Matroska file.

    Args:
        file: open for reading; its position is moved
        start: first byte of the first element
        end: length of the file

    Yields:
        The elements with the sizes in their headers. One of unknown size has :data:`UNKNOWN_64` and is the last.
    """
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
