"""Segments of audio files: the whole of a file, or a part of it between two times."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from codec import audio


@dataclass(frozen=True, slots=True)
class AudioSegment:
    """An audio file from ``start_s`` to ``end_s``."""

    path: Path
    start_s: float = 0.0
    """Start in seconds."""
    end_s: float = 0.0
    """End in seconds; 0 means the end of the file."""

    @property
    def whole(self) -> bool:
        """True for the whole file."""
        return not self.end_s

    @property
    def key(self) -> str:
        """The path, with the times if the segment is a part of the file."""
        return segment_key(str(self.path), self.start_s, self.end_s)

    def blocks(self, sample_rate: int) -> Iterator[audio.FloatArray]:
        """Yield the samples block by block.

        Args:
            sample_rate: sample rate of the file, in Hz.

        Yields:
            Blocks of float32 ``[channels, n]``.

        Raises:
            AudioError: the file cannot be decoded, see :func:`codec.audio.blocks`.
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


def segment_key(path: str, start_s: float, end_s: float) -> str:
    """Return the key of a segment, see :attr:`AudioSegment.key`.

    Args:
        path: path of the file.
        start_s: start in seconds.
        end_s: end in seconds; 0 means the end of the file.

    Returns:
        The key.
    """
    return f"{path} from {start_s:.2f} to {end_s:.2f} s" if end_s else path
