"""PCM samples on pipes, read and written as they arrive; see also :mod:`codec.audio.piped_input`."""

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from codec.audio.chunk_sizes import describe_cut_off
from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES, FloatArray, count_over_full_scale
from codec.errors import UserError

PcmEncoding = Literal["u8", "s16", "s24", "s32", "f32", "f64"]
"""Encoding of a sample: unsigned or signed integer, or floating-point number, and its bits; little-endian."""
PCM_ENCODINGS: dict[PcmEncoding, str] = {
    "u8": "u1", "s16": "<i2", "s24": "s24", "s32": "<i4", "f32": "<f4", "f64": "<f8",
}  # fmt: skip
"""The encodings and the NumPy types that hold them; NumPy has none for 24 bits."""
WAV_PCM, WAV_FLOAT = 1, 3
"""Format tags of WAV for integers and for floating-point numbers."""

_PIECE_BYTES = 1 << 16
_UNKNOWN_SIZE = 0xFFFFFFFF


@dataclass(frozen=True)
class PcmFormat:
    """Format of PCM samples without a header.

    Integers of ``b`` bits are ``round(x * 2^(b - 1))`` of a waveform ``x`` with full scale 1; ``u8`` has an offset of
    128, as in WAV.

    Raises:
        UserError: there is no such encoding, or the sample rate or number of channels cannot be coded.

    >>> format = PcmFormat(16000, channels=2)
    >>> format.to_bytes(np.array([[0.5, -1.0], [0.25, 1.0]], np.float32)).hex(" ", 2)
    '0040 0020 0080 ff7f'
    >>> format.to_samples(bytes.fromhex("0040002000800080")).tolist()
    [[0.5, -1.0], [0.25, -1.0]]
    """

    sample_rate: int
    """Sample rate in Hz."""
    channels: int
    """Number of channels, which are interleaved."""
    encoding: PcmEncoding = "s16"
    """Encoding of a sample."""

    def __post_init__(self) -> None:
        if self.encoding not in PCM_ENCODINGS:
            raise UserError(f"the encoding of samples must be one of {', '.join(PCM_ENCODINGS)}, not {self.encoding}")
        if self.sample_rate not in SAMPLE_RATES:
            raise UserError(
                f"the sample rate must be from {SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]} Hz, not {self.sample_rate}"
            )
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise UserError(f"the number of channels must be from 1 to {MAX_CHANNELS}, not {self.channels}")

    @property
    def sample_bytes(self) -> int:
        """Bytes of a sample of one channel."""
        return int(self.encoding[1:]) // 8

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.sample_bytes

    def to_samples(self, data: bytes) -> FloatArray:
        """Decode samples.

        Args:
            data: interleaved samples, a whole number of frames

        Returns:
            float32 ``[channels, n]``, full scale 1.
        """
        if self.encoding == "s24":
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            values = wide.view("<i4")[:, 0] / 2.0**31
        else:
            values = np.frombuffer(data, PCM_ENCODINGS[self.encoding]).astype(np.float64)
            if self.encoding == "u8":
                values = values / 128 - 1
            elif self.encoding[0] == "s":
                values = values / 2.0 ** (8 * self.sample_bytes - 1)
        return np.ascontiguousarray(values.astype(np.float32).reshape(-1, self.channels).T)

    def to_bytes(self, waveform: FloatArray) -> bytes:
        """Encode samples; the inverse of :meth:`to_samples`.

        Args:
            waveform: float32 ``[channels, n]``, full scale 1. For integer encodings it is rounded, and clipped at full
                scale.

        Returns:
            The interleaved samples.
        """
        values = waveform.T.astype(np.float64)
        if self.encoding[0] == "f":
            return values.astype(PCM_ENCODINGS[self.encoding]).tobytes()
        top = 2.0 ** (8 * self.sample_bytes - 1)
        whole = np.rint(values * top).clip(-top, top - 1).astype(np.int64)
        if self.encoding == "s24":
            return _low_bytes(whole, 3)
        return (whole + 128 * (self.encoding == "u8")).astype(PCM_ENCODINGS[self.encoding]).tobytes()


