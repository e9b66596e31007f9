"""Ogg pages and the packets in them (RFC 3533).

libogg and FFmpeg skip a page with a wrong checksum, so that a damaged file decodes without an error to fewer or other
samples. Here every page is checked while it is read.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from codec.audio.backend import AudioDamage
from codec.audio.chunks import read_at

_HEADER = 27
_CONTINUED, _FIRST_PAGE, _LAST_PAGE = 1, 2, 4
_TAIL_BYTES = 1 << 17
"""Bytes at the end of a file that hold its last page, which has at most 65307 bytes."""
_NO_GRANULE = (1 << 64) - 1
_REVERSED = bytes(int(f"{value:08b}"[::-1], 2) for value in range(256))


@dataclass(frozen=True)
class Page:
    """One page."""

    start: int
    """Its first byte in the file."""
    serial: int
    """Serial number of its stream."""
    sequence: int
    """Its number within the stream."""
    continued: bool
    """Whether its first packet began on the page before."""
    first: bool
    """Whether the stream begins with it."""
    last: bool
    """Whether the stream ends with it."""
    granule: int | None
    """Granule position after the last packet that ends on it, signed; None if none ends."""
    packets: tuple[bytes, ...]
    """Packets and parts of packets on it, in order."""
    complete: bool
    """Whether the last of them ends on it."""


def page_checksum(page: bytes) -> int:
    """Compute the checksum of a page: CRC-32 with polynomial 0x04c11db7, most significant bit first, initially 0.

    zlib computes the CRC with reflected bits and inverted ends; the bytes, both ends and the result are reflected here.

    Args:
        page: the whole page, with zeros in its checksum field

    Returns:
        The checksum.

    >>> hex(page_checksum(b"OggS"))
    '0x5fb0a94f'
    """
    mirrored = zlib.crc32(page.translate(_REVERSED), 0xFFFFFFFF) ^ 0xFFFFFFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def iter_pages(file: BinaryIO, start: int = 0) -> Iterator[Page]:
    """Iterate over the pages of a file, and check them.

    Args:
        file: open for reading; its position is moved
        start: first byte of the first page

    Yields:
        The pages in order. Bytes after the last page of a stream that are not a page (tags) end the iteration.

    Raises:
        AudioDamage: the file is truncated within a page, or has a page with a wrong checksum or bytes between pages.
    """
    file.seek(start)
    complete = False
    while header := file.read(_HEADER):
        if header[:4] != b"OggS":
            if complete and b"OggS" not in header + file.read(_TAIL_BYTES):
                return  # tags that other programs appended
            raise AudioDamage(f"damaged: no Ogg page at byte {start}")
        page = _whole_page(file, header)
        if page is None:
            raise AudioDamage(f"truncated in the page at byte {start}")
        if page_checksum(page[:22] + bytes(4) + page[26:]) != int.from_bytes(page[22:26], "little"):
            raise AudioDamage(f"damaged page at byte {start}")
        found = _parse(page, start)
        complete = found.last
        yield found
        start += len(page)


def iter_intact_pages(file: BinaryIO, start: int = 0) -> Iterator[Page]:
    """Iterate over the intact pages of a damaged file.

    Args:
        file: open for reading; its position is moved
        start: first byte of the first page

    Yields:
        Those with a right checksum, in order.
    """
    at, data = start, b""
    while data := data or read_at(file, at, _TAIL_BYTES):
        found = data.find(b"OggS")
        if found < 0:
            at, data = at + max(1, len(data) - 3), b""
            continue
        at += found
        file.seek(at)
        header = file.read(_HEADER)
        page = _whole_page(file, header) if header[4:5] == b"\0" else None  # the only version
        if page and page_checksum(page[:22] + bytes(4) + page[26:]) == int.from_bytes(page[22:26], "little"):
            yield _parse(page, at)
            at += len(page)
        else:
            at += 1
        data = b""


def _whole_page(file: BinaryIO, header: bytes) -> bytes | None:
    """Return the page that begins with ``header``; None if the file ends within it."""
    if len(header) < _HEADER:
        return None
    lengths = file.read(header[26])
    size = sum(lengths)
    body = file.read(size)
    return header + lengths + body if len(lengths) == header[26] and len(body) == size else None


def _parse(page: bytes, start: int) -> Page:
    count = page[26]
    at = _HEADER + count
    packets, begin = [], at
    for length in page[_HEADER:at]:
        at += length
        if length < 255:
            packets.append(page[begin:at])
            begin = at
    if begin < at or (count and page[_HEADER + count - 1] == 255):
        packets.append(page[begin:at])
    granule = int.from_bytes(page[6:14], "little")
    return Page(
        start=start,
        serial=int.from_bytes(page[14:18], "little"),
        sequence=int.from_bytes(page[18:22], "little"),
        continued=bool(page[5] & _CONTINUED),
        first=bool(page[5] & _FIRST_PAGE),
        last=bool(page[5] & _LAST_PAGE),
        granule=None if granule == _NO_GRANULE else granule - (1 << 64) * (granule >> 63),
        packets=tuple(packets),
        complete=not count or page[_HEADER + count - 1] < 255,
    )


def read_last_granule(file: BinaryIO, end: int, serial: int) -> int | None:
    """Read the granule position of the last page of a file.

    Args:
        file: open for reading; its position is moved
        end: byte after the last one of the container
        serial: serial number of a stream

    Returns:
        The granule position; None if the last page is not of this stream or has none.
    """
    start = max(0, end - _TAIL_BYTES)
    tail = read_at(file, start, end - start)
    at = tail.rfind(b"OggS")
    while at >= 0:
        page = tail[at:]
        if len(page) >= _HEADER and _HEADER + page[26] + sum(page[_HEADER : _HEADER + page[26]]) <= len(page):
            granule = int.from_bytes(page[6:14], "little")
            known = int.from_bytes(page[14:18], "little") == serial and granule < _NO_GRANULE >> 1
            return granule if known else None
        at = tail.rfind(b"OggS", 0, at)
    return None
