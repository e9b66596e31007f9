"""Framing of packets: length, payload and checksum, and the search for packets behind damage; docs/bitstream.md.

The number of a packet is added to its checksum, so that an intact packet reveals its number.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

from codec.bitstream.header import MAX_PACKET_FRAMES
from codec.bitstream.search_budget import SearchBudget
from codec.bitstream.varint import varint_bytes

CHECKSUM_BYTES = 4
PACKET_S = 2.0
"""Duration of a packet in seconds: short for a small loss if one is damaged, long enough for a small overhead."""
PACKET_OVERHEAD_BYTES = 6.25
"""Bytes that the container adds to a payload of 128 to 16,383 bytes, its share of the index included."""
MIN_PACKET_BYTES = 1 + 1 + CHECKSUM_BYTES
_MODULUS = 1 << 32
_LENGTH_BYTES = 4
_FIRST_VERSION_HEAD = 8
_UNTRACED = 64
"""Packets that may be missing at once without a trace in the file."""

ReadAt = Callable[[int, int], bytes]
"""Function from a position and a size to the bytes there; fewer at the end of the file."""


@dataclass(frozen=True)
class FoundPacket:
    """An intact packet."""

    number: int
    """Number of the packet; at least the expected one, modulo 2^32."""
    end: int
    """Position behind the packet."""
    payload: bytes
    """Coded codes."""


@dataclass(frozen=True)
class StatedPacket:
    """Positions according to the length at the start of a packet, which may be damaged."""

    payload: int
    """Position of the payload."""
    end: int
    """Position behind the packet."""


def packet_frames(frame_rate_hz: float, seconds: float = PACKET_S) -> int:
    """Return the number of latent frames in a packet of about some seconds.

    Args:
        frame_rate_hz: latent frames per second
        seconds: duration of a packet

    Returns:
        Frames, from 1 to 255.

    >>> packet_frames(50.0)
    100
    """
    return min(MAX_PACKET_FRAMES, max(1, round(seconds * frame_rate_hz)))


def short_frames(packet_frames: int) -> int:
    """Return the number of latent frames up to which a file is a single packet, in the short profile.

    Args:
        packet_frames: latent frames per packet of longer files

    Returns:
        Frames of 2.55 packets, or as many as a packet can hold. With packets of 2 s, 5 s of audio are short.

    >>> short_frames(100)
    255
    """
    return min(MAX_PACKET_FRAMES, 51 * packet_frames // 20)


def frame_packet(number: int, payload: bytes) -> bytes:
    """Frame a payload as a packet.

    The length comes first, 7 bits per byte, the least significant ones first; the checksum comes last.

    Args:
        number: number of the packet, from 0
        payload: coded codes, at least one byte

    Returns:
        The packet.

    >>> packet = frame_packet(5, b"payload")
    >>> framing = Framing(lambda place, size: packet[place : place + size], longest=100)
    >>> framing.read_packet(0, len(packet), number=0)
    FoundPacket(number=5, end=12, payload=b'payload')
    """
    body = varint_bytes(len(payload)) + payload
    return body + ((zlib.crc32(body) + number) % _MODULUS).to_bytes(CHECKSUM_BYTES, "little")


class Framing:
    """Access to the packets of one file by their positions.

    Args:
        read: function that reads the file
        longest: maximum size of a payload
    """

    def __init__(self, read: ReadAt, longest: int):
        self.read, self.longest = read, longest
        self._budget = SearchBudget()

    def parse_length(self, place: int, limit: int) -> StatedPacket | None:
        """Parse the length of a packet.

        Args:
            place: position of the packet
            limit: position by which it must end

        Returns:
            The positions that it gives; None if no packet can have this length.
        """
        length = 0
        for count, byte in enumerate(self.read(place, _LENGTH_BYTES)):
            length |= (byte & 127) << 7 * count
            if byte < 128:
                start = place + count + 1
                end = start + length + CHECKSUM_BYTES
                return StatedPacket(start, end) if 0 < length <= self.longest and end <= limit else None
        return None

    def read_packet(self, place: int, limit: int, number: int) -> FoundPacket | None:
        """Read the packet at a position.

        Args:
            place: position of the packet
            limit: position by which it must end
            number: expected number; the packet may have another one

        Returns:
            The packet; None if there is no intact one.
        """
        stated = self.parse_length(place, limit)
        if stated is None:
            return None
        data = self.read(place, stated.end - place)
        if len(data) < stated.end - place:
            return None
        check = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
        missing = (check - zlib.crc32(data[:-CHECKSUM_BYTES]) - number) % _MODULUS
        return FoundPacket(number + missing, stated.end, data[stated.payload - place : -CHECKSUM_BYTES])

    def find_next(self, place: int, limit: int, number: int, stop: int) -> tuple[int, int] | None:
        """Find the next intact packet behind a damaged one.

        The position at which the damaged one ends by its length is tried first, then every position: among bytes that
        are no packet, one in millions is mistaken for one of the few numbers that can follow.

        Args:
            place: position of the damaged packet
            limit: position by which the next one must end
            number: number of the damaged packet
            stop: upper limit of its number, exclusive

        Returns:
            Position and number of the next intact packet; None if there is none.
        """
        stated = self.parse_length(place, limit)
        if stated and number + 1 < stop and self._is_at(stated.end, limit, number + 1):
            return stated.end, number + 1
        return self._search(place, limit, number, stop)

    def _is_at(self, place: int, limit: int, number: int) -> bool:
        found = self.read_packet(place, limit, number)
        return found is not None and found.number == number

    def _search(self, place: int, limit: int, number: int, stop: int) -> tuple[int, int] | None:
        for at in range(place, limit - MIN_PACKET_BYTES + 1):
            stated = self.parse_length(at, limit)
            if not self._budget.spend(stated.end - at if stated else 0):
                return None
            found = self.read_packet(at, limit, number) if stated else None
            if found is None or not number < found.number < min(stop, number + _UNTRACED + (at - place) // 64):
                continue
            # a wrong checksum can look like another number, but not like one that the next packet continues
            if at > place or self._is_at(found.end, limit, found.number + 1):
                return at, found.number
        return None


class FramingVersion1(Framing):
    """Framing of version 1: length and checksum as 4 bytes each before the payload.

    The checksum starts from the number, and everything behind a wrong length is lost.
    """

    def parse_length(self, place: int, limit: int) -> StatedPacket | None:
        """Parse the length of a packet; see :meth:`Framing.parse_length`.

        Args:
            place: position of the packet
            limit: position by which it must end

        Returns:
            The positions that it gives; None if no packet can have this length.
        """
        head = self.read(place, _FIRST_VERSION_HEAD)
        length = int.from_bytes(head[:4], "little")
        start = place + _FIRST_VERSION_HEAD
        good = len(head) == _FIRST_VERSION_HEAD and 0 < length <= self.longest and start + length <= limit
        return StatedPacket(start, start + length) if good else None

    def read_packet(self, place: int, limit: int, number: int) -> FoundPacket | None:
        """Read the packet at a position.

        Args:
            place: position of the packet
            limit: position by which it must end
            number: number of the packet

        Returns:
            The packet; None if it is damaged or has another number.
        """
        stated = self.parse_length(place, limit)
        if stated is None:
            return None
        data = self.read(place, stated.end - place)
        length, payload = data[:4], data[_FIRST_VERSION_HEAD:]
        check = zlib.crc32(payload, zlib.crc32(number.to_bytes(8, "little") + length))
        right = len(data) == stated.end - place and data[4:_FIRST_VERSION_HEAD] == check.to_bytes(4, "little")
        return FoundPacket(number, stated.end, payload) if right else None

    def _search(self, place: int, limit: int, number: int, stop: int) -> tuple[int, int] | None:
        return None
