"""Read FLAC: by libFLAC where it is right, which is quicker, and what it leaves by FFmpeg.

libFLAC (through libsndfile) stops where the header of the first stream says, and so loses what was joined to it.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from codec.audio.chunks import read_at
from codec.audio.ffmpeg import FFmpegDecoder
from codec.audio.identity import Identity
from codec.audio.libsndfile import LibsndfileDecoder
from codec.audio.samples import FloatArray

_MARK = b"fLaC"
_READ_AHEAD_BYTES = 1 << 16
"""More than libFLAC reads before it decodes (8 kB)."""


class FlacDecoder:
    """A FLAC file whose header counts its samples, see :class:`codec.audio.decoder.Decoder`."""

    def __init__(self, path: Path, identity: Identity) -> None:
        self._path, self._identity = path, identity
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        try:
            self._first = LibsndfileDecoder(path, identity, self._descriptor)
        except BaseException:
            os.close(self._descriptor)
            raise
        self.description = self._first.description

    def blocks(self, block_frames: int) -> Iterator[FloatArray]:
        """See :class:`codec.audio.decoder.Decoder`."""
        done = 0
        for block in self._first.blocks(block_frames):
            done += block.shape[1]
            yield block
        if not self._has_more():
            return
        decoder = FFmpegDecoder(self._path, replace(self._identity, back_end="FFmpeg"))
        try:
            for block in decoder.blocks(block_frames):
                dropped = min(done, block.shape[1])
                done -= dropped
                yield block[:, dropped:]
        finally:
            decoder.close()

    def _has_more(self) -> bool:
        """Whether libFLAC left bytes, or may hold a further stream in those that it read ahead."""
        position, end = os.lseek(self._descriptor, 0, os.SEEK_CUR), self._identity.end
        if position < end:
            return True
        start = max(self._identity.start + len(_MARK), end - _READ_AHEAD_BYTES)
        with self._path.open("rb") as file:
            return _MARK + b"\0" in read_at(file, start, end - start)

    def close(self) -> None:
        """Close the file."""
        self._first.close()
        os.close(self._descriptor)
