"""Pictures in audio files, such as the cover of an album."""

from dataclasses import dataclass, field

FRONT_COVER = 3
"""Type of a picture of the front cover."""
MAX_PICTURE_BYTES = (1 << 24) - 1024
"""Size of the data of a picture; FLAC holds a block of less than 16 MiB."""


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
