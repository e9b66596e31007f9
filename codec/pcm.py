"""Sound on pipes: WAV, or samples without a header, as they come. For files see :mod:`codec.audio`, which checks more.

A recorder on a pipe cannot say how long it will go on: sizes in a WAV header that stand for "unknown" are taken so.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

import numpy as np
import numpy.typing as npt

from codec.audio import FloatArray, beyond_full_scale
from codec.bitstream.header import SAMPLE_RATES
from codec.errors import UserError

Encoding = Literal["u8", "s16", "s24", "s32", "f32", "f64"]
"""Of samples: unsigned or signed integers, or floating-point numbers, of so many bits, little-endian."""
ENCODINGS: dict[Encoding, str] = {"u8": "u1", "s16": "<i2", "s24": "s24", "s32": "<i4", "f32": "<f4", "f64": "<f8"}

_PIECE_BYTES = 1 << 16
_MAX_CHUNK_BYTES = 1 << 20
"""Of what stands before the samples in a WAV file."""
_PCM, _FLOAT, _EXTENSIBLE = 1, 3, 0xFFFE
_UNKNOWN = 0xFFFFFFFF
_ENDLESS = 0x7FFFF000
"""From this size on, the samples are taken to end where the pipe does."""


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
    """Samples from a pipe. ``raw``: what they are; without it, a WAV header comes first.

    Raises:
        UserError: no WAV header, or one of samples that cannot be read here.
    """

    def __init__(self, source: BinaryIO, raw: PcmFormat | None = None, name: str = "standard input"):
        self._source, self.name = source, name
        self._left: int | None = None
        self.format = raw or self._wav_header()

    def _wav_header(self) -> PcmFormat:
        start = exactly(self._source, 12)
        if start[:4] not in (b"RIFF", b"RF64") or start[8:] != b"WAVE":
            if not start:
                raise UserError(f"{self.name}: empty (0 bytes); check the command that was to send WAV")
            how = "send WAV, such as ffmpeg -i IN -f wav - | codec encode -, or say what the samples are with --raw"
            raise UserError(f"{self.name}: not a WAV stream; {how}")
        found = None
        while len(head := exactly(self._source, 8)) == 8:
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"data":
                if found is None:
                    break
                # RF64 keeps the size elsewhere, and on a pipe it is not known either.
                self._left = size if 0 < size < _ENDLESS else None
                return found
            if size > _MAX_CHUNK_BYTES:
                break
            chunk = exactly(self._source, size + size % 2)
            if head[:4] == b"fmt ":
                found = self._parse_format(chunk)
        raise UserError(f"{self.name}: the WAV header is damaged or cut off; record or send it again")

    def _parse_format(self, chunk: bytes) -> PcmFormat:
        if len(chunk) < 16:
            raise UserError(f"{self.name}: the WAV header is damaged or cut off; record or send it again")
        kind, channels, rate, _, frame_bytes, bits = struct.unpack_from("<HHIIHH", chunk)
        if kind == _EXTENSIBLE and len(chunk) >= 26:
            kind = int.from_bytes(chunk[24:26], "little")
        name = {_PCM: "u" if bits == 8 else "s", _FLOAT: "f"}.get(kind, "?") + str(bits)
        if name not in ENCODINGS or frame_bytes != channels * bits // 8:
            raise UserError(f"{self.name}: WAV of kind {kind} with {bits} bits; send one of {', '.join(ENCODINGS)}")
        return PcmFormat(rate, channels, name)  # type: ignore[arg-type]

    def blocks(self) -> Iterator[FloatArray]:
        """Samples ``[channels, n]`` as soon as they are there. What is left of a frame at the end is dropped.

        Raises:
            UserError: NaN or infinity.
        """
        frame = self.format.channels * self.format.sample_bytes
        waiting, done = b"", 0
        for piece in pieces(self._source):
            if self._left is not None:
                piece = piece[: self._left]
                self._left -= len(piece)
            waiting += piece
            whole = len(waiting) // frame * frame
            block = self.format.to_samples(waiting[:whole])
            waiting = waiting[whole:]
            if not np.isfinite(block).all():
                at = (done + int(np.argmin(np.isfinite(block).all(axis=0)))) / self.format.sample_rate
                raise UserError(f"{self.name}: NaN or infinity at {at:.2f} s; send finite samples")
            done += block.shape[1]
            if block.shape[1]:
                yield block
            if self._left == 0:
                return


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
        kind = _FLOAT if one.encoding[0] == "f" else _PCM
        body = struct.pack("<HHIIHH", kind, one.channels, one.sample_rate, one.sample_rate * frame % (1 << 32), frame,
                           8 * one.sample_bytes)  # fmt: skip
        return (
            b"RIFF" + struct.pack("<I", _UNKNOWN) + b"WAVEfmt " + struct.pack("<I", len(body)) + body
            + b"data" + struct.pack("<I", _UNKNOWN)
        )  # fmt: skip

    def write(self, wave: FloatArray) -> None:
        """float32 ``[channels, n]``."""
        if self.format.encoding[0] != "f":
            self.clipped += beyond_full_scale(wave)
        self._send(self.format.to_bytes(wave))

    def _send(self, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
