"""Ogg pages: find damage that the decoders pass over (RFC 3533).

libogg skips a page with a wrong checksum and goes on with the next, so that a damaged file decodes without an
error to less, or to something else. Here the pages are walked once, without decoding.
"""

import zlib
from pathlib import Path
from typing import BinaryIO

_HEADER = 27
_LAST_PAGE = 4
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


def checksum(page: bytes) -> int:
    """CRC of a page whose checksum field is zero: polynomial 0x04c11db7, most significant bit first, from 0.

    zlib computes the mirrored CRC with inverted ends, so bytes, ends and result are mirrored around it.
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def damage(path: Path) -> str | None:
    """What is wrong with the pages of an Ogg file, or None. Constant memory (a page has at most 65 kB)."""
    with path.open("rb") as file:
        complete = False
        while True:
            start = file.tell()
            header = file.read(_HEADER)
            if not header:
                return None
            if header[:4] != b"OggS":
                # Tags appended by other programs follow the last page.
                return None if complete else f"no Ogg page at byte {start}"
            page = _whole_page(file, header)
            if page is None:
                return f"cut off in the page at byte {start}"
            if checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
                return f"damaged page at byte {start}"
            complete = bool(page[5] & _LAST_PAGE)


def _whole_page(file: BinaryIO, header: bytes) -> bytes | None:
    """The page that begins with ``header``, or None if the file ends before it."""
    if len(header) < _HEADER:
        return None
    lengths = file.read(header[26])
    body = file.read(sum(lengths))
    return header + lengths + body if len(lengths) == header[26] and len(body) == sum(lengths) else None
