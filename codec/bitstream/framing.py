"""Packets on their own: how they are framed, told apart and found again behind damage; docs/bitstream.md.

A packet's checksum is that of its bytes plus its number, so that whoever meets a whole packet learns its number.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

CHECKSUM_BYTES = 4
PACKET_S = 2.0
"""Duration of a packet in seconds: the loss of one costs little, and the bytes around one are few."""
MAX_PACKET_FRAMES = 255
PACKET_OVERHEAD_BYTES = 6.25
"""Bytes that the container adds to a payload of 128 to 16,383 bytes, its share of the index included."""
MIN_PACKET_BYTES = 1 + 1 + CHECKSUM_BYTES
_MODULUS = 1 << 32
_LENGTH_BYTES = 4
_FIRST_VERSION_HEAD = 8
_UNTRACED = 64
"""So many packets at most are taken to be missing where no bytes are left of them."""
_SEARCH_BUDGET = 1 << 28
"""Bytes that may be gone through in search of packets, each place counted as some hundred: seconds, on hostile
files."""
_PLACE_COST = 256

ReadAt = Callable[[int, int], bytes]
"""Bytes of the file: from where, and how many at most."""


@dataclass(frozen=True)
class FoundPacket:
    """A whole packet: its number (modulo 2^32 in what was not asked for), where it ends, and its payload."""

    number: int
    end: int
    payload: bytes


@dataclass(frozen=True)
class StatedPacket:
    """What the bytes at a place say of a packet there, if there is one: where its payload is."""

    payload: int
    end: int


def packet_frames(frame_rate_hz: float) -> int:
    """Return the number of latent frames in a packet of about :data:`PACKET_S`.

    Args:
        frame_rate_hz: Latent frames per second.

    Returns:
        Frames, from 1 to 255.

    >>> packet_frames(50.0)
    100
    """
    return min(MAX_PACKET_FRAMES, max(1, round(PACKET_S * frame_rate_hz)))


def frame_packet(number: int, payload: bytes) -> bytes:
    """The length as a number of 7 bits per byte, the least significant ones first; the payload; the checksum."""
    length, head = len(payload), bytearray()
    while length >= 128:
        head.append(length & 127 | 128)
        length >>= 7
    head.append(length)
    body = bytes(head) + payload
    return body + ((zlib.crc32(body) + number) % _MODULUS).to_bytes(CHECKSUM_BYTES, "little")


class Framing:
    """Packets of one file, by place. ``longest``: bytes of a payload that no packet exceeds."""

    def __init__(self, read: ReadAt, longest: int):
        self.read, self.longest = read, longest
        self.budget = _SEARCH_BUDGET

    def stated(self, place: int, limit: int) -> StatedPacket | None:
        """What is said at ``place``, if it can be of a packet that ends by ``limit``."""
        length = 0
        for count, byte in enumerate(self.read(place, _LENGTH_BYTES)):
            length |= (byte & 127) << 7 * count
            if byte < 128:
                start = place + count + 1
                end = start + length + CHECKSUM_BYTES
                return StatedPacket(start, end) if 0 < length <= self.longest and end <= limit else None
        return None

    def look(self, place: int, limit: int, number: int) -> FoundPacket | None:
        """The packet at ``place``, whatever its number, or None where there is none that is whole. ``number`` is the
        expected one."""
        said = self.stated(place, limit)
        if said is None:
            return None
        data = self.read(place, said.end - place)
        if len(data) < said.end - place:
            return None
        check = int.from_bytes(data[-CHECKSUM_BYTES:], "little")
        missing = (check - zlib.crc32(data[:-CHECKSUM_BYTES]) - number) % _MODULUS
        return FoundPacket(number + missing, said.end, data[said.payload - place : -CHECKSUM_BYTES])

    def next(self, place: int, limit: int, number: int, stop: int) -> tuple[int, int] | None:
        """Behind a damaged packet ``number`` at ``place``: place and number of the next whole one below ``stop``.

        First, where the damaged one says that it ends. Then at any place: among bytes that are no packet, one in
        millions passes for one of the few numbers that can follow.
        """
        said = self.stated(place, limit)
        if said and number + 1 < stop and self._is_at(said.end, limit, number + 1):
            return said.end, number + 1
        return self._search(place, limit, number, stop)

    def _is_at(self, place: int, limit: int, number: int) -> bool:
        found = self.look(place, limit, number)
        return found is not None and found.number == number

    def _search(self, place: int, limit: int, number: int, stop: int) -> tuple[int, int] | None:
        for at in range(place, limit - MIN_PACKET_BYTES + 1):
            said = self.stated(at, limit)
            self.budget -= _PLACE_COST + (said.end - at if said else 0)
            if self.budget < 0:
                return None
            found = self.look(at, limit, number) if said else None
            if found is None or not number < found.number < min(stop, number + _UNTRACED + (at - place) // 64):
                continue
            # A wrong checksum can look like another number, but not like one that the packet behind it continues.
            if at > place or self._is_at(found.end, limit, found.number + 1):
                return at, found.number
        return None


class FramingVersion1(Framing):
    """Of version 1: length and checksum as 4 bytes each before the payload. The checksum starts from the number, and
    what lies behind a wrong length is lost."""

    def stated(self, place: int, limit: int) -> StatedPacket | None:
        head = self.read(place, _FIRST_VERSION_HEAD)
        length = int.from_bytes(head[:4], "little")
        start = place + _FIRST_VERSION_HEAD
        good = len(head) == _FIRST_VERSION_HEAD and 0 < length <= self.longest and start + length <= limit
        return StatedPacket(start, start + length) if good else None

    def look(self, place: int, limit: int, number: int) -> FoundPacket | None:
        said = self.stated(place, limit)
        if said is None:
            return None
        data = self.read(place, said.end - place)
        length, payload = data[:4], data[_FIRST_VERSION_HEAD:]
        check = zlib.crc32(payload, zlib.crc32(number.to_bytes(8, "little") + length))
        right = len(data) == said.end - place and data[4:_FIRST_VERSION_HEAD] == check.to_bytes(4, "little")
        return FoundPacket(number, said.end, payload) if right else None

    def _search(self, place: int, limit: int, number: int, stop: int) -> tuple[int, int] | None:
        return None
