"""Vorbis comments that libsndfile cannot write: further values of a tag, and tags of any other name.

They are written as part of the value of one tag, each behind a filler of the 4 bytes of its length. When the file is
complete, each filler is replaced by that length; no other byte moves.

Sources: Xiph.Org, "Ogg Vorbis I format specification: comment field and header specification"; RFC 9639 (FLAC), 8.6.
"""

import struct
from collections.abc import Iterable
from typing import BinaryIO

from codec.audio.ogg_pages import page_checksum

_FILLER = 4 * "\x1f"
_FLAC_COMMENTS = 4
_OGG_HEADER_BYTES = 27
_STARTS = (b"\x03vorbis", b"OpusTags")


def join_with_fillers(text: str, comments: Iterable[tuple[str, str]]) -> str:
    """Append comments to the value of a tag.

    Args:
        text: the value
        comments: name and value of each further comment

    Returns:
        The value to write, from which :func:`split_comments` makes several comments.
    """
    return _FILLER.join([text, *(f"{name.upper()}={value}" for name, value in comments)])


def is_comment_name(name: str) -> bool:
    """Determine whether a comment can have a name: printable ASCII without the equals sign.

    Args:
        name: name of a tag

    Returns:
        True if it can.
    """
    return bool(name) and all(" " <= letter <= "}" and letter != "=" for letter in name)


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
        entries += block[at + 4 : at + 4 + size].split(_FILLER.encode())
        at += 4 + size
    written = b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)
    return block[: 4 + vendor] + struct.pack("<I", len(entries)) + written + block[at:]
