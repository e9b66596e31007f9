"""The interface of the back ends: decoders of audio files, each for the formats that it reads correctly."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from codec.audio.waveform import FloatArray


class AudioDamage(Exception):
    """The file is truncated or damaged; the message says how, without the path.

    Args:
        message: what is wrong and where
        reason: what is wrong without the time; the message if that states none
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = message if reason is None else reason


class UnsupportedAudio(Exception):
    """The back end cannot read the file; the message says why, without the path."""


@dataclass(frozen=True)
class StreamInfo:
    """Properties of an audio stream that are known before it is decoded, see :class:`codec.audio.AudioInfo`."""

    format: str
    subtype: str
    sample_rate: int
    channels: int
    frames: int | None
    other_streams: int = 0


class Decoder(Protocol):
    """An open audio file, decoded once from its start to its end."""

    stream_info: StreamInfo

    def blocks(self) -> Iterator[FloatArray]:
        """Decode the file.

        Yields:
            The samples in order, float32 ``[channels, n]`` with any ``n``.

        Raises:
            AudioDamage: the file is truncated or damaged.
            UnsupportedAudio: the file cannot be read.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...
