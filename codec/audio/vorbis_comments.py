"""Tags with several values in Vorbis comments, of which libsndfile can write only one for each name.

The values are written as one, separated by fillers that take exactly the bytes of the header of a further comment (its
length, its name and the equals sign). When the file is complete, each filler is replaced by that header; no other byte
moves.

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


def join_with_fillers(name: str, text: str) -> str:
    """Join the values of a tag by fillers, to be written as one value.

    Args:
        name: name of the tag
        text: its values, separated as in :data:`codec.audio.tags.SEPARATOR`

    Returns:
        The value to write, from which :func:`split_comments` makes several comments.
    """
    return (_FILLER * (4 + len(name) + 1)).join(split_values(text))


def split_comments(file: BinaryIO) -> None:
    """Split each comment that holds fillers into several, in place.

    Args:
        file: a complete FLAC or Ogg file, open for reading and writing
    """
    file.seek(0)
    if file.read(4) == b"fLaC":
        _in_flac(file)
    else:
        _in_ogg(file)


def _in_flac(file: BinaryIO) -> None:
    last = False
    while not last:
        head = file.read(4)
        last, block_type, size = bool(head[0] & 0x80), head[0] & 0x7F, int.from_bytes(head[1:], "big")
        if block_type == _FLAC_COMMENTS:
            at = file.tell()
            block = _split(file.read(size))
            file.seek(at)
            file.write(block)
            return
        file.seek(size, 1)


def _in_ogg(file: BinaryIO) -> None:
    """Split comments in Ogg. They begin the second page, and end on it if they have no more than some kilobytes."""
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
    """Return a block of comments, and the bytes after it, with one comment for each part between fillers."""
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