def _low_bytes(values: npt.NDArray[np.int64], count: int) -> bytes:
    return np.ascontiguousarray(values, "<i8").view(np.uint8).reshape(-1, 8)[:, :count].tobytes()


def read_available(source: BinaryIO) -> Iterator[bytes]:
    """Read a pipe to its end.

    Args:
        source: binary file

    Yields:
        Bytes as soon as there are any, without waiting for a full buffer.
    """
    read: Callable[[int], bytes | None] = getattr(source, "read1", source.read)
    while piece := read(_PIECE_BYTES):
        yield piece


def read_exactly(source: BinaryIO, count: int) -> bytes:
    """Read a number of bytes from a pipe, waiting for them.

    Args:
        source: binary file
        count: number of bytes

    Returns:
        ``count`` bytes, or fewer if the pipe ends first.
    """
    parts: list[bytes] = []
    while count and (part := source.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class PcmReader:
    """A reader of PCM samples from a pipe.

    Args:
        source: binary file, at the first sample
        format: format of the samples
        announced: bytes of samples to expect; None to read to the end of ``source``
        name: name of the source, for messages
        begun: bytes of samples that were read already
    """

    def __init__(
        self,
        source: BinaryIO,
        format: PcmFormat,
        announced: int | None = None,
        name: str = "standard input",
        begun: bytes = b"",
    ) -> None:
        self._source, self.format, self._announced, self._begun, self._name = source, format, announced, begun, name
        self.fault: str | None = None
        """Set at the end if the source ended before the announced number of bytes."""

    def blocks(self) -> Iterator[FloatArray]:
        """Read the samples. An incomplete frame at the end is dropped.

        Yields:
            float32 ``[channels, n]``, as soon as samples arrive.

        Raises:
            UserError: NaN or infinity among the samples.
        """
        frame = self.format.frame_bytes
        waiting, done, left = b"", 0, self._announced
        for piece in itertools.chain([self._begun], read_available(self._source)):
            if left is not None:
                piece = piece[:left]
                left -= len(piece)
            waiting += piece
            whole = len(waiting) // frame * frame
            block = self.format.to_samples(waiting[:whole])
            waiting = waiting[whole:]
            if not np.isfinite(block).all():
                at = (done + int(np.argmin(np.isfinite(block).all(axis=0)))) / self.format.sample_rate
                raise UserError(f"{self._name}: NaN or infinity at {at:.2f} s; send finite samples")
            done += block.shape[1]
            if block.shape[1]:
                yield block
            if left == 0:
                return
        if left is not None and self._announced is not None:
            self.fault = describe_cut_off(self._announced - left, self._announced)


class PcmWriter:
    """A writer of PCM samples to a pipe.

    Args:
        output: binary file; it is flushed after each write
        format: format of the samples
        header: whether to begin with a WAV header. Its sizes mean that the length is unknown.
    """

    def __init__(self, output: BinaryIO, format: PcmFormat, header: bool = True) -> None:
        self._output, self.format = output, format
        self.clipped = 0
        """Samples so far that were clipped, because they exceeded full scale in an integer encoding."""
        if header:
            self._send(self._wav_header())

    def _wav_header(self) -> bytes:
        one = self.format
        tag = WAV_FLOAT if one.encoding[0] == "f" else WAV_PCM
        byte_rate = one.sample_rate * one.frame_bytes % (1 << 32)
        body = struct.pack(
            "<HHIIHH", tag, one.channels, one.sample_rate, byte_rate, one.frame_bytes, 8 * one.sample_bytes
        )
        return (
            b"RIFF" + struct.pack("<I", _UNKNOWN_SIZE) + b"WAVEfmt " + struct.pack("<I", len(body)) + body
            + b"data" + struct.pack("<I", _UNKNOWN_SIZE)
        )  # fmt: skip

    def write(self, waveform: FloatArray) -> None:
        """Send samples.

        Args:
            waveform: float32 ``[channels, n]``, full scale 1

        Raises:
            OSError: the reading end of the pipe was closed.
        """
        if self.format.encoding[0] != "f":
            self.clipped += count_over_full_scale(waveform)
        self._send(self.format.to_bytes(waveform))

    def _send(self, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
