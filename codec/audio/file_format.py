"""The detected format of an audio file, and the back end that reads it correctly."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BackEnd = Literal["libsndfile", "FLAC", "FFmpeg", "Ogg", "MPEG"]
"""libsndfile; libFLAC or FFmpeg; FFmpeg's demuxers and decoders; FFmpeg's decoders, fed by our own parser of Ogg pages
or of MPEG frames."""


@dataclass(frozen=True)
class FileFormat:
    """The format of a file, as found by :func:`codec.audio.format_detection.detect_format`."""

    container: str
    """Name of the container to print; that of libsndfile if it has one."""
    back_end: BackEnd
    """Back end that decodes the file."""
    start: int
    """First byte of the container, after any ID3v2 tags."""
    end: int
    """Byte after the last one of the container."""
    demuxer: str = ""
    """FFmpeg's name of the container."""
    max_frames: int | None = None
    """Reliable number of samples per channel in the container, for decoders that return more; None if there is none."""
    delay: int = 0
    """Samples before those, which are the encoder's delay and are dropped."""
    patches: Mapping[int, bytes] = field(default_factory=dict)
    """Bytes that replace those of the file, by their offset into the container, so that the back end reads it
    correctly."""
    fault: str = ""
    """Why the file is truncated or damaged; empty if it is not. Such a file is decoded as far as possible."""
    untagged: bool = False
    """Whether the file is known to hold nothing but samples and their format, so that it has no tags."""


@dataclass(frozen=True)
class NotAudio:
    """A file that cannot be read."""

    reason: str
    """The reason, in one line without the path."""
