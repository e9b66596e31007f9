"""Tags of a ``.nac`` file: title, artist and the like, as JSON with a checksum; docs/bitstream.md."""

import json
from collections.abc import Mapping

from codec.bitstream.checksum import CRC32_BYTES, append_crc32, crc32_error
from codec.errors import UserError

MAX_TAG_BYTES = 16384
"""Size of the tags as JSON in UTF-8."""


def fit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Leave out the longest tags until the others fit into a header.

    Args:
        tags: tags of the source

    Returns:
        The tags that fit.

    >>> fit_tags({"title": "Song", "lyrics": "la " * 10_000})
    {'title': 'Song'}
    """
    kept = dict(tags)
    while kept and len(_to_json(kept)) > MAX_TAG_BYTES:
        del kept[max(kept, key=lambda name: len(kept[name].encode()))]
    return kept


def tag_bytes(tags: Mapping[str, str]) -> bytes:
    """Serialise tags.

    Args:
        tags: any tags

    Returns:
        JSON and its checksum; nothing if there are no tags.

    Raises:
        UserError: The tags are not text, or too long.
    """
    if not tags:
        return b""
    if not all(isinstance(text, str) for pair in tags.items() for text in pair):
        raise UserError("tags are pairs of texts, such as title=Song")
    try:
        text = _to_json(tags)
    except UnicodeEncodeError as error:
        raise UserError("a tag is not valid text (UTF-8); leave it out") from error
    if len(text) > MAX_TAG_BYTES:
        raise UserError(f"the tags take {len(text)} bytes, and at most {MAX_TAG_BYTES} fit; shorten them")
    return append_crc32(text)


def parse_tags(data: bytes) -> dict[str, str] | None:
    """Parse tags; the inverse of :func:`tag_bytes`.

    Args:
        data: bytes between the header and the first packet

    Returns:
        The tags; None if they are damaged, since decoding does without.

    >>> parse_tags(tag_bytes({"title": "Song"}))
    {'title': 'Song'}
    """
    if len(data) <= CRC32_BYTES or crc32_error(data):
        return None
    try:
        tags = json.loads(data[:-CRC32_BYTES])
        json.dumps(tags, ensure_ascii=False).encode()  # fails if escapes make halves of characters
    except (ValueError, RecursionError):
        return None
    valid = isinstance(tags, dict) and all(isinstance(value, str) for value in tags.values())
    return tags if valid else None


def _to_json(tags: Mapping[str, str]) -> bytes:
    return json.dumps(dict(tags), ensure_ascii=False, separators=(",", ":")).encode()
