"""An audio file that several steps of one job use: its header is read once and handed on."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path

from codec.audio.reader import AudioInfo, blocks, info
from codec.audio.samples import FloatArray
from codec.runtime.read_once import ReadOnce

_EMPTY_FILE_BYTES = 4096
_TYPICAL_BYTES_PER_S = 16_000
"""Of a compressed file (128 kbit/s)."""


class AudioInput:
    """An audio file whose header is read when it is first asked for, and again only if the file has changed since.

    An object can be pickled, with the header if it has been read.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._header = ReadOnce(self.path, partial(info, self.path))

    @property
    def info(self) -> AudioInfo:
        """What the header states. Raises :class:`codec.audio.AudioError` if the file cannot be opened."""
        return self._header.get()

    @property
    def expected_seconds(self) -> float:
        """Duration for a progress bar: the stated one, otherwise a guess from the size of the file."""
        stated = self.info.seconds
        return self.path.stat().st_size / _TYPICAL_BYTES_PER_S if stated is None else stated

    def blocks(self, block_frames: int = 65536) -> Iterable[FloatArray]:
        """Read the samples, as :func:`codec.audio.blocks` does.

        Args:
            block_frames: most samples per channel of a block.

        Returns:
            Blocks, float32 ``[channels, n]``. A file without samples is an error only if it has bytes that could hold
            some.
        """
        if self.info.frames == 0 and self.path.stat().st_size < _EMPTY_FILE_BYTES:
            return ()
        return blocks(self.path, block_frames)

    def count_samples(self) -> int:
        """Count the samples by reading them all.

        Returns:
            Samples per channel.

        Raises:
            AudioError: as :func:`codec.audio.blocks`.
        """
        return sum(block.shape[1] for block in self.blocks())
