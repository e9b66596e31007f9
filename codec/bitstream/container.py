"""The ``.nac`` container: a header, then packets of fixed duration with checksums; see docs/bitstream.md.

Nothing in a file is believed before it is checked: values against their limits, each other and its size.
Only then is memory taken for them.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from codec.bitstream.packing import MAX_BITS, Codes, pack, packed_bytes, unpack
from codec.errors import UserError

MAGIC = b"\x89NAC"
VERSION = 1
PACKET_FRAMES = 64
SAMPLE_RATES = range(1000, 768001)
"""Hz, of sources and of models."""

_HEADER = struct.Struct("<4sBBH8sIIIQQBBBB")
_CRC = struct.Struct("<I")
_PACKET = struct.Struct("<II")
HEADER_BYTES = _HEADER.size + _CRC.size
_AGAIN = "copy the file or encode the source again"


@dataclass(frozen=True)
class Header:
    """What a file says of itself. ``samples`` (per channel) and ``sample_rate`` are the source's."""

    fingerprint: str
    """Of what the codes mean, 16 hexadecimal digits; see :func:`codec.checkpoint.codes_fingerprint`."""
    sample_rate: int
    channels: int
    model_rate: int
    """Sample rate in Hz at which the model works."""
    latent_hop: int
    """Samples at the model's rate per latent frame."""
    codebooks: int
    bits_per_code: int
    packet_frames: int = PACKET_FRAMES
    """Latent frames per packet; the last packet holds what is left."""
    samples: int = 0
    frames: int = 0
    """Latent frames in the whole file."""

    @property
    def seconds(self) -> float:
        return self.samples / self.sample_rate

    @property
    def model_samples(self) -> int:
        """Samples per channel at the model's rate."""
        return -(-self.samples * self.model_rate // self.sample_rate)

    @property
    def packets(self) -> int:
        return -(-self.frames // self.packet_frames)

    @property
    def nominal_kbps(self) -> float:
        """Bits of the codes per second of audio, all channels together, in kbit/s."""
        frame_bits = self.channels * self.codebooks * self.bits_per_code
        return frame_bits * self.model_rate / self.latent_hop / 1000

    def frames_in(self, packet: int) -> int:
        return min(self.packet_frames, self.frames - packet * self.packet_frames)

    def payload_bytes(self, packet: int) -> int:
        return packed_bytes(self.channels * self.codebooks * self.frames_in(packet), self.bits_per_code)

    @property
    def total_payload_bytes(self) -> int:
        if not self.packets:
            return 0
        return (self.packets - 1) * self.payload_bytes(0) + self.payload_bytes(self.packets - 1)

    @property
    def file_bytes(self) -> int:
        return HEADER_BYTES + self.packets * _PACKET.size + self.total_payload_bytes

    def fault(self) -> str | None:
        """What is impossible about these values, if anything."""
        for name, value, allowed in (
            ("sample rate", self.sample_rate, SAMPLE_RATES),
            ("model rate", self.model_rate, SAMPLE_RATES),
            ("channel count", self.channels, range(1, 256)),
            ("samples per latent frame", self.latent_hop, range(1, 1 << 16)),
            ("number of codebooks", self.codebooks, range(1, 256)),
            ("bits per code", self.bits_per_code, range(1, MAX_BITS + 1)),
            ("latent frames per packet", self.packet_frames, range(1, 256)),
            ("sample count", self.samples, range(1 << 63)),
            ("latent frame count", self.frames, range(1 << 63)),
        ):
            if value not in allowed:
                return f"{name} {value} is outside {allowed.start} to {allowed.stop - 1}"
        covered = self.frames * self.latent_hop - self.model_samples
        if not (0 < covered < 2 * self.latent_hop if self.samples else self.frames == 0):
            return f"{self.frames} latent frames do not make {self.samples} samples"
        return None

    def to_bytes(self) -> bytes:
        fields = _HEADER.pack(
            MAGIC, VERSION, 0, HEADER_BYTES, bytes.fromhex(self.fingerprint),
            self.sample_rate, self.model_rate, self.latent_hop, self.samples, self.frames,
            self.channels, self.codebooks, self.bits_per_code, self.packet_frames,
        )  # fmt: skip
        return fields + _CRC.pack(zlib.crc32(fields))


def _parse(data: bytes, file_bytes: int, path: Path) -> Header:
    """``data``: the first :data:`HEADER_BYTES` of a file of ``file_bytes``, or all of it if that is less."""
    if not data:
        raise UserError(f"{path}: the file is empty (0 bytes); encode the source again")
    if data[:4] != MAGIC[: len(data)]:
        raise UserError(f"{path}: not a .nac file; give one that was written by: codec encode")
    if len(data) > 4 and data[4] != VERSION:
        raise UserError(f"{path}: .nac version {data[4]}, this program reads version {VERSION}; update it")
    if len(data) < HEADER_BYTES:
        raise UserError(f"{path}: truncated within the header; {_AGAIN}")
    fields = data[: _HEADER.size]
    _, _, flags, header_bytes, model, rate, model_rate, hop, samples, frames, *sizes = _HEADER.unpack(fields)
    if _CRC.unpack(data[_HEADER.size :])[0] != zlib.crc32(fields):
        raise UserError(f"{path}: the header is damaged (checksum); {_AGAIN}")
    if flags or header_bytes != HEADER_BYTES:
        raise UserError(f"{path}: uses features unknown to this program (flags {flags:#04x}); update it")
    channels, codebooks, bits, packet_frames = sizes
    header = Header(model.hex(), rate, channels, model_rate, hop, codebooks, bits, packet_frames, samples, frames)
    if fault := header.fault():
        raise UserError(f"{path}: not a valid .nac file: {fault}; encode the source again")
    if file_bytes < header.file_bytes:
        raise UserError(f"{path}: truncated: {file_bytes} of {header.file_bytes} bytes; {_AGAIN}")
    if file_bytes > header.file_bytes:
        raise UserError(f"{path}: {file_bytes - header.file_bytes} bytes follow the last packet; {_AGAIN}")
    return header


def _checksum(packet: int, payload: bytes) -> int:
    """Covers the packet's place as well, so that packets cannot change places unnoticed."""
    return zlib.crc32(payload, zlib.crc32(struct.pack("<QI", packet, len(payload))))


class Reader:
    """Packets of a file, one after the other, at constant memory. A context manager.

    Raises:
        UserError: no such file, not a .nac file, truncated, damaged, or of an unknown version.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        try:
            self._file = self.path.open("rb")
            try:
                size = os.fstat(self._file.fileno()).st_size
                self.header = _parse(self._file.read(HEADER_BYTES), size, self.path)
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _payloads(self) -> Iterator[bytes | None]:
        """Each packet's payload, or nothing where it is damaged."""
        self._file.seek(HEADER_BYTES)
        for packet in range(self.header.packets):
            expected = self.header.payload_bytes(packet)
            data = self._file.read(_PACKET.size + expected)
            if len(data) < _PACKET.size + expected:
                raise UserError(f"{self.path}: became shorter while it was read")
            length, checksum = _PACKET.unpack_from(data)
            payload = data[_PACKET.size :]
            yield payload if length == expected and checksum == _checksum(packet, payload) else None

    def __iter__(self) -> Iterator[Codes]:
        """Codes ``[channels, codebooks, frames]``, packet by packet."""
        head = self.header
        for packet, payload in enumerate(self._payloads()):
            frames = head.frames_in(packet)
            try:
                if payload is None:
                    raise ValueError("checksum")
                codes = unpack(payload, head.channels * head.codebooks, frames, head.bits_per_code)
            except ValueError as error:
                start = packet * head.packet_frames * head.latent_hop / head.model_rate
                raise UserError(
                    f"{self.path}: packet {packet + 1} of {head.packets} (from {start:.2f} s) is damaged "
                    f"({error}); {_AGAIN}"
                ) from error
            yield codes.reshape(head.channels, head.codebooks, frames)

    def damaged_packets(self) -> list[int]:
        """Numbers, from 0, of the packets whose checksum is wrong."""
        return [packet for packet, payload in enumerate(self._payloads()) if payload is None]


class Writer:
    """Writes a file packet by packet: a context manager with :meth:`write`, completed by :meth:`finish`.

    The counts in ``header`` are filled in at the end. Until then all is in a temporary file beside ``path``,
    which leaving the context without :meth:`finish` removes.

    Raises:
        UserError: a value that the format cannot hold, a full disk, no permission.
    """

    def __init__(self, path: Path, header: Header):
        self.path, self.header = Path(path), replace(header, samples=0, frames=0)
        if fault := self.header.fault():
            raise UserError(f"{path}: the .nac format cannot hold this: {fault}")
        self._waiting: npt.NDArray[np.integer] = np.zeros((header.channels, header.codebooks, 0), np.int64)
        self._frames = self._packets = 0
        self._part = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        with self._explained():
            self._file = self._part.open("wb")
        try:
            self._put(self.header.to_bytes())
        except BaseException:
            self._discard()
            raise

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise UserError(f"{self.path}: cannot be written ({error.strerror})") from error

    def __enter__(self) -> "Writer":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._discard()

    def write(self, codes: npt.NDArray[np.integer]) -> None:
        """Append codes ``[channels, codebooks, frames]``, any number of frames."""
        if codes.shape[:2] != (self.header.channels, self.header.codebooks):
            raise ValueError(f"codes {codes.shape} do not fit {self.header}")
        self._waiting = np.concatenate([self._waiting, codes], axis=2)
        size = self.header.packet_frames
        whole = self._waiting.shape[2] // size * size
        for start in range(0, whole, size):
            self._put_packet(self._waiting[..., start : start + size])
        self._waiting = self._waiting[..., whole:]

    def finish(self, samples: int) -> Header:
        """Writes the last packet and the header with ``samples``, and gives the file its name."""
        if self._waiting.shape[2]:
            self._put_packet(self._waiting)
        header = replace(self.header, samples=samples, frames=self._frames)
        if fault := header.fault():
            raise ValueError(fault)
        with self._explained():
            self._file.seek(0)
            self._file.write(header.to_bytes())
            self._file.close()
            os.replace(self._part, self.path)
        return header

    def _put_packet(self, codes: npt.NDArray[np.integer]) -> None:
        payload = pack(codes, self.header.bits_per_code)
        self._put(_PACKET.pack(len(payload), _checksum(self._packets, payload)) + payload)
        self._packets += 1
        self._frames += codes.shape[2]

    def _put(self, data: bytes) -> None:
        with self._explained():
            self._file.write(data)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # closing repeats a failed write
            self._file.close()
        self._part.unlink(missing_ok=True)


def read_header(path: Path) -> Header:
    """The header alone, checked against the size of the file. Raises as :class:`Reader` does."""
    with Reader(path) as reader:
        return reader.header
