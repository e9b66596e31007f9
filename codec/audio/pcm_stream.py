"""Samples on pipes, as they come; for what may stand before them see :mod:`codec.audio.piped_input`."""

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from codec.audio import FloatArray, exceeds_full_scale
from codec.audio.sizes import describe_cut_off
from codec.bitstream.header import SAMPLE_RATES
from codec.errors import UserError

Encoding = Literal["u8", "s16", "s24", "s32", "f32", "f64"]
"""Of samples: unsigned or signed integers, or floating-point numbers, of so many bits, little-endian."""
ENCODINGS: dict[Encoding, str] = {"u8": "u1", "s16": "<i2", "s24": "s24", "s32": "<i4", "f32": "<f4", "f64": "<f8"}

_PIECE_BYTES = 1 << 16
PCM, FLOAT = 1, 3
"""Format tags of WAV."""
_UNKNOWN = 0xFFFFFFFF


@dataclass(frozen=True)
class PcmFormat:
    """``sample_rate`` in Hz.

    Raises:
        UserError: no such rate, channel count or encoding.
    """

    sample_rate: int
    channels: int
    encoding: Encoding = "s16"

    def __post_init__(self) -> None:
        if self.encoding not in ENCODINGS:
            raise UserError(f"samples are {', '.join(ENCODINGS)}, not {self.encoding}")
        if self.sample_rate not in SAMPLE_RATES:
            raise UserError(
                f"the sample rate is from {SAMPLE_RATES[0]} to {SAMPLE_RATES[-1]} Hz, not {self.sample_rate}"
            )
        if not 1 <= self.channels <= 255:
            raise UserError(f"there are 1 to 255 channels, not {self.channels}")

    @property
    def sample_bytes(self) -> int:
        return int(self.encoding[1:]) // 8

    def to_samples(self, data: bytes) -> FloatArray:
        """Whole frames of bytes to ``[channels, n]``, full scale being 1."""
        if self.encoding == "s24":
            wide = np.zeros((len(data) // 3, 4), np.uint8)
            wide[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
            values = wide.view("<i4")[:, 0] / 2.0**31
        else:
            values = np.frombuffer(data, ENCODINGS[self.encoding]).astype(np.float64)
            if self.encoding == "u8":
                values = values / 128 - 1
            elif self.encoding[0] == "s":
                values = values / 2.0 ** (8 * self.sample_bytes - 1)
        return np.ascontiguousarray(values.astype(np.float32).reshape(-1, self.channels).T)

    def to_bytes(self, wave: FloatArray) -> bytes:
        """Inverse of :meth:`to_samples`; integers are rounded, and clipped at full scale."""
        values = wave.T.astype(np.float64)
        if self.encoding[0] == "f":
            return values.astype(ENCODINGS[self.encoding]).tobytes()
        top = 2.0 ** (8 * self.sample_bytes - 1)
        whole = np.rint(values * top).clip(-top, top - 1).astype(np.int64)
        if self.encoding == "s24":
            return _low_bytes(whole, 3)
        return (whole + 128 * (self.encoding == "u8")).astype(ENCODINGS[self.encoding]).tobytes()


def _low_bytes(values: npt.NDArray[np.int64], count: int) -> bytes:
    return np.ascontiguousarray(values, "<i8").view(np.uint8).reshape(-1, 8)[:, :count].tobytes()


def pieces(source: BinaryIO) -> Iterator[bytes]:
    """What ``source`` has, as soon as it is there."""
    read: Callable[[int], bytes | None] = getattr(source, "read1", source.read)
    while piece := read(_PIECE_BYTES):
        yield piece


def exactly(source: BinaryIO, count: int) -> bytes:
    """``count`` bytes, or what is left."""
    parts: list[bytes] = []
    while count and (part := source.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


class PcmReader:
    """Samples from a pipe.

    Args:
        source: binary file, at the first sample.
        format: of the samples.
        announced: bytes of samples to expect; None: to the end of ``source``.
        name: of the source, for messages.
        begun: bytes of samples that were read already.
    """

    def __init__(
        self,
        source: BinaryIO,
        format: PcmFormat,
        announced: int | None = None,
        name: str = "standard input",
        begun: bytes = b"",
    ):
        self._source, self.format, self._announced, self._begun, self._name = source, format, announced, begun, name
        self.fault: str | None = None
        """Set at the end where the source ended before the announced number of bytes."""

    def blocks(self) -> Iterator[FloatArray]:
        """Samples ``[channels, n]`` as soon as they are there. What is left of a frame at the end is dropped.

        Raises:
            UserError: NaN or infinity.
        """
        frame = self.format.channels * self.format.sample_bytes
        waiting, done, left = b"", 0, self._announced
        for piece in itertools.chain([self._begun], pieces(self._source)):
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
    """Samples to a pipe: a WAV header whose sizes say that the length is not known, unless ``header`` is False, then
    samples."""

    def __init__(self, output: BinaryIO, format: PcmFormat, header: bool = True):
        self._output, self.format = output, format
        self.clipped = 0
        if header:
            self._send(self._wav_header())

    def _wav_header(self) -> bytes:
        one = self.format
        frame = one.channels * one.sample_bytes
        kind = FLOAT if one.encoding[0] == "f" else PCM
        body = struct.pack("<HHIIHH", kind, one.channels, one.sample_rate, one.sample_rate * frame % (1 << 32), frame,
                           8 * one.sample_bytes)  # fmt: skip
        return (
            b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVEfmt " + struct.pack("<I", len(body)) + body
            + b"data" + struct.pack("<I", _UNKNOWN)
        )  # fmt: skip

    def write(self, wave: FloatArray) -> None:
        """float32 ``[channels, n]``."""
        if self.format.encoding[0] != "f":
            self.clipped += exceeds_full_scale(wave)
        self._send(self.format.to_bytes(wave))

    def _send(self, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
