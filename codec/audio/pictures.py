"""Pictures in audio files, such as the cover of an album: read by tinytag, and written to FLAC.

Source: RFC 9639 (FLAC), section 8.8.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

FRONT_COVER = 3
"""Type of a picture of the front cover."""
MAX_PICTURE_BYTES = (1 << 24) - 1024
"""Size of the data of a picture; FLAC holds a block of less than 16 MiB."""
_TYPES = (
    "generic", "icon", "alt_icon", "front_cover", "back_cover", "leaflet", "media", "lead_artist", "artist",
    "conductor", "band", "composer", "lyricist", "recording_location", "during_recording", "during_performance",
    "screen_capture", "bright_colored_fish", "illustration", "band_logo", "publisher_logo",
)  # fmt: skip
"""Types in the order of their numbers, by their names in tinytag."""
_STARTS = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG": "image/png", b"GIF8": "image/gif", b"RIFF": "image/webp"}
_FLAC_STREAM_INFO_BYTES = 4 + 4 + 34
_FLAC_PICTURE = 6
_FLAC_LAST = 0x80
_COPY_BYTES = 1 << 20


@dataclass(frozen=True)
class Picture:
    """A picture."""

    data: bytes = field(repr=False)
    """The image file."""
    mime: str
    """Media type, such as ``image/jpeg``."""
    type: int = FRONT_COVER
    """What it shows, by the numbers of ID3v2 and FLAC, from 0 to 20."""
    description: str = ""


def read_pictures(path: Path) -> list[Picture]:
    """Read the pictures of an audio file from ID3, FLAC, Vorbis comments and MP4.

    Args:
        path: the file

    Returns:
        Its pictures; none if its tags cannot be read.
    """
    import tinytag

    try:
        images = tinytag.TinyTag.get(path, tags=True, duration=False, image=True).images.as_dict()
    except (tinytag.TinyTagException, OSError, MemoryError, RecursionError):
        return []
    found = [(name, image) for name, several in images.items() for image in several]
    return [
        Picture(
            image.data,
            image.mime_type or media_type(image.data),
            _TYPES.index(name) if name in _TYPES else 0,
            image.description or "",
        )
        for name, image in found
    ]


def media_type(data: bytes) -> str:
    """Return the media type of an image file.

    Args:
        data: the file

    Returns:
        Such as ``image/jpeg``; empty if it is none of the usual formats.
    """
    return next((mime for start, mime in _STARTS.items() if data.startswith(start)), "")


def insert_flac_pictures(file: BinaryIO, pictures: Iterable[Picture]) -> None:
    """Insert pictures into a FLAC file, in place.

    Args:
        file: a complete FLAC file, open for reading and writing
        pictures: pictures of at most :data:`MAX_PICTURE_BYTES` each

    Raises:
        OSError: The file cannot be written.
    """
    blocks = b"".join(map(_flac_block, pictures))
    file.seek(4)
    kind = file.read(1)[0]
    if kind & _FLAC_LAST:
        raise ValueError("a FLAC file without comments")
    place = file.seek(0, 2)
    while place > _FLAC_STREAM_INFO_BYTES:
        size = min(_COPY_BYTES, place - _FLAC_STREAM_INFO_BYTES)
        place -= size
        file.seek(place)
        data = file.read(size)
        file.seek(place + len(blocks))
        file.write(data)
    file.seek(_FLAC_STREAM_INFO_BYTES)
    file.write(blocks)


def fits_flac(picture: Picture) -> bool:
    """Determine whether a FLAC file can hold a picture: its blocks have less than 16 MiB.

    Args:
        picture: the picture

    Returns:
        True if it can.
    """
    return len(_flac_content(picture)) < 1 << 24


def _flac_block(picture: Picture) -> bytes:
    content = _flac_content(picture)
    return bytes([_FLAC_PICTURE]) + len(content).to_bytes(3, "big") + content


def _flac_content(picture: Picture) -> bytes:
    texts = [picture.mime.encode("ascii", "replace"), picture.description.encode()]
    content = struct.pack(">I", picture.type) + b"".join(struct.pack(">I", len(text)) + text for text in texts)
    return content + bytes(16) + struct.pack(">I", len(picture.data)) + picture.data  # size and colours: not known
