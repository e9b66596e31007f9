"""Several values of one name in Vorbis comments, which libsndfile writes one by one name.

A value is written with a filler between its parts that takes exactly the bytes of a further entry (its length, its name
and the equals sign). When the file is complete, each filler is replaced by that entry; nothing else moves.

Sources: Xiph.Org, "Ogg Vorbis I format specification: comment field and header specification"; RFC 9639 (FLAC), 8.6.
"""

import struct
from typing import BinaryIO

from codec.audio.ogg_pages import page_checksum
from codec.audio.tags import split_values

_FILLER = "\x1f"
_FLAC_COMMENTS = 4
_OGG_HEADER_BYTES = 27
_STARTS = (b"\x03vorbis", b"OpusTags")


def with_fillers(name: str, text: str) -> str:
    """Return the value to write for a tag, from which :func:`split_filled_comments` makes several entries."""
    return (_FILLER * (4 + len(name) + 1)).join(split_values(text))


def split_filled_comments(file: BinaryIO) -> None:
    """Make several entries of each that holds fillers, in a complete FLAC or Ogg file."""
    file.seek(0)
    if file.read(4) == b"fLaC":
        _in_flac(file)
    else:
        _in_ogg(file)


def _in_flac(file: BinaryIO) -> None:
    last = False
    while not last:
        head = file.read(4)
        last, kind, size = bool(head[0] & 0x80), head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if kind == _FLAC_COMMENTS:
            at = file.tell()
            block = _split(file.read(size))
            file.seek(at)
            file.write(block)
            return
        file.seek(size, 1)


def _in_ogg(file: BinaryIO) -> None:
    """The comments begin the second page, and with tags of some kilobytes end in it."""
    file.seek(0)
    for _ in range(2):
        at = file.tell()
        head = file.read(_OGG_HEADER_BYTES)
        lengths = file.read(head[26])
        body = file.read(sum(lengths))
    start = next(len(mark) for mark in _STARTS if body.startswith(mark))
    page = head[:22] + bytes(4) + head[26:] + lengths + body[:start] + _split(body[start:])
    file.seek(at)
    file.write(page[:22] + struct.pack("<I", page_checksum(page)) + page[26:])


def _split(block: bytes) -> bytes:
    """Comments, and whatever follows them, with an entry for each part between fillers."""
    (vendor,) = struct.unpack_from("<I", block)
    (count,) = struct.unpack_from("<I", block, 4 + vendor)
    at, entries = 8 + vendor, []
    for _ in range(count):
        (size,) = struct.unpack_from("<I", block, at)
        name, equals, value = block[at + 4 : at + 4 + size].partition(b"=")
        filler = _FILLER.encode() * (4 + len(name) + 1)
        entries += [name + equals + part for part in value.split(filler)]
        at += 4 + size
    written = b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    return block[: 4 + vendor] + struct.pack("<I", len(entries)) + written + block[at:]
