"""Tags of a ``.nac`` file: title, artist and the like; docs/bitstream.md.

A tag with several values is one text here, as in :mod:`codec.audio.tags`. A file holds its values one by one, under the
same name. As in Vorbis comments, the case of names means nothing: they are written in lower case. A tag whose text is
empty is no tag.
"""

import io
from collections.abc import Mapping

from codec.audio.tags import SEPARATOR, split_values
from codec.bitstream.varint import read_varint, varint_bytes
from codec.errors import UserError

MAX_TAG_BYTES = 16384
"""Size of all tags of a file."""


def fit_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Leave out the longest tags until the others fit into a file.

    Args:
        tags: tags of the source

    Returns:
        The tags that fit.

    >>> fit_tags({"title": "Song", "lyrics": "la " * 10_000})
    {'title': 'Song'}
    """
    kept = dict(tags)
    while kept and len(_serialise(kept)) > MAX_TAG_BYTES:
        del kept[max(kept, key=lambda name: len(kept[name].encode()))]
    return kept


def change_tags(tags: Mapping[str, str], changes: Mapping[str, str]) -> dict[str, str]:
    """Replace, add and delete tags.

    Args:
        tags: any tags
        changes: texts of the tags to set, by name in any case; an empty text deletes the tag

    Returns:
        All tags, the changed ones last.

    Raises:
        UserError: the changes are not text.

    >>> change_tags({"title": "Song", "artist": "Ann"}, {"Title": "Other", "date": "2001", "ARTIST": ""})
    {'title': 'Other', 'date': '2001'}
    """
    _require_texts(changes)
    changed = {name.lower(): text for name, text in changes.items()}
    kept = {name: text for name, text in tags.items() if name.lower() not in changed}
    return {**kept, **{name: text for name, text in changed.items() if text}}


def tag_bytes(tags: Mapping[str, str]) -> bytes:
    """Serialise tags.

    Args:
        tags: any tags

    Returns:
        ``NAME=TEXT`` of each value, behind its length, with the name in lower case; nothing if there are no tags.

    Raises:
        UserError: The tags are not text, or too long.
    """
    _require_texts(tags)
    for name in tags:
        if not name or "=" in name or SEPARATOR in name:
            raise UserError(f"a tag cannot be named {name!r}; give it a name without equals signs")
    try:
        data = _serialise(tags)
    except UnicodeEncodeError as error:
        raise UserError("a tag is not valid text (UTF-8); leave it out") from error
    if len(data) > MAX_TAG_BYTES:
        raise UserError(f"the tags take {len(data)} bytes, and at most {MAX_TAG_BYTES} fit; shorten them")
    return data


def parse_tags(data: bytes) -> dict[str, str] | None:
    r"""Parse tags; the inverse of :func:`tag_bytes`.

    Args:
        data: content of the block of tags

    Returns:
        The tags; None if these are other bytes, or more than :data:`MAX_TAG_BYTES`.

    >>> parse_tags(tag_bytes({"artist": "Ann\0Bob", "title": "Song"}))
    {'artist': 'Ann\x00Bob', 'title': 'Song'}
    """
    if len(data) > MAX_TAG_BYTES:
        return None
    found: dict[str, list[str]] = {}
    source = io.BytesIO(data)
    while source.tell() < len(data):
        size = read_varint(source.read)
        entry = source.read(size or 0)
        if size is None or len(entry) < size:
            return None
        try:
            name, equals, text = entry.decode().partition("=")
        except UnicodeDecodeError:
            return None
        if not name or not equals or SEPARATOR in entry.decode():
            return None
        found.setdefault(name, []).append(text)
    return {name: SEPARATOR.join(values) for name, values in found.items()}


def _require_texts(tags: Mapping[str, str]) -> None:
    if not all(isinstance(text, str) for pair in tags.items() for text in pair):
        raise UserError("tags are pairs of texts, such as title=Song")


def _serialise(tags: Mapping[str, str]) -> bytes:
    pairs = [(name.lower(), text) for name, text in tags.items() if text]
    entries = [f"{name}={value}".encode() for name, text in pairs for value in split_values(text)]
    return b"".join(varint_bytes(len(entry)) + entry for entry in entries)
