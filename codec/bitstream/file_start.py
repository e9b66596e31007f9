"""The start of a ``.nac`` file or stream of any version: header, tags and pictures, and the repair of the header;
docs/bitstream.md.

A file of the short profile is read as a whole, since its only checksum is at its end.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from codec.audio.pictures import Picture
from codec.bitstream.blocks import ESSENTIAL, PICTURE, TAGS, block_bytes, parse_blocks
from codec.bitstream.byte_repair import repair_byte
from codec.bitstream.checksum import CRC32_BYTES, append_crc32, crc32_error
from codec.bitstream.header import ADVICE_ON_DAMAGE, FORMAT_VERSION, Header
from codec.bitstream.header_layout import (
    MAGIC,
    MAX_HEADER_BYTES,
    MIN_HEADER_BYTES,
    START_BYTES,
    HeaderError,
    header_bytes,
    parse_header,
)
from codec.bitstream.old_versions import HEADER_BYTES_2, parse_old_start
from codec.bitstream.pictures import MAX_PICTURES, parse_picture, picture_bytes
from codec.bitstream.tags import parse_tags, tag_bytes
from codec.errors import UserError

MAX_REPAIRED_BYTES = 4096
"""Size of a short file in which one damaged byte is repaired; in a larger one, more damage would often look like it."""

_PIECE_BYTES = 1 << 16
"""Bytes that are read at once at first."""

Read = Callable[[int], bytes]
"""Function that returns the requested number of bytes, or fewer at the end."""


@dataclass(frozen=True)
class FileStart:
    """What a file or stream begins with, as read."""

    header: Header
    tags: dict[str, str]
    """Tags of the source; none if they are damaged."""
    pictures: tuple[Picture, ...]
    """Pictures of the source, without damaged ones."""
    tags_damaged: bool
    """Whether the checksum of tags or of a picture is wrong."""
    size: int
    """Size of the header, tags and pictures."""
    blocks_bytes: int
    """Size of tags and pictures."""
    repaired: bool = False
    """Whether one byte of the header, or of a short file, was damaged, and repaired with the help of its checksum."""
    payload: bytes = b""
    """The payload of a short file."""
    rest: bytes = b""
    """Bytes behind the start that had to be read to repair it."""


def start_bytes(header: Header, blocks: bytes = b"") -> bytes:
    """Serialise the start of a file of the archive profile, or of a live stream.

    Args:
        header: the header
        blocks: tags and pictures, from :func:`metadata_blocks`

    Returns:
        Header, its checksum, and the blocks.
    """
    return append_crc32(header_bytes(header, len(blocks))) + blocks


def short_file_bytes(header: Header, payload: bytes) -> bytes:
    """Serialise a file of the short profile.

    Args:
        header: the header
        payload: its packet; nothing if it has no frames

    Returns:
        The whole file.
    """
    return append_crc32(header_bytes(header) + payload)


def metadata_blocks(tags: Mapping[str, str], pictures: Sequence[Picture] = ()) -> bytes:
    """Serialise tags and pictures.

    Args:
        tags: tags of the source
        pictures: pictures that fit, see :func:`codec.bitstream.pictures.fit_pictures`

    Returns:
        Blocks; nothing if there is neither.

    Raises:
        UserError: The tags are not text, or too long.
    """
    texts = tag_bytes(tags)
    return (block_bytes(TAGS, texts) if texts else b"") + b"".join(
        block_bytes(PICTURE, picture_bytes(picture)) for picture in pictures
    )


def read_start(read: Read, name: object) -> FileStart:
    """Read and check what a file or stream begins with.

    Args:
        read: function that returns the requested number of bytes, or fewer at the end
        name: name of the file or stream in messages

    Returns:
        Header, tags and pictures.

    Raises:
        UserError: Not a ``.nac`` file, of an unknown version, or the header is truncated or damaged beyond repair.
    """
    source = _Source(b"", read)
    try:
        return _parse(source.take)
    except HeaderError as error:
        source.take(max(0, MAX_REPAIRED_BYTES + 1 - len(source.taken)))
        repaired = _repair(bytes(source.taken))
        if repaired is None:
            raise UserError(f"{name}: {error}") from error
    source = _Source(repaired, read)
    try:
        start = _parse(source.take)
    except HeaderError as error:
        raise UserError(f"{name}: {error}") from error
    return replace(start, repaired=True, rest=source.unread)


class _Source:
    """Bytes that were read already, and those that follow them."""

    def __init__(self, first: bytes, read: Read) -> None:
        self.unread, self.taken = first, bytearray()
        self._read = read

    def take(self, count: int) -> bytes:
        data, self.unread = bytearray(self.unread[:count]), self.unread[count:]
        # a buffer for all that a header states could be larger than the file a thousand times
        while missing := count - len(data):
            wanted = min(missing, max(_PIECE_BYTES, len(data)))
            piece = self._read(wanted)
            data += piece
            if len(piece) < wanted:
                break
        self.taken += data
        return bytes(data)


def _parse(take: Read) -> FileStart:
    start = take(START_BYTES)
    if not start:
        raise HeaderError("the file is empty (0 bytes); encode the source again")
    if start[: len(MAGIC)] != MAGIC[: len(start)]:
        raise HeaderError("not a .nac file; give one that was written by: codec encode")
    if len(start) < START_BYTES:
        raise HeaderError(f"truncated within the header; {ADVICE_ON_DAMAGE}")
    source, version = _Source(start, take), start[-1]
    if version in (1, 2):
        old = parse_old_start(version, source.take)
        return FileStart(old.header, old.tags or {}, (), old.tags is None, len(source.taken), 0)
    if version & 15 != FORMAT_VERSION:
        known = f"this program reads versions 1 to {FORMAT_VERSION}; update it"
        raise HeaderError(f".nac version {version & 15}, {known}")
    header, size = parse_header(source.take)
    if header.short:
        return _parse_short(header, bytes(source.taken), take)
    source.take(CRC32_BYTES)
    if crc32_error(bytes(source.taken)):
        raise HeaderError(f"the header is damaged (checksum); {ADVICE_ON_DAMAGE}")
    blocks = source.take(size)
    return replace(_parse_blocks(header, blocks), size=len(source.taken), blocks_bytes=len(blocks))


def _parse_short(header: Header, data: bytes, take: Read) -> FileStart:
    most = header.max_payload_bytes(0) if header.frames else 0
    rest = take(most + CRC32_BYTES + 1)
    payload = rest[:-CRC32_BYTES]
    if len(rest) < CRC32_BYTES or crc32_error(data + rest) or bool(payload) != bool(header.frames):
        raise HeaderError(f"damaged or truncated (checksum of a short file); {ADVICE_ON_DAMAGE}")
    return FileStart(header, {}, (), False, len(data), 0, payload=payload)


def _parse_blocks(header: Header, data: bytes) -> FileStart:
    tags, pictures, damaged = dict[str, str](), list[Picture](), False
    for block in parse_blocks(data):
        found = None if block.damaged else block.content
        if found is not None and block.kind >= ESSENTIAL:
            raise HeaderError(f"uses features unknown to this program (block {block.kind}); update it")
        if block.kind == TAGS:
            texts = None if found is None else parse_tags(found)
            tags, damaged = tags if texts is None else texts, damaged or texts is None
        elif block.kind == PICTURE:
            picture = None if found is None else parse_picture(found)
            pictures += [picture] if picture and len(pictures) < MAX_PICTURES else []
            damaged = damaged or picture is None
        else:
            damaged = damaged or found is None
    return FileStart(header, tags, tuple(pictures), damaged, 0, len(data))


def _repair(data: bytes) -> bytes | None:
    """Return the bytes with one of the header's, or of a short file's, changed; None if that is not possible in exactly
    one way.
    """
    found = [_repair_start(data, HEADER_BYTES_2, lambda head: head[: len(MAGIC) + 1] == MAGIC + b"\2")]
    sizes = range(MIN_HEADER_BYTES + CRC32_BYTES, min(MAX_HEADER_BYTES + CRC32_BYTES, len(data)) + 1)
    found += [_repair_start(data, size, _is_header) for size in sizes]
    if len(data) <= MAX_REPAIRED_BYTES:
        found.append(_repair_start(data, len(data), _is_short))
    repaired = [one for one in found if one is not None]
    return repaired[0] if len(repaired) == 1 else None


def _repair_start(data: bytes, size: int, is_right: Callable[[bytes], bool]) -> bytes | None:
    head = repair_byte(data[:size]) if size <= len(data) else None
    return head + data[size:] if head and is_right(head) else None


def _is_header(data: bytes) -> bool:
    source = _Source(data, lambda count: b"")
    try:
        header, _ = parse_header(source.take)
    except HeaderError:
        return False
    return not header.short and len(source.unread) == CRC32_BYTES


def _is_short(data: bytes) -> bool:
    try:
        return _parse(_Source(data, lambda count: b"").take).header.short
    except HeaderError:
        return False
