"""The ``.nac`` file: a header, then packets of fixed duration with checksums, then an index; docs/bitstream.md.

Nothing in a file is believed before it is checked: values against their limits, each other and its size.
Only then is memory taken for them. Damage is met packet by packet: what is whole is found, what is lost is named.
"""

import contextlib
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from codec.bitstream import live
from codec.bitstream.framing import MIN_PACKET_BYTES, FirstVersion, Found, Framing, pack
from codec.bitstream.header import AGAIN, HEADER_BYTES, Header, read_start
from codec.bitstream.range_coder import Codes
from codec.errors import UserError
from codec.runtime.atomic_files import temporary_path

__all__ = ["GROUP", "HEADER_BYTES", "PACKET_BYTES", "Header", "Packet", "Reader", "Writer", "read_header"]

PACKET_BYTES = 6.25
"""Around a payload of usual length, its share of the index counted: what the container adds to each packet."""
PACKET_S = 2.0
GROUP = 16
"""Packets per entry of the index."""
_ENTRY = struct.Struct("<I")


class Coder(Protocol):
    """Codes ``[channels, codebooks, frames]`` to a payload and back; ``decode`` raises ``ValueError`` on other bytes,
    and gives codes that exist."""

    def encode(self, codes: npt.NDArray[np.integer], variable: bool) -> bytes: ...

    def decode(self, data: bytes, channels: int, codebooks: int, frames: int, variable: bool) -> Codes: ...


def packet_frames(frame_rate_hz: float) -> int:
    """Latent frames per packet of about :data:`PACKET_S`: short enough that the loss of one is not the loss of much,
    long enough that what is around it does not weigh."""
    return min(255, max(1, round(PACKET_S * frame_rate_hz)))


@dataclass(frozen=True)
class Packet:
    """``frames`` latent frames from ``first`` on: their codes, or none where they are lost, for ``reason``."""

    first: int
    frames: int
    codes: Codes | None
    reason: str = ""


@dataclass(frozen=True)
class _Region:
    """Packets from ``first`` to below ``stop`` lie in the bytes from ``place`` to below ``end``."""

    first: int
    stop: int
    place: int
    end: int


