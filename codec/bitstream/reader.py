"""Reads ``.nac`` files: header, packets from any one on, intact parts of damaged files; docs/bitstream.md.

Nothing in a file is trusted before it is checked: values against their limits, against each other and against the size
of the file. Memory is allocated only after that. Damage is handled packet by packet.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import groupby, islice, takewhile
from pathlib import Path
from typing import BinaryIO

from codec.bitstream import live
from codec.bitstream.codes import CODES_AT_ONCE, CodeArray, PacketCodes, PacketDecoder
from codec.bitstream.file_start import read_start
from codec.bitstream.framing import MIN_PACKET_BYTES, FoundPacket, Framing, FramingVersion1
from codec.bitstream.header import ADVICE_ON_DAMAGE, Header
from codec.bitstream.header_layout import HeaderError, parse_header
from codec.bitstream.index import PACKETS_PER_ENTRY, index_size, parse_index
from codec.bitstream.live_parser import MAX_GAP, LiveParser
from codec.errors import UserError

_READ_BYTES = 1 << 16
"""Bytes that are read at once from a stored stream."""


@dataclass(frozen=True)
class _Region:
    """Packets from ``first`` to before ``stop``, in the bytes from ``place`` to before ``end``."""

    first: int
    stop: int
    place: int
    end: int


class PacketReader:
    """Reader of the packets of a ``.nac`` file or stored stream, from any packet on, in constant memory.

    It is a context manager that closes the file.

    Args:
        source: path of the file; or an open one in which one can seek, which begins at its start and is left open

    Attributes:
        path: the file, in messages
        header: header of the file. For a live stream, ``samples`` and ``frames`` are taken from the end record, or
            counted from the frames present if there is none.
        tags: tags of the source; none if they are damaged
        pictures: pictures of the source, without damaged ones
        tags_damaged: whether the checksum of tags or of a picture is wrong
        repaired: whether a damaged byte of the header, or of a short file, was repaired
        ended: whether a live stream was closed by its sender
        file_bytes: size of the file
        blocks_bytes: size of tags and pictures
        payload_bytes: size of the intact payloads that were read so far

    Raises:
        UserError: The file cannot be read, is not a ``.nac`` file, or of an unknown version, or its header is damaged
            or truncated.
    """

    def __init__(self, source: Path | BinaryIO):
        self._is_open = not isinstance(source, (str, Path))
        self.path = name_source(source)
        self.payload_bytes = 0
        self._payload_frames = 0
        try:
            self._file: BinaryIO = source if self._is_open else self.path.open("rb")  # type: ignore[assignment]
            try:
                self.file_bytes = self._file.seek(0, os.SEEK_END)
                self._file.seek(0)
                start = read_start(self._file.read, self.path)
                self.header, self.tags, self.pictures = start.header, start.tags, start.pictures
                self.tags_damaged, self.repaired = start.tags_damaged, start.repaired
                self.blocks_bytes = start.blocks_bytes
                self._start, self._short_payload = start.size, start.payload
                self._index = self._read_index()
                self.ended = True
                if self.header.live:
                    self._find_live_end()
            except BaseException:
                self.__exit__()
                raise
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror})") from error

    @property
    def payload_seconds(self) -> float:
        """Duration of the payloads that were read so far, in seconds."""
        return min(self.header.seconds, self._payload_frames * self.header.latent_hop / self.header.model_rate)

    def __enter__(self) -> "PacketReader":
        return self

    def __exit__(self, *_: object) -> None:
        if not self._is_open:
            self._file.close()

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)

    def _read_index(self) -> list[int] | None:
        """Return the positions of the groups of packets and of the end; None if there is no intact index."""
        size = 0 if self.header.live else self._index_size
        if not size or self._start + MIN_PACKET_BYTES * self.header.packets + size > self.file_bytes:
            return None
        return parse_index(self._read(self.file_bytes - size, size), self._start, self.file_bytes - size)

    @property
    def _index_size(self) -> int:
        return index_size(self.header.packets, self.header.version)

    def _find_live_end(self) -> None:
        end = live.parse_end(self._read(max(self._start, self.file_bytes - live.END_BYTES), live.END_BYTES))
        self.ended = end is not None
        if end is None:
            frames = sum(len(frames.bodies) for frames in self._live_frames())
            end = live.StreamEnd(max(0, frames - 1) * self.header.latent_hop * self.header.sample_rate
                           // self.header.model_rate, frames)  # fmt: skip
        header = replace(self.header, samples=end.samples, frames=end.frames)
        # A received frame has at least one byte for each channel, and its checksum.
        if header.fault() or end.frames > MAX_GAP + self.file_bytes:
            raise UserError(f"{self.path}: the end of the stream contradicts its start; {ADVICE_ON_DAMAGE}")
        self.header = header

    def _regions(self, first: int) -> list[_Region]:
        packets = self.header.packets
        if self._index is None:
            return [_Region(0, packets, self._start, self.file_bytes)]
        group = first // PACKETS_PER_ENTRY
        bounds = list(zip(self._index[group:], self._index[group + 1 :]))
        return [
            _Region(number * PACKETS_PER_ENTRY, min(packets, (number + 1) * PACKETS_PER_ENTRY), *bound)
            for number, bound in enumerate(bounds, group)
        ]

    def _framing(self) -> Framing:
        kind = FramingVersion1 if self.header.version == 1 else Framing
        return kind(self._read, self.header.max_payload_bytes(0))

    def payloads(self, first: int = 0) -> Iterator[tuple[int, bytes | None]]:
        """Read the payloads of an archive.

        Args:
            first: number of the packet to begin with

        Yields:
            Number and payload of each packet, None for a damaged payload. Ends where a truncated file ends.
        """
        if self.header.short:
            if first < self.header.packets:
                self._count(self._short_payload, self.header.frames)
                yield 0, self._short_payload
            return
        framing = self._framing()
        for region in self._regions(first):
            number, place = region.first, region.place
            while number < region.stop:
                found: FoundPacket | None = framing.read_packet(place, region.end, number)
                if found and found.number == number:
                    if number >= first:
                        self._count(found.payload, self.header.frames_in(number))
                        yield number, found.payload
                    number, place = number + 1, found.end
                    continue
                following = framing.find_next(place, region.end, number, region.stop)
                if following is None and self._index is None and not self._is_last(framing, place, number):
                    return
                place, found_number = following or (region.end, region.stop)
                yield from ((lost, None) for lost in range(max(first, number), found_number))
                number = found_number

    def _count(self, payload: bytes, frames: int) -> None:
        self.payload_bytes += len(payload)
        self._payload_frames += frames

    def _is_last(self, framing: Framing, place: int, number: int) -> bool:
        """Determine whether a damaged packet is the last of the file, and has its stated length."""
        end = self.file_bytes - self._index_size
        stated = framing.parse_length(place, self.file_bytes)
        return number + 1 == self.header.packets and stated is not None and stated.end == end

    def packets(
        self, coder: PacketDecoder | live.FixedWidthCoder, first: int = 0, stop: int | None = None
    ) -> Iterator[PacketCodes]:
        """Read the codes of the file.

        Args:
            coder: range coder of the model that the header names; a :class:`codec.bitstream.live.FixedWidthCoder` for
                live streams; consecutive frames are then grouped into one item
            first: number of the packet to begin with
            stop: number of the packet before which to end, at the latest (default: none); live streams go on

        Yields:
            One item per packet, in order and without gaps. For damaged frames ``codes`` is None. Ends where a
            truncated file ends.
        """
        if isinstance(coder, live.FixedWidthCoder):
            yield from self._live(coder, first)
            return
        head = self.header
        payloads = self.payloads(first)
        if stop is not None:
            payloads = takewhile(lambda one: one[0] < stop, payloads)
        together = max(1, CODES_AT_ONCE // (head.channels * head.codebooks * head.packet_frames))
        while group := list(islice(payloads, together)):
            for frames, packets in groupby(group, lambda one: head.frames_in(one[0])):
                yield from self._decode(coder, frames, list(packets))

    def _decode(
        self, coder: PacketDecoder, frames: int, packets: list[tuple[int, bytes | None]]
    ) -> Iterator[PacketCodes]:
        """Decode packets of equal size, which are given by their numbers and payloads."""
        head = self.header
        whole = [payload for _, payload in packets if payload is not None]
        decoded = iter(coder.decode_packets(whole, head.channels, head.codebooks, frames, head.variable))
        for number, payload in packets:
            codes = ValueError("checksum") if payload is None else next(decoded)
            place = number * head.packet_frames
            if isinstance(codes, ValueError):
                yield PacketCodes(place, frames, None, str(codes))
            else:
                yield PacketCodes(place, frames, codes)

    def _live_frames(self) -> Iterator[live.LiveFrames]:
        """Yield the frames of a live stream, up to its end record or to the end of the file."""
        parser, place = LiveParser(self.header), self._start
        most = self.header.frames if self.ended else self.file_bytes
        while not parser.done and parser.next < most:
            data = self._read(place, _READ_BYTES)
            place += len(data)
            frames = parser.push(data) if data else parser.finish()
            yield live.LiveFrames(frames.first, frames.bodies[: most - frames.first])

    def _counted_live_frames(self) -> Iterator[live.LiveFrames]:
        for frames in self._live_frames():
            for body in frames.bodies:
                if body is not None:
                    self._count(body, 1)
            yield frames

    def _live(self, coder: live.FixedWidthCoder, first: int) -> Iterator[PacketCodes]:
        for frames in self._counted_live_frames():
            for packet in live.unpack_frames(frames, self.header, coder):
                if packet.first + packet.frames > first:
                    yield packet

    def codes(self, coder: PacketDecoder | live.FixedWidthCoder) -> Iterator[CodeArray]:
        """Read the codes of an undamaged file.

        Args:
            coder: as for :meth:`packets`

        Yields:
            Codes ``[channels, codebooks, frames]`` of each packet.

        Raises:
            UserError: The file is damaged or truncated.
        """
        self.check()
        done = 0
        for packet in self.packets(coder):
            if packet.codes is None:
                raise self.damage_error(packet)
            done = packet.first + packet.frames
            yield packet.codes
        if done < self.header.frames:
            raise UserError(f"{self.path}: truncated after {self.header.seconds_at(done):.2f} s; {ADVICE_ON_DAMAGE}")

    def damage_error(self, packet: PacketCodes) -> UserError:
        """Return the error that reports a damaged packet.

        Args:
            packet: a packet without codes

        Returns:
            An error, to be raised.
        """
        head = self.header
        number, start = packet.first // head.packet_frames, head.seconds_at(packet.first)
        return UserError(
            f"{self.path}: packet {number + 1} of {head.packets} (from {start:.2f} s) is damaged"
            f" ({packet.reason}); {ADVICE_ON_DAMAGE}"
        )

    def check(self) -> None:
        """Check that the file is complete, by its lengths and index. Packets are checked when they are read.

        Raises:
            UserError: The header or the tags are damaged, the file is truncated, or its parts do not add up to its
                size.
        """
        if self.repaired:
            raise UserError(
                f"{self.path}: one byte of the {'file' if self.header.short else 'header'} is damaged (repaired by its"
                f" checksum); {ADVICE_ON_DAMAGE}"
            )
        if self.tags_damaged:
            raise UserError(f"{self.path}: tags or pictures are damaged (checksum); {ADVICE_ON_DAMAGE}")
        if self.header.live:
            if not self.ended:
                raise UserError(f"{self.path}: truncated, the end of the stream is missing; {ADVICE_ON_DAMAGE}")
            return
        if self._index is None and not self.header.short:
            self._check_lengths()

    def _check_lengths(self) -> None:
        """Check a file without an intact index, which is damage in itself if the file should have one."""
        framing, place = self._framing(), self._start
        for number in range(self.header.packets):
            stated = framing.parse_length(place, 1 << 63)
            if stated is None and place + MIN_PACKET_BYTES <= self.file_bytes:
                raise self.damage_error(PacketCodes(number * self.header.packet_frames, 0, None, "length"))
            if stated is None or stated.end > self.file_bytes:
                where = f"in packet {number + 1} of {self.header.packets}"
                raise UserError(f"{self.path}: truncated, {where}; {ADVICE_ON_DAMAGE}")
            place = stated.end
        left = self.file_bytes - place
        size = self._index_size
        if not size:
            if left:
                raise UserError(f"{self.path}: {left} bytes follow the last packet; {ADVICE_ON_DAMAGE}")
            return
        if left < size:
            raise UserError(f"{self.path}: truncated in its index; {ADVICE_ON_DAMAGE}")
        what = f"{left - size} bytes follow the index" if left > size else "the index is damaged"
        raise UserError(f"{self.path}: {what}; {ADVICE_ON_DAMAGE}")

    def damaged_packets(self) -> list[int]:
        """Read all packets, and find the damaged ones.

        Returns:
            Their numbers, from 0, up to the end of a truncated file; for a live stream, the numbers of frames.
        """
        if self.header.live:
            bodies = (body for frames in self._counted_live_frames() for body in frames.bodies)
            return [number for number, body in enumerate(bodies) if body is None]
        return [number for number, payload in self.payloads() if payload is None]


def name_source(source: Path | BinaryIO) -> Path:
    """Name a file in messages.

    Args:
        source: path of the file, or an open one

    Returns:
        The path; ``bytes`` for an open file that has none.
    """
    return Path(source if isinstance(source, (str, Path)) else str(getattr(source, "name", "bytes")))


def peek_header(path: Path) -> Header | None:
    """Parse the header of a file of the version that is written, without any checksum.

    Args:
        path: the file, such as a truncated one of the short profile, whose only checksum is at its end

    Returns:
        The header, which may be damaged; None if these are other bytes.
    """
    try:
        with Path(path).open("rb") as file:
            return parse_header(file.read)[0]
    except (OSError, HeaderError):
        return None


def read_nac_header(path: Path | BinaryIO, whole: bool = True) -> Header:
    """Read the header of a file.

    Args:
        path: the file
        whole: also check that the file is complete, see :meth:`PacketReader.check`

    Returns:
        The header.

    Raises:
        UserError: As for :class:`PacketReader`, and with ``whole`` as for :meth:`PacketReader.check`.
    """
    with PacketReader(path) as reader:
        if whole:
            reader.check()
        return reader.header
