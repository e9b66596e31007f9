"""Pictures in a ``.nac`` file; docs/bitstream.md."""

import io
from collections.abc import Iterable

from codec.audio.pictures import MAX_PICTURE_BYTES, Picture
from codec.bitstream.varint import read_varint, varint_bytes

_MAX_TEXT_BYTES = 255
MAX_TOTAL_BYTES = 1 << 25
"""Size of all pictures of a file."""
MAX_PICTURES = 64
"""Number of pictures of a file; readers leave out those behind them."""


def fit_pictures(pictures: Iterable[Picture]) -> tuple[Picture, ...]:
    """Leave out pictures that are too many or too large for a file, or for what the ones before them leave.

    Args:
        pictures: pictures of the source

    Returns:
        The pictures that fit, with media types and descriptions of at most 255 bytes.
    """
    kept, total = list[Picture](), 0
    for picture in pictures:
        if len(kept) == MAX_PICTURES:
            break
        if len(picture.data) <= MAX_PICTURE_BYTES and total + len(picture.data) <= MAX_TOTAL_BYTES:
            texts = [_shorten(text) for text in (picture.mime, picture.description)]
            kept.append(Picture(picture.data, texts[0], min(picture.type, 255), texts[1]))
            total += len(picture.data)
    return tuple(kept)


def picture_bytes(picture: Picture) -> bytes:
    """Serialise a picture.

    Args:
        picture: one that fits, see :func:`fit_pictures`

    Returns:
        Its type, media type and description, each behind its length, and its data.
    """
    texts = [text.encode() for text in (picture.mime, picture.description)]
    return bytes([picture.type]) + b"".join(varint_bytes(len(text)) + text for text in texts) + picture.data


def parse_picture(data: bytes) -> Picture | None:
    """Parse a picture; the inverse of :func:`picture_bytes`.

    Args:
        data: content of the block of a picture

    Returns:
        The picture; None if these are other bytes.

    >>> parse_picture(picture_bytes(Picture(b"...", "image/png", 3, "front")))
    Picture(mime='image/png', type=3, description='front')
    """
    source, texts = io.BytesIO(data), list[str]()
    kind = source.read(1)
    for _ in range(2):
        size = read_varint(source.read)
        text = source.read(size or 0)
        if size is None or len(text) < size:
            return None
        try:
            texts.append(text.decode())
        except UnicodeDecodeError:
            return None
    return Picture(source.read(), texts[0], kind[0], texts[1])


def _shorten(text: str) -> str:
    return text.encode(errors="replace")[:_MAX_TEXT_BYTES].decode(errors="ignore")