class Reader:
    """Packets of a file, from any one on, at constant memory. A context manager.

    ``header.samples`` and ``header.frames`` of a live stream are those that its end states, or, where that is missing,
    those that are there.

    Raises:
        UserError: no such file, not a .nac file, its header damaged or cut off, or of an unknown version.
    """

    def __init__(self, path: Path):
        self.path = Path(path)
        self.payload_bytes = 0
        """Of the whole packets that were read so far, and"""
        self._payload_frames = 0
        """their latent frames."""
        try:
            self._file = self.path.open("rb")
            try:
                self.file_bytes = os.fstat(self._file.fileno()).st_size
                start = read_start(self._file.read, self.path)
                self.header, self.tags, self.tags_damaged = start.header, start.tags, start.tags_damaged
                self.repaired = start.repaired
                self._start = start.bytes
                self._index = None if self.header.live or self.header.version == 1 else self._read_index()
                self.ended = True
                """Whether a live stream was closed by its sender."""
                if self.header.live:
                    self._find_live_end()
            except BaseException:
                self._file.close()
                raise
        except OSError as error:
            raise UserError(f"{path}: cannot be read ({error.strerror})") from error

    @property
    def payload_seconds(self) -> float:
        """Of sound, for which ``payload_bytes`` stand."""
        return min(self.header.seconds, self._payload_frames * self.header.latent_hop / self.header.model_rate)

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)

    @property
    def _index_bytes(self) -> int:
        return _ENTRY.size * (-(-self.header.packets // GROUP) + 1)

    def _read_index(self) -> list[int] | None:
        """Where each group of packets starts, and the last one ends; None where there is no index that fits."""
        size = self._index_bytes
        if self._start + MIN_PACKET_BYTES * self.header.packets + size > self.file_bytes:
            return None
        data = self._read(self.file_bytes - size, size)
        *lengths, check = (number for (number,) in _ENTRY.iter_unpack(data))
        ends = np.cumsum([self._start, *lengths], dtype=np.uint64).tolist()
        right = check == zlib.crc32(data[: -_ENTRY.size]) and ends[-1] == self.file_bytes - size
        return ends if right and min(lengths, default=GROUP) >= MIN_PACKET_BYTES else None

    def _find_live_end(self) -> None:
        end = live.parse_end(self._read(max(self._start, self.file_bytes - live.END_BYTES), live.END_BYTES))
        self.ended = end is not None
        if end is None:
            frames = sum(len(frames.bodies) for frames in self._live_frames())
            end = live.End(max(0, frames - 1) * self.header.latent_hop * self.header.sample_rate
                           // self.header.model_rate, frames)  # fmt: skip
        header = replace(self.header, samples=end.samples, frames=end.frames)
        # What was not lost was sent: at the least a byte for each channel of a frame, and its checksum.
        if header.fault() or end.frames > live.MAX_GAP + self.file_bytes:
            raise UserError(f"{self.path}: the end of the stream contradicts its start; {AGAIN}")
        self.header = header

    def _regions(self, first: int) -> list[_Region]:
        packets = self.header.packets
        if self._index is None:
            return [_Region(0, packets, self._start, self.file_bytes)]
        group = first // GROUP
        bounds = list(zip(self._index[group:], self._index[group + 1 :]))
        return [
            _Region(number * GROUP, min(packets, (number + 1) * GROUP), *bound)
            for number, bound in enumerate(bounds, group)
        ]

    def _framing(self) -> Framing:
        kind = FirstVersion if self.header.version == 1 else Framing
        return kind(self._read, self.header.max_payload_bytes(0))

    def _payloads(self, first: int) -> Iterator[tuple[int, bytes | None]]:
        """Number and payload of each packet from ``first`` on, or nothing in place of a damaged payload; ends where
        nothing follows."""
        framing = self._framing()
        for region in self._regions(first):
            number, place = region.first, region.place
            while number < region.stop:
                found: Found | None = framing.look(place, region.end, number)
                if found and found.number == number:
                    if number >= first:
                        self._count(found.payload, self.header.frames_in(number))
                        yield number, found.payload
                    number, place = number + 1, found.end
                    continue
                following = framing.next(place, region.end, number, region.stop)
                if following is None and self._index is None and not self._is_last(framing, place, number):
                    return
                place, found_number = following or (region.end, region.stop)
                yield from ((lost, None) for lost in range(max(first, number), found_number))
                number = found_number

    def _count(self, payload: bytes, frames: int) -> None:
        self.payload_bytes += len(payload)
        self._payload_frames += frames

    def _is_last(self, framing: Framing, place: int, number: int) -> bool:
        """Whether the damaged packet is the file's last, and there in its length."""
        end = self.file_bytes - (0 if self.header.version == 1 else self._index_bytes)
        said = framing.stated(place, self.file_bytes)
        return number + 1 == self.header.packets and said is not None and said.end == end

    def packets(self, coder: Coder | live.FixedCoder, first: int = 0) -> Iterator[Packet]:
        """What the file holds, from packet ``first`` on: codes, and stretches without, for damage ends with a packet.
        Where the file was cut off, so are the packets.

        ``coder``: of the model that the header names; a :class:`codec.bitstream.live.FixedCoder` for live streams, of
        which many frames in a row are one packet here.
        """
        if isinstance(coder, live.FixedCoder):
            yield from self._live(coder, first)
            return
        head = self.header
        for number, payload in self._payloads(first):
            place, frames = number * head.packet_frames, head.frames_in(number)
            codes, reason = None, "checksum"
            try:
                if payload is not None and len(payload) <= head.max_payload_bytes(number):
                    codes = coder.decode(payload, head.channels, head.codebooks, frames, head.variable)
            except ValueError as error:
                reason = str(error)
            yield Packet(place, frames, codes, reason)

    def _live_frames(self) -> Iterator[live.Frames]:
        """All that follow the header, but none behind the end that the file has."""
        parser, place = live.Parser(self.header), self._start
        most = self.header.frames if self.ended else self.file_bytes
        while not parser.done and parser.next < most:
            data = self._read(place, live.READ_BYTES)
            place += len(data)
            frames = parser.push(data) if data else parser.finish()
            yield live.Frames(frames.first, frames.bodies[: most - frames.first])

    def _counted_live_frames(self) -> Iterator[live.Frames]:
        for frames in self._live_frames():
            for body in frames.bodies:
                if body is not None:
                    self._count(body, 1)
            yield frames

    def _live(self, coder: live.FixedCoder, first: int) -> Iterator[Packet]:
        for frames in self._counted_live_frames():
            for place, count, codes in live.stretches(frames, self.header, coder):
                if place + count > first:
                    yield Packet(place, count, codes, "checksum")

    def codes(self, coder: Coder | live.FixedCoder) -> Iterator[Codes]:
        """Codes ``[channels, codebooks, frames]``, packet by packet. Raises :class:`UserError` where some are lost."""
        self.check()
        done = 0
        for packet in self.packets(coder):
            if packet.codes is None:
                raise self.damaged(packet)
            done = packet.first + packet.frames
            yield packet.codes
        if done < self.header.frames:
            raise UserError(f"{self.path}: truncated after {self.header.seconds_at(done):.2f} s; {AGAIN}")

    def damaged(self, packet: Packet) -> UserError:
        head = self.header
        number, start = packet.first // head.packet_frames, head.seconds_at(packet.first)
        return UserError(
            f"{self.path}: packet {number + 1} of {head.packets} (from {start:.2f} s) is damaged"
            f" ({packet.reason}); {AGAIN}"
        )

    def check(self) -> None:
        """That the file is all there, by its lengths and index; checksums of packets are a matter of reading them.

        Raises:
            UserError: truncated, or not of the length that its parts add up to.
        """
        if self.repaired:
            raise UserError(f"{self.path}: a byte of the header is damaged, and read as its checksum says; {AGAIN}")
        if self.tags_damaged:
            raise UserError(f"{self.path}: the tags are damaged (checksum); {AGAIN}")
        if self.header.live:
            if not self.ended:
                raise UserError(f"{self.path}: truncated, the end of the stream is missing; {AGAIN}")
            return
        if self._index is not None:
            return
        framing, place = self._framing(), self._start
        for number in range(self.header.packets):
            said = framing.stated(place, 1 << 63)
            if said is None and place + MIN_PACKET_BYTES <= self.file_bytes:
                raise self.damaged(Packet(number * self.header.packet_frames, 0, None, "length"))
            if said is None or said.end > self.file_bytes:
                where = f"in packet {number + 1} of {self.header.packets}"
                raise UserError(f"{self.path}: truncated, {where}; {AGAIN}")
            place = said.end
        left = self.file_bytes - place
        if self.header.version == 1:
            if left:
                raise UserError(f"{self.path}: {left} bytes follow the last packet; {AGAIN}")
            return
        size = self._index_bytes
        if left < size:
            raise UserError(f"{self.path}: truncated in its index; {AGAIN}")
        what = f"{left - size} bytes follow the index" if left > size else "the index is damaged"
        raise UserError(f"{self.path}: {what}; {AGAIN}")

    def damaged_packets(self) -> list[int]:
        """Numbers, from 0, of the packets that are lost, up to where the file was cut off, if it was."""
        if self.header.live:
            bodies = (body for frames in self._counted_live_frames() for body in frames.bodies)
            return [number for number, body in enumerate(bodies) if body is None]
        return [number for number, payload in self._payloads(0) if payload is None]


class Writer:
    """Writes a file packet by packet: a context manager with :meth:`write`, completed by :meth:`finish`.

    The counts in ``header`` are filled in at the end. Until then all is in a temporary file beside ``path``,
    which leaving the context without :meth:`finish` removes.

    Raises:
        UserError: a value that the format cannot hold, a full disk, no permission.
    """

    def __init__(self, path: Path, header: Header, coder: Coder, tags: Mapping[str, str] | None = None):
        self.path, self.header, self.coder = Path(path), replace(header, samples=0, frames=0), coder
        self.tags = dict(tags or {})
        if fault := self.header.fault():
            raise UserError(f"{path}: the .nac format cannot hold this: {fault}")
        start = self.header.to_bytes(self.tags)
        self._waiting: npt.NDArray[np.integer] = np.zeros((header.channels, header.codebooks, 0), np.int64)
        self._frames = self._packets = self.file_bytes = self.payload_bytes = 0
        self._groups: list[int] = []
        self._part = temporary_path(self.path)
        with self._explained():
            self._file = self._part.open("wb")
        try:
            self._put(start)
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
        """Writes the last packet, the index and the header with ``samples``, and gives the file its name."""
        if self._waiting.shape[2]:
            self._put_packet(self._waiting)
        header = replace(self.header, samples=samples, frames=self._frames)
        if fault := header.fault():
            raise ValueError(fault)
        entries = b"".join(map(_ENTRY.pack, self._groups))
        self._put(entries + _ENTRY.pack(zlib.crc32(entries)))
        with self._explained():
            self._file.seek(0)
            self._file.write(header.to_bytes(self.tags))
            self._file.close()
            os.replace(self._part, self.path)
        return header

    def _put_packet(self, codes: npt.NDArray[np.integer]) -> None:
        payload = self.coder.encode(codes, self.header.variable)
        packet = pack(self._packets, payload)
        if self._packets % GROUP == 0:
            self._groups.append(0)
        self._groups[-1] += len(packet)
        self._put(packet)
        self._packets += 1
        self._frames += codes.shape[2]
        self.payload_bytes += len(payload)

    def _put(self, data: bytes) -> None:
        with self._explained():
            self._file.write(data)
        self.file_bytes += len(data)

    def _discard(self) -> None:
        with contextlib.suppress(OSError):  # closing repeats a failed write
            self._file.close()
        self._part.unlink(missing_ok=True)


def read_header(path: Path, whole: bool = True) -> Header:
    """The header alone. Raises as :class:`Reader` does, and, with ``whole``, as :meth:`Reader.check`."""
    with Reader(path) as reader:
        if whole:
            reader.check()
        return reader.header
