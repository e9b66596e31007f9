"""Positions of tags before and after audio: ID3v1, ID3v2, APE and Lyrics3.

Sources: ID3v2.4.0 structure (id3.org), APEv2 and Lyrics3v2 specifications (hydrogenaud.io, id3.org).
"""

from typing import BinaryIO

from codec.audio.chunks import read_at

_ID3V2_BYTES = 10
_ID3V1_BYTES = 128
_APE_BYTES = 32
_APE_HAS_HEADER = 1 << 31


def id3v2_length(head: bytes) -> int:
    """Return the length of an ID3v2 tag.

    Args:
        head: the first bytes of the tag, at least 10

    Returns:
        Length of the tag in bytes, with header and footer; 0 if there is no tag.

    >>> id3v2_length(b"ID3" + bytes([4, 0, 0, 0, 0, 2, 1]))
    267
    """
    if len(head) < _ID3V2_BYTES or head[:3] != b"ID3" or 0xFF in head[3:5] or any(byte & 0x80 for byte in head[6:10]):
        return 0
    size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return _ID3V2_BYTES * (2 if head[5] & 0x10 else 1) + size


def skip_id3v2(file: BinaryIO, start: int, end: int) -> int:
    """Skip ID3v2 tags and the zeros that follow them.

    Args:
        file: open for reading; its position is moved
        start: first byte
        end: byte after the last one

    Returns:
        The first byte after the tags; ``start`` if there are none.
    """
    while length := id3v2_length(read_at(file, start, _ID3V2_BYTES)):
        start = min(end, start + length)
        while start < end and not (piece := read_at(file, start, 4096)).lstrip(b"\0"):
            start += len(piece)
        start += len(piece := read_at(file, start, 4096)) - len(piece.lstrip(b"\0"))
    return start


def find_end_tags(file: BinaryIO, start: int, end: int) -> int:
    """Find the tags at the end of a file.

    Args:
        file: open for reading; its position is moved
        start: first byte of the audio
        end: length of the file

    Returns:
        The first byte of the tags; ``end`` if there are none.
    """
    while True:
        tail = read_at(file, max(start, end - _ID3V1_BYTES), min(_ID3V1_BYTES, end - start))
        length = 0
        if len(tail) == _ID3V1_BYTES and tail[:3] == b"TAG":
            length = _ID3V1_BYTES
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            length = int(tail[-15:-9]) + 15
        elif tail[-_APE_BYTES:-24] == b"APETAGEX":
            flags = int.from_bytes(tail[-12:-8], "little")
            length = int.from_bytes(tail[-20:-16], "little") + _APE_BYTES * bool(flags & _APE_HAS_HEADER)
        if not 0 < length <= end - start:
            return end
        end -= length


def skip_tag(file: BinaryIO, at: int, end: int) -> int:
    """Skip an ID3v2, ID3v1 or APEv2 tag.

    Args:
        file: open for reading; its position is moved
        at: first byte of the tag
        end: byte after the last one

    Returns:
        The first byte after the tag; ``at`` if there is none.
    """
    after = skip_id3v2(file, at, end)
    head = read_at(file, after, _APE_BYTES)
    if head.startswith(b"TAG"):
        after += _ID3V1_BYTES
    elif head.startswith(b"APETAGEX"):
        after += _APE_BYTES + int.from_bytes(head[12:16], "little")
    return min(end, after)
