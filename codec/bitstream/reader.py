"""Reads ``.nac`` files: header, packets from any one on, and what remains of damaged files; docs/bitstream.md.

Nothing in a file is trusted before it is checked: values against their limits, against each other and against the size
of the file. Memory is allocated only after that. Damage is handled packet by packet.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from codec.bitstream import live
from codec.bitstream.codes import CodeArray, PacketCoder
from codec.bitstream.framing import MIN_PACKET_BYTES, FoundPacket, Framing, FramingVersion1
from codec.bitstream.header import ADVICE_ON_DAMAGE, Header, read_header_and_tags
from codec.bitstream.index import PACKETS_PER_ENTRY, index_size, parse_index
from codec.errors import UserError


@dataclass(frozen=True)
class PacketCodes:
    """``frames`` latent frames from ``first`` on: their codes, or none where they are lost, for ``reason``."""

    first: int
    frames: int
    codes: CodeArray | None
    reason: str = ""


@dataclass(frozen=True)
class _Region:
    """Packets from ``first`` to below ``stop`` lie in the bytes from ``place`` to below ``end``."""

    first: int
    stop: int
    place: int
    end: int


class PacketReader:
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
                start = read_header_and_tags(self._file.read, self.path)
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

    def __enter__(self) -> "PacketReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _read(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)

    def _read_index(self) -> list[int] | None:
        """Where each group of packets starts, and the last one ends; None where there is no index that fits."""
        size = index_size(self.header.packets)
        if self._start + MIN_PACKET_BYTES * self.header.packets + size > self.file_bytes:
            return None
        return parse_index(self._read(self.file_bytes - size, size), self._start, self.file_bytes - size)

    def _find_live_end(self) -> None:
        end = live.parse_end(self._read(max(self._start, self.file_bytes - live.END_BYTES), live.END_BYTES))
        self.ended = end is not None
        if end is None:
            frames = sum(len(frames.bodies) for frames in self._live_frames())
            end = live.StreamEnd(max(0, frames - 1) * self.header.latent_hop * self.header.sample_rate
                           // self.header.model_rate, frames)  # fmt: skip
        header = replace(self.header, samples=end.samples, frames=end.frames)
        # What was not lost was sent: at the least a byte for each channel of a frame, and its checksum.
        if header.fault() or end.frames > live.MAX_GAP + self.file_bytes:
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

    def _payloads(self, first: int) -> Iterator[tuple[int, bytes | None]]:
        """Number and payload of each packet from ``first`` on, or nothing in place of a damaged payload; ends where
        nothing follows."""
        framing = self._framing()
        for region in self._regions(first):
            number, place = region.first, region.place
            while number < region.stop:
                found: FoundPacket | None = framing.look(place, region.end, number)
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
        end = self.file_bytes - (0 if self.header.version == 1 else index_size(self.header.packets))
        said = framing.stated(place, self.file_bytes)
        return number + 1 == self.header.packets and said is not None and said.end == end

    def packets(self, coder: PacketCoder | live.FixedWidthCoder, first: int = 0) -> Iterator[PacketCodes]:
        """Read the codes of the file.

        Args:
            coder: Range coder of the model that the header names; a :class:`codec.bitstream.live.FixedWidthCoder` for
                live streams, of which consecutive frames make one item here.
            first: Number of the packet to begin with.

        Yields:
            Codes, or the absence of codes of consecutive damaged frames, without gaps; up to where the file was cut
            off, if it was.
        """
        if isinstance(coder, live.FixedWidthCoder):
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
            yield PacketCodes(place, frames, codes, reason)

    def _live_frames(self) -> Iterator[live.LiveFrames]:
        """All that follow the header, but none behind the end that the file has."""
        parser, place = live.LiveParser(self.header), self._start
        most = self.header.frames if self.ended else self.file_bytes
        while not parser.done and parser.next < most:
            data = self._read(place, live.READ_BYTES)
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
            for place, count, codes in live.unpack_frames(frames, self.header, coder):
                if place + count > first:
                    yield PacketCodes(place, count, codes, "checksum")

    def codes(self, coder: PacketCoder | live.FixedWidthCoder) -> Iterator[CodeArray]:
        """Codes ``[channels, codebooks, frames]``, packet by packet. Raises :class:`UserError` where some are lost."""
        self.check()
        done = 0
        for packet in self.packets(coder):
            if packet.codes is None:
                raise self.damaged(packet)
            done = packet.first + packet.frames
            yield packet.codes
        if done < self.header.frames:
            raise UserError(f"{self.path}: truncated after {self.header.seconds_at(done):.2f} s; {ADVICE_ON_DAMAGE}")

    def damaged(self, packet: PacketCodes) -> UserError:
        head = self.header
        number, start = packet.first // head.packet_frames, head.seconds_at(packet.first)
        return UserError(
            f"{self.path}: packet {number + 1} of {head.packets} (from {start:.2f} s) is damaged"
            f" ({packet.reason}); {ADVICE_ON_DAMAGE}"
        )

    def check(self) -> None:
        """That the file is all there, by its lengths and index; checksums of packets are a matter of reading them.

        Raises:
            UserError: truncated, or not of the length that its parts add up to.
        """
        if self.repaired:
            raise UserError(
                f"{self.path}: a byte of the header is damaged, and read as its checksum says; {ADVICE_ON_DAMAGE}"
            )
        if self.tags_damaged:
            raise UserError(f"{self.path}: the tags are damaged (checksum); {ADVICE_ON_DAMAGE}")
        if self.header.live:
            if not self.ended:
                raise UserError(f"{self.path}: truncated, the end of the stream is missing; {ADVICE_ON_DAMAGE}")
            return
        if self._index is not None:
            return
        framing, place = self._framing(), self._start
        for number in range(self.header.packets):
            said = framing.stated(place, 1 << 63)
            if said is None and place + MIN_PACKET_BYTES <= self.file_bytes:
                raise self.damaged(PacketCodes(number * self.header.packet_frames, 0, None, "length"))
            if said is None or said.end > self.file_bytes:
                where = f"in packet {number + 1} of {self.header.packets}"
                raise UserError(f"{self.path}: truncated, {where}; {ADVICE_ON_DAMAGE}")
            place = said.end
        left = self.file_bytes - place
        if self.header.version == 1:
            if left:
                raise UserError(f"{self.path}: {left} bytes follow the last packet; {ADVICE_ON_DAMAGE}")
            return
        size = index_size(self.header.packets)
        if left < size:
            raise UserError(f"{self.path}: truncated in its index; {ADVICE_ON_DAMAGE}")
        what = f"{left - size} bytes follow the index" if left > size else "the index is damaged"
        raise UserError(f"{self.path}: {what}; {ADVICE_ON_DAMAGE}")

    def damaged_packets(self) -> list[int]:
        """Numbers, from 0, of the packets that are lost, up to where the file was cut off, if it was."""
        if self.header.live:
            bodies = (body for frames in self._counted_live_frames() for body in frames.bodies)
            return [number for number, body in enumerate(bodies) if body is None]
        return [number for number, payload in self._payloads(0) if payload is None]


def read_header(path: Path, whole: bool = True) -> Header:
    """The header alone. Raises as :class:`PacketReader` does, and, with ``whole``, as :meth:`PacketReader.check`."""
    with PacketReader(path) as reader:
        if whole:
            reader.check()
        return reader.header
