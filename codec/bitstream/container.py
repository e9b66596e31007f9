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

from codec.bitstream.rangecoder import WORD_BYTES, Codes, RangeCoder, max_payload_bytes
from codec.errors import UserError

MAGIC = b"\x89NAC"
VERSION = 1
PACKET_FRAMES = 64
MAX_BITS = 24
SAMPLE_RATES = range(1000, 768001)
"""Hz, of sources and of models."""

_HEADER = struct.Struct("<4sBBH8sIIIQQBBBB")
_CRC = struct.Struct("<I")
_PACKET = struct.Struct("<II")
HEADER_BYTES = _HEADER.size + _CRC.size
PACKET_BYTES = _PACKET.size
"""Of a packet, without its payload."""
_AGAIN = "copy the file or encode the source again"


@dataclass(frozen=True)
class Header:
    """What a file says of itself. ``samples`` (per channel) and ``sample_rate`` are the source's."""

    fingerprint: str
    """Of the model that decodes the codes, 16 hexadecimal digits; see :func:`codec.checkpoint.fingerprint`."""
    sample_rate: int
    channels: int
    model_rate: int
    """Sample rate in Hz at which the model works."""
    latent_hop: int
    """Samples at the model's rate per latent frame."""
    codebooks: int
    bits_per_code: int
    """Which codes of fixed width would take."""
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
        """Bits per second of audio if codes were of fixed width, all channels together, in kbit/s."""
        frame_bits = self.channels * self.codebooks * self.bits_per_code
        return frame_bits * self.model_rate / self.latent_hop / 1000

    def frames_in(self, packet: int) -> int:
        return min(self.packet_frames, self.frames - packet * self.packet_frames)

    def codes_in(self, packet: int) -> int:
        return self.channels * self.codebooks * self.frames_in(packet)

    def payload_bytes(self, file_bytes: int) -> int:
        """Bytes of all payloads of a file of so many bytes."""
        return file_bytes - HEADER_BYTES - PACKET_BYTES * self.packets

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


def _parse(data: bytes, path: Path) -> Header:
    """``data``: the first :data:`HEADER_BYTES` of a file, or all of it if that is less."""
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
                self.file_bytes = os.fstat(self._file.fileno()).st_size
                self.header = _parse(self._file.read(HEADER_BYTES), self.path)
                self._check_size()
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _check_size(self) -> None:
        """Goes from packet to packet by their lengths: together they must be the file."""
        place = HEADER_BYTES
        for packet in range(self.header.packets):
            self._file.seek(place)
            head = self._file.read(PACKET_BYTES)
            length = _PACKET.unpack(head)[0] if len(head) == PACKET_BYTES else WORD_BYTES
            if not WORD_BYTES <= length <= max_payload_bytes(self.header.codes_in(packet)):
                raise self._damaged(packet, "length")
            place += PACKET_BYTES + length
            if place > self.file_bytes:
                raise UserError(f"{self.path}: truncated, in packet {packet + 1} of {self.header.packets}; {_AGAIN}")
        if place < self.file_bytes:
            raise UserError(f"{self.path}: {self.file_bytes - place} bytes follow the last packet; {_AGAIN}")

    def _damaged(self, packet: int, reason: str) -> UserError:
        head = self.header
        start = packet * head.packet_frames * head.latent_hop / head.model_rate
        return UserError(
            f"{self.path}: packet {packet + 1} of {head.packets} (from {start:.2f} s) is damaged ({reason}); {_AGAIN}"
        )

    def _payloads(self) -> Iterator[bytes | None]:
        """Each packet's payload, or nothing where it is damaged."""
        self._file.seek(HEADER_BYTES)
        for packet in range(self.header.packets):
            head = self._file.read(PACKET_BYTES)
            length, checksum = _PACKET.unpack(head) if len(head) == PACKET_BYTES else (0, 0)
            if not length or length > max_payload_bytes(self.header.codes_in(packet)):
                raise UserError(f"{self.path}: was changed while it was read")
            payload = self._file.read(length)
            yield payload if checksum == _checksum(packet, payload) else None

    def codes(self, coder: RangeCoder) -> Iterator[Codes]:
        """Codes ``[channels, codebooks, frames]``, packet by packet. ``coder``: of the model that the header names."""
        head = self.header
        for packet, payload in enumerate(self._payloads()):
            if payload is None:
                raise self._damaged(packet, "checksum")
            try:
                yield coder.decode(payload, head.channels, head.codebooks, head.frames_in(packet))
            except ValueError as error:
                raise self._damaged(packet, str(error)) from error

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

    def __init__(self, path: Path, header: Header, coder: RangeCoder):
        self.path, self.header, self.coder = Path(path), replace(header, samples=0, frames=0), coder
        if fault := self.header.fault():
            raise UserError(f"{path}: the .nac format cannot hold this: {fault}")
        self._waiting: npt.NDArray[np.integer] = np.zeros((header.channels, header.codebooks, 0), np.int64)
        self._frames = self._packets = self.file_bytes = 0
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
        payload = self.coder.encode(codes)
        self._put(_PACKET.pack(len(payload), _checksum(self._packets, payload)) + payload)
        self._packets += 1
        self._frames += codes.shape[2]

    def _put(self, data: bytes) -> None:
        with self._explained():
            self._file.write(data)
        self.file_bytes += len(data)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # closing repeats a failed write
            self._file.close()
        self._part.unlink(missing_ok=True)


def read_header(path: Path) -> Header:
    """The header alone; the packets were found to fill the file. Raises as :class:`Reader` does."""
    with Reader(path) as reader:
        return reader.header
