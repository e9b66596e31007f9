"""APEv2 tags at the end of MPEG audio files, where neither tinytag nor FFmpeg reads them.

Source: https://wiki.hydrogenaud.io/index.php?title=APEv2_specification
"""

from pathlib import Path

_FOOTER_BYTES = 32
_ID3V1_BYTES = 128
_MAX_BYTES = 1 << 24
_ITEM_TYPE = 0b110
_TEXT, _BINARY = 0b000, 0b010


def read_apev2_tags(path: Path) -> tuple[dict[str, list[str]], int]:
    """Read the APEv2 tag at the end of a file.

    Args:
        path: the file

    Returns:
        The values of each text item by its name, and the number of pictures. A damaged tag is read as far as possible.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - _ID3V1_BYTES))
        end = size - _ID3V1_BYTES if file.read(3) == b"TAG" else size
        if end < _FOOTER_BYTES:
            return {}, 0
        file.seek(end - _FOOTER_BYTES)
        footer = file.read(_FOOTER_BYTES)
        length = int.from_bytes(footer[12:16], "little")  # of the items and the footer
        if footer[:8] != b"APETAGEX" or not _FOOTER_BYTES <= length <= min(end, _MAX_BYTES):
            return {}, 0
        file.seek(end - length)
        items = file.read(length - _FOOTER_BYTES)
    texts: dict[str, list[str]] = {}
    pictures = at = 0
    while at + 9 <= len(items):
        value_bytes, flags = (int.from_bytes(items[at + offset : at + offset + 4], "little") for offset in (0, 4))
        name, end_of_name, _ = items[at + 8 : at + 8 + 256].partition(b"\0")
        start = at + 8 + len(name) + 1
        if not end_of_name or start + value_bytes > len(items):
            break
        key = name.decode("latin-1")
        if flags & _ITEM_TYPE == _TEXT:
            texts.setdefault(key, []).extend(items[start : start + value_bytes].decode("utf-8", "replace").split("\0"))
        elif flags & _ITEM_TYPE == _BINARY and key.lower().startswith("cover art"):
            pictures += 1
        at = start + value_bytes
    return texts, pictures
