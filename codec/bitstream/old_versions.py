"""Headers of versions 1 and 2, with their tags; docs/bitstream.md."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

from codec.bitstream.checksum import CRC32_BYTES, crc32_error
from codec.bitstream.header import ADVICE_ON_DAMAGE, Header
from codec.bitstream.header_layout import HeaderError

HEADER_BYTES_2 = 58
"""Size of a header of version 2 without tags."""
_FIELDS = struct.Struct("<4sBBH8sIIIQQBBBB")
_FURTHER = struct.Struct("<HI")
_HEADER_BYTES = {1: 52, 2: HEADER_BYTES_2}
_VARIABLE, _LIVE = 1, 2
_MAX_TAG_BYTES = 16384


@dataclass(frozen=True)
class OldStart:
    """Header and tags of version 1 or 2."""

    header: Header
    tags: dict[str, str] | None
    """None if they are damaged."""


def parse_old_start(version: int, read: Callable[[int], bytes]) -> OldStart:
    """Parse a header and its tags.

    Args:
        version: 1 or 2
        read: function that returns the requested number of bytes, or fewer at the end; it begins with the header

    Returns:
        Header and tags.

    Raises:
        HeaderError: The header is truncated or damaged.
    """
    size = _HEADER_BYTES[version]
    data = read(size)
    if len(data) < size:
        raise HeaderError(f"truncated within the header; {ADVICE_ON_DAMAGE}")
    if crc32_error(data):
        raise HeaderError(f"the header is damaged (checksum); {ADVICE_ON_DAMAGE}")
    _, _, flags, start, model, rate, model_rate, hop, samples, frames, *counts = _FIELDS.unpack(data[: _FIELDS.size])
    known = 0 if version == 1 else _VARIABLE | _LIVE
    longest = size if version == 1 else size + _MAX_TAG_BYTES + CRC32_BYTES
    if flags & ~known or not (start == size or size + CRC32_BYTES < start <= longest):
        raise HeaderError(f"uses features unknown to this program (flags {flags:#04x}); update it")
    channels, codebooks, bits, packet_frames = counts
    receptive_frames, target_bps = (0, 0) if version == 1 else _FURTHER.unpack(data[_FIELDS.size : -CRC32_BYTES])
    header = Header(
        model.hex(), rate, channels, model_rate, hop, codebooks, bits, packet_frames, receptive_frames,
        bool(flags & _VARIABLE), target_bps, bool(flags & _LIVE), False, samples, frames, version,
    )  # fmt: skip
    if fault := header.fault():
        raise HeaderError(f"not a valid .nac file: {fault}; encode the source again")
    return OldStart(header, _parse_json_tags(read(start - size)) if start > size else {})


def _parse_json_tags(data: bytes) -> dict[str, str] | None:
    if len(data) <= CRC32_BYTES or crc32_error(data):
        return None
    try:
        tags = json.loads(data[:-CRC32_BYTES])
        json.dumps(tags, ensure_ascii=False).encode()  # fails if escapes make halves of characters
    except (ValueError, RecursionError):
        return None
    valid = isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())
    return tags if valid else None
