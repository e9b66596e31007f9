"""Sound that comes through a pipe, recognised from its first bytes.

WAV, RF64 and BW64 of plain samples are read as they come. A recorder cannot come back to fill in a length, so sizes
that mean "unknown" are taken as such, see :mod:`codec.audio.sizes`. Everything else (MP3, FLAC, Ogg, MP4 and so on, and
compressed samples in WAV) needs a file to be read rightly: it is spooled to a temporary one, and coded when the pipe
has ended. What was cut off is coded as far as it came.

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

from codec import audio
from codec.audio import AudioError, FloatArray
from codec.audio.pcm_stream import ENCODINGS, FLOAT, PCM, PcmFormat, PcmReader, exactly
from codec.audio.sizes import is_unknown_size
from codec.audio.audio_input import AudioInput
from codec.errors import UserError

_RIFF = (b"RIFF", b"RF64", b"BW64")
_EXTENSIBLE = 0xFFFE
_MAX_CHUNK_BYTES = 1 << 20
"""Of a chunk before the samples; longer ones are spooled, not kept in memory."""
_BLOCK_FRAMES = 1024
"""Of spooled sound: what was cut off is coded up to the last whole block."""
_SIZE_ELSEWHERE = 0xFFFFFFFF
_CHUNK_HEADER_BYTES = 8


class PipedAudio(Protocol):
    """Sound from a pipe."""

    @property
    def sample_rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def tags(self) -> Mapping[str, str]: ...
    @property
    def fault(self) -> str | None:
        """Why there was less than announced, in words without the source's name; known when the blocks have ended."""

    def blocks(self) -> Iterator[FloatArray]:
        """Yield samples ``[channels, n]``, as soon as they are there.

        Raises:
            UserError: NaN or infinity, or nothing of the sound can be read.
        """


@contextmanager
def open_piped_audio(
    source: BinaryIO, raw: PcmFormat | None = None, name: str = "standard input"
) -> Iterator[PipedAudio]:
    """Open the sound that ``source`` holds.

    Args:
        source: binary file, read to its end at most once.
        raw: format of the samples, where they come without a header.
        name: of the source, for messages.

    Raises:
        UserError: empty, or neither WAV nor anything else that can be read.
        OSError: no room for the temporary file.
    """
    if raw is not None:
        yield _Live(PcmReader(source, raw, name=name))
        return
    header = _Header(source)
    if live := header.samples(name):
        yield _Live(live)
        return
    if not header.read:
        raise UserError(f"{name}: empty (0 bytes); check the command that was to send audio")
    with tempfile.NamedTemporaryFile(prefix="codec-pipe-") as spooled:
        spooled.write(header.read)
        shutil.copyfileobj(source, spooled)
        spooled.flush()
        try:
            spooled_input = AudioInput(Path(spooled.name))
            _ = spooled_input.info
        except AudioError as error:
            raise UserError(f"{name}: {error.reason}; or say with --raw what the samples are") from error
        yield _Spooled(spooled_input, name)


@dataclass(frozen=True)
class _Live:
    """Samples as they come."""

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


class _Spooled:
    """A file that holds what came."""

    def __init__(self, spooled: AudioInput, name: str) -> None:
        self._spooled, self._name = spooled, name
        info = spooled.info
        self.sample_rate, self.channels, self.tags = info.sample_rate, info.channels, info.tags
        self.fault: str | None = None

    def blocks(self) -> Iterator[FloatArray]:
        begun = False
        try:
            for block in self._spooled.blocks(_BLOCK_FRAMES):
                begun = True
                yield block
        except AudioError as error:
            if error.kind != "cut off or damaged" or not begun:
                raise UserError(f"{self._name}: {error.reason}") from error
            self.fault = error.reason


class _Header:
    """What stands before the samples of WAV, RF64 or BW64; ``read`` keeps all bytes that were taken from the pipe."""

    def __init__(self, source: BinaryIO) -> None:
        self._source, self.read = source, b""

    def _take(self, count: int) -> bytes:
        data = exactly(self._source, count)
        self.read += data
        return data

    def samples(self, name: str) -> PcmReader | None:
        """Return the reader of the samples, which come next; None where this is not WAV of plain samples."""
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
    """Return what a ``fmt `` chunk says, None where it is not of whole bytes of integers or floating-point numbers.

    Raises:
        UserError: a rate or number of channels that cannot be coded.
    """
    if len(chunk) < 16:
        return None
    kind, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
    if kind == _EXTENSIBLE and len(chunk) >= 26:
        kind = int.from_bytes(chunk[24:26], "little")
    encoding = {PCM: "u" if bits == 8 else "s", FLOAT: "f"}.get(kind, "?") + str(bits)
    if encoding not in ENCODINGS or frame_bytes != channels * bits // 8:
        return None
    return PcmFormat(rate, channels, encoding)  # type: ignore[arg-type]
