"""Blocks between header and packets: tags, pictures, and kinds that later versions of the program may add;
docs/bitstream.md.

A block is its kind, the size of its content, the content and a checksum.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from codec.bitstream.checksum import CRC32_BYTES, append_crc32, crc32_error
from codec.bitstream.varint import MAX_VARINT_BYTES, read_varint, varint_bytes

MAX_BLOCKS_BYTES = 1 << 26
"""Size of all blocks of a file."""
TAGS, PICTURE = 1, 2
ESSENTIAL = 128
"""Kinds from this on hold what decoding needs: readers that do not know one refuse the file. They skip others."""


@dataclass(frozen=True)
class Block:
    """A block as read."""

    kind: int
    content: bytes
    damaged: bool
    """Whether its checksum is wrong, or it is incomplete."""


def block_bytes(kind: int, content: bytes) -> bytes:
    """Serialise a block.

    Args:
        kind: kind of the block, from 1 to 255
        content: its content

    Returns:
        The block.

    >>> list(parse_blocks(block_bytes(TAGS, b"x") + block_bytes(7, b"")))
    [Block(kind=1, content=b'x', damaged=False), Block(kind=7, content=b'', damaged=False)]
    """
    return append_crc32(bytes([kind]) + varint_bytes(len(content)) + content)


def parse_blocks(data: bytes) -> Iterator[Block]:
    """Parse blocks; the inverse of :func:`block_bytes`.

    Args:
        data: all blocks of a file

    Yields:
        The blocks, up to one whose size is impossible.
    """
    place = 0
    while place < len(data):
        source = io.BytesIO(data[place : place + 1 + MAX_VARINT_BYTES])
        kind = source.read(1)[0]
        size = read_varint(source.read)
        start = place + source.tell()
        end = len(data) if size is None else start + size + CRC32_BYTES
        if size is None or end > len(data):
            yield Block(kind, b"", True)
            return
        yield Block(kind, data[start : end - CRC32_BYTES], crc32_error(data[place:end]) != 0)
        place = end
