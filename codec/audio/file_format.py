"""What the bytes of a file say that it is, and which decoder is right for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

BackEnd = Literal["libsndfile", "FLAC", "FFmpeg", "Ogg", "MPEG"]


@dataclass(frozen=True)
class FileFormat:
    """A file that is known by its structure.

    Args:
        container: as one would print it, by libsndfile's name where it has one.
        back_end: what decodes it: libsndfile, FFmpeg's demuxers and decoders, or FFmpeg's decoders behind our own
            reading of Ogg pages or MPEG audio frames.
        start: first byte of the container (after ID3v2 tags).
        end: the byte after its last one.
        demuxer: FFmpeg's name of the container.
        most_frames: samples per channel that the container states for certain, where decoders give more.
        skipped: samples before those, which are the encoder's delay.
        replaced: bytes to put in place of those of the file, by offset into the container, where a decoder needs it.
        fault: why the file is cut off or damaged; decoding goes as far as it can.
    """

    container: str
    back_end: BackEnd
    start: int
    end: int
    demuxer: str = ""
    most_frames: int | None = None
    skipped: int = 0
    replaced: Mapping[int, bytes] = field(default_factory=dict)
    fault: str = ""


@dataclass(frozen=True)
class NotAudio:
    """A file that cannot be read, and why, in one line without the path."""

    reason: str
