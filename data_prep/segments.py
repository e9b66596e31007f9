"""A part of an audio file, or the whole of it, and its samples."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec import audio


@dataclass(frozen=True)
class AudioSegment:
    """The file from ``start_s`` to ``end_s``, in seconds; an end of 0 means that of the file."""

    path: Path
    start_s: float = 0.0
    end_s: float = 0.0

    @property
    def whole(self) -> bool:
        """Whether this is the whole file."""
        return not self.end_s

    @property
    def key(self) -> str:
        """The path, and the times where the segment is not the whole."""
        return str(self.path) if self.whole else f"{self.path} from {self.start_s:.2f} to {self.end_s:.2f} s"

    def blocks(self, sample_rate: int) -> Iterator[audio.FloatArray]:
        """Yield the samples, float32 ``[channels, n]``.

        Args:
            sample_rate: of the file, in Hz.

        Raises:
            AudioError: see :func:`codec.audio.blocks`.
        """
        if self.whole:
            yield from audio.blocks(self.path)
            return
        first, end, at = round(self.start_s * sample_rate), round(self.end_s * sample_rate), 0
        for block in audio.blocks(self.path):
            part = block[:, max(0, first - at) : max(0, end - at)]
            at += block.shape[1]
            if part.shape[1]:
                yield part
            if at >= end:
                return
