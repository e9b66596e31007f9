"""Decoding of FLAC by libFLAC if it reads the file correctly, because it is faster, else by FFmpeg.

libFLAC (through libsndfile) stops at the length in the header, and libsndfile does not support every number of bits.
FFmpeg's demuxer merges frames at the seams of joined files. Joined files are therefore split at their signatures,
and each part is read by the back end that is right for it.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from codec.audio.backend import AudioDamage, Decoder, UnsupportedAudio
from codec.audio.chunks import read_at
from codec.audio.ffmpeg_decoder import FFmpegDecoder
from codec.audio.ffmpeg_packets import FormatGuard
from codec.audio.file_format import FileFormat
from codec.audio.flac_frames import ends_at_stated_length, flac_bits_per_sample
from codec.audio.libsndfile_decoder import LibsndfileDecoder
from codec.audio.waveform import FloatArray

_MARK = b"fLaC\x00\x00\x00\x22"
"""First bytes of a file, with the header of its first metadata block, which has a fixed length."""
_MARK_OF_LAST = b"fLaC\x80\x00\x00\x22"
"""The same if there are no further metadata blocks."""
_SEARCHED_BYTES = 1 << 20
_READ_AHEAD_BYTES = 1 << 16
"""More than libFLAC reads before it decodes (8 kB)."""


class FlacDecoder:
    """One FLAC file, or several joined byte by byte, see :class:`codec.audio.backend.Decoder`.

    Args:
        path: the file
        file_format: its detected format

    Raises:
        UnsupportedAudio: the file cannot be read.
    """

    def __init__(self, path: Path, file_format: FileFormat) -> None:
        self._path, self._file_format = path, file_format
        self._file = path.open("rb", buffering=0)  # libsndfile moves the position, which a buffer would not see
        self._open: list[Decoder] = []
        self._part = file_format
        start, end = file_format.start, file_format.end
        try:
            self._whole = start == 0 and self._by_libflac(start, end)
            if self._whole:
                self._rest: list[FileFormat] = []
                os.lseek(self._file.fileno(), 0, os.SEEK_SET)
                self._open.append(LibsndfileDecoder(path, file_format, self._file.fileno()))
            else:
                self._part, *self._rest = self._parts([start, *_marks(self._file, start + 4, end)])
                self._open.append(self._decoder(self._part))
        except BaseException:
            self.close()
            raise
        self.stream_info = self._open[0].stream_info

    def _by_libflac(self, start: int, end: int) -> bool:
        return ends_at_stated_length(self._file, start, end) and flac_bits_per_sample(
            read_at(self._file, start, 26)
        ) in (8, 16, 24)

    def _parts(self, starts: list[int]) -> list[FileFormat]:
        ends = [*starts[1:], self._file_format.end]
        return [replace(self._file_format, start=start, end=end) for start, end in zip(starts, ends)]

    def _decoder(self, part: FileFormat) -> Decoder:
        if self._by_libflac(part.start, part.end):
            return LibsndfileDecoder(self._path, part)
        return FFmpegDecoder(self._path, part)

    def blocks(self) -> Iterator[FloatArray]:
        """Decode the file, see :class:`codec.audio.backend.Decoder`.

        Yields:
            float32 ``[channels, n]``.

        Raises:
            AudioDamage: the file is truncated or damaged.
            UnsupportedAudio: something in it cannot be read.
        """
        shape = FormatGuard()
        for decoder in self._decoders():
            shape.check(decoder.stream_info.sample_rate, decoder.stream_info.channels)
            done = 0
            try:
                for block in decoder.blocks():
                    shape.samples += block.shape[1]
                    done += block.shape[1]
                    yield block
            except AudioDamage as error:
                for block in self._before_damage(done):
                    shape.samples += block.shape[1]
                    yield block
                reached = shape.samples / decoder.stream_info.sample_rate
                why = f" ({error.reason})" if error.reason else ""
                raise AudioDamage(f"damaged after {reached:.2f} s{why}") from error

    def _before_damage(self, done: int) -> Iterator[FloatArray]:
        """Yield the samples of the part from ``done`` on that are intact, which libsndfile was reading."""
        try:
            decoder = FFmpegDecoder(self._path, self._part)
        except UnsupportedAudio:
            return
        try:
            for block in decoder.blocks():
                if block.shape[1] > done:
                    yield block[:, done:]
                done = max(0, done - block.shape[1])
        except (AudioDamage, UnsupportedAudio):
            return
        finally:
            decoder.close()

    def _decoders(self) -> Iterator[Decoder]:
        """Yield the decoder of each part, and close it afterwards."""
        yield self._open[0]
        if self._whole:
            # Further parts begin where libFLAC did not read, or within the bytes that it read ahead.
            position = os.lseek(self._file.fileno(), 0, os.SEEK_CUR)
            self._rest = self._parts(
                list(_marks(self._file, max(4, position - _READ_AHEAD_BYTES), self._file_format.end))
            )
        for part in self._rest:
            self._part = part
            self._open.pop().close()
            self._open.append(self._decoder(part))
            yield self._open[0]

    def close(self) -> None:
        """Close the file."""
        for decoder in self._open:
            decoder.close()
        self._file.close()


def _marks(file: BinaryIO, start: int, end: int) -> Iterator[int]:
    """Yield the positions of FLAC signatures from byte ``start`` on."""
    overlap = len(_MARK) - 1
    while start < end:
        data = read_at(file, start, min(_SEARCHED_BYTES, end - start))
        found = sorted(start + at for mark in (_MARK, _MARK_OF_LAST) for at in _all(data, mark))
        yield from found
        start += len(data) - overlap if start + len(data) < end else len(data)


def _all(data: bytes, mark: bytes) -> Iterator[int]:
    at = data.find(mark)
    while at >= 0:
        yield at
        at = data.find(mark, at + 1)
