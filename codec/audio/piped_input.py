"""Audio from a pipe, whose format is detected from its first bytes.

WAV, RF64 and BW64 files of PCM samples are read as they arrive. A recorder that writes to a pipe cannot go back to fill
in the length, so sizes that mean "unknown" are accepted, see :mod:`codec.audio.chunk_sizes`. All other formats (MP3,
FLAC, Ogg, MP4 and compressed WAV) can be read from files only: the pipe is copied to a temporary file first. Audio that
is truncated is read up to its end.

Source: EBU Tech 3306 (RF64); ITU-R BS.2088 (BW64).
"""

import shutil
import struct
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from codec.audio.chunk_sizes import is_unknown_size
from codec.audio.errors import AudioError
from codec.audio.pcm_stream import PCM_ENCODINGS, WAV_FLOAT, WAV_PCM, PcmFormat, PcmReader, read_exactly
from codec.audio.reader import AudioInfo, info
from codec.audio.waveform import FloatArray
from codec.errors import UserError

_RIFF = (b"RIFF", b"RF64", b"BW64")
_EXTENSIBLE = 0xFFFE
_MAX_CHUNK_BYTES = 1 << 20
"""Largest chunk before the samples that is held in memory; with a larger one, the pipe is copied to a file."""
_BLOCK_FRAMES = 1024
"""Block length of audio from a temporary file, which is short because truncated audio ends with a whole block."""
_SIZE_ELSEWHERE = 0xFFFFFFFF
_CHUNK_HEADER_BYTES = 8


class PipedAudio(Protocol):
    """Audio from a pipe."""

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz."""

    @property
    def channels(self) -> int:
        """Number of channels."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Title, artist and other tags, by the names in :data:`codec.audio.TAGS`."""

    @property
    def fault(self) -> str | None:
        """Reason for fewer samples than announced, without the name of the source; known after the last block."""

    def blocks(self) -> Iterator[FloatArray]:
        """Read the samples, once.

        Yields:
            float32 ``[channels, n]``, as soon as samples arrive.

        Raises:
            UserError: NaN or infinity, or no samples can be read.
        """


@contextmanager
def open_piped_audio(
    source: BinaryIO, raw: PcmFormat | None = None, name: str = "standard input"
) -> Iterator[PipedAudio]:
    """Open audio that comes through a pipe, as a context manager.

    Args:
        source: binary file, read to its end at most once
        raw: format of the samples if they come without a header
        name: name of the source, for messages

    Yields:
        The audio, open for reading.

    Raises:
        UserError: the pipe is empty, or its format cannot be read.
        OSError: there is no room for the temporary file.
    """
    if raw is not None:
        yield _Stream(PcmReader(source, raw, name=name))
        return
    header = _Header(source)
    if reader := header.samples(name):
        yield _Stream(reader)
        return
    if not header.read:
        raise UserError(f"{name}: empty (0 bytes); check the command that should send audio")
    with tempfile.NamedTemporaryFile(prefix="codec-pipe-") as spooled:
        spooled.write(header.read)
        shutil.copyfileobj(source, spooled)
        spooled.flush()
        try:
            audio = info(Path(spooled.name))
        except AudioError as error:
            raise UserError(
                f"{name}: {error.reason}; if these are samples without a header, describe them with --raw"
            ) from error
        yield _TemporaryFile(audio, name)


@dataclass(frozen=True)
class _Stream:
    """PCM samples that are read as they arrive."""

    reader: PcmReader
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def sample_rate(self) -> int:
        return self.reader.format.sample_rate

    @property
    def channels(self) -> int:
        return self.reader.format.channels

    @property
    def fault(self) -> str | None:
        return self.reader.fault

    def blocks(self) -> Iterator[FloatArray]:
        return self.reader.blocks()


class _TemporaryFile:
    """A copy of the pipe in a temporary file."""

    def __init__(self, audio: AudioInfo, name: str) -> None:
        self._audio, self._name = audio, name
        self.sample_rate, self.channels, self.tags = audio.sample_rate, audio.channels, audio.tags
        self.fault: str | None = None

    def blocks(self) -> Iterator[FloatArray]:
        begun = False
        try:
            for block in self._audio.blocks(_BLOCK_FRAMES):
                begun = True
                yield block
        except AudioError as error:
            if error.kind != "cut off or damaged" or not begun:
                raise UserError(f"{self._name}: {error.reason}") from error
            self.fault = error.reason


class _Header:
    """The header of a WAV, RF64 or BW64 file; ``read`` keeps all bytes that were taken from the pipe."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self.read = source, b""

    def _take(self, count: int) -> bytes:
        data = read_exactly(self._source, count)
        self.read += data
        return data

    def samples(self, name: str) -> PcmReader | None:
        """Return a reader of the samples, which come next; None if this is not a WAV file of PCM samples."""
        start = self._take(12)
        if start[:4] not in _RIFF or start[8:] != b"WAVE":
            return None
        format, size_64 = None, 0
        while len(head := self._take(_CHUNK_HEADER_BYTES)) == _CHUNK_HEADER_BYTES:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                return None if format is None else self._data(format, size, size_64, name)
            if size > _MAX_CHUNK_BYTES:
                return None
            chunk = self._take(size + size % 2)
            if head[:4] == b"fmt ":
                format = _plain_format(chunk)
                if format is None:
                    return None
            elif head[:4] == b"ds64" and len(chunk) >= 16:
                size_64 = int.from_bytes(chunk[8:16], "little")
        return None

    def _data(self, format: PcmFormat, size: int, size_64: int, name: str) -> PcmReader:
        begun = self._take(_CHUNK_HEADER_BYTES) if size == 0 else b""
        if size == _SIZE_ELSEWHERE and 0 < size_64 < 1 << 63:
            announced: int | None = size_64
        else:
            announced = None if is_unknown_size(size, begun) else size
        return PcmReader(self._source, format, announced, name, begun)


def _plain_format(chunk: bytes) -> PcmFormat | None:
    """Return the format in a ``fmt `` chunk, None if it is none of :data:`PCM_ENCODINGS`.

    Raises:
        UserError: a sample rate or number of channels that cannot be coded.
    """
    if len(chunk) < 16:
        return None
    tag, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        tag = int.from_bytes(chunk[24:26], "little")
    encoding = {WAV_PCM: "u" if bits == 8 else "s", WAV_FLOAT: "f"}.get(tag, "?") + str(bits)
    if encoding not in PCM_ENCODINGS or frame_bytes != channels * bits // 8:
        return None
    return PcmFormat(rate, channels, encoding)  # type: ignore[arg-type]
