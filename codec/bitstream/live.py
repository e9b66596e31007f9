"""The live profile: one latent frame per packet, codes of fixed width, a length that only the end says;
docs/bitstream.md.

A frame is a count of codes for each channel, the codes, and a checksum to which the frame's number is added, so that
a receiver that lost bytes learns where it is again.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from codec.bitstream.header import Header
from codec.model.quantizers import ABSENT

CHECK_BYTES = 2
END_BYTES = 1 + 8 + 8 + 4
READ_BYTES = 1 << 16
MAX_GAP = 256
"""So many frames at most are taken to be missing at once."""
_END = 255
_MODULUS = 1 << 8 * CHECK_BYTES
_SEARCH_BUDGET = 1 << 28
"""Bytes that may be gone through in search of frames, each place counted as some hundred: seconds, on hostile
input."""
_PLACE_COST = 256


@dataclass(frozen=True)
class End:
    """``samples`` per channel of the source, and latent ``frames`` that were sent."""

    samples: int
    frames: int


@dataclass(frozen=True)
class Frames:
    """Consecutive latent frames from ``first`` on, as they were sent; None in place of one that is lost."""

    first: int
    bodies: Sequence[bytes | None]


class FixedCoder:
    """Codes of fixed width to the body of a frame and back. ``size``: how many values a code has."""

    def __init__(self, size: int):
        self.size = size
        self.bits = max(1, (size - 1).bit_length())

    def pack(self, codes: npt.NDArray[np.integer]) -> bytes:
        """``[channels, codebooks]``, of which each channel has the first ones, the others being absent."""
        present = codes != ABSENT
        value = 0
        for place, code in enumerate(codes[present].tolist()):
            value |= code << place * self.bits
        return bytes(present.sum(1).tolist()) + value.to_bytes(-(-int(present.sum()) * self.bits // 8), "little")

    def unpack(self, body: bytes, channels: int, codebooks: int) -> npt.NDArray[np.int64]:
        """Inverse of :meth:`pack`. Raises ``ValueError`` for a code that does not exist."""
        codes = np.full((channels, codebooks), ABSENT, np.int64)
        value, mask = int.from_bytes(body[channels:], "little"), (1 << self.bits) - 1
        for row, count in zip(codes, body[:channels]):
            for place in range(count):
                row[place], value = value & mask, value >> self.bits
        if value or codes.max() >= self.size:
            raise ValueError("a code that does not exist")
        return codes


def frame(number: int, body: bytes) -> bytes:
    return body + ((zlib.crc32(body) + number) % _MODULUS).to_bytes(CHECK_BYTES, "little")


def end(samples: int, frames: int) -> bytes:
    """What closes a stream."""
    data = bytes([_END]) + samples.to_bytes(8, "little") + frames.to_bytes(8, "little")
    return data + zlib.crc32(data).to_bytes(4, "little")


def parse_end(data: bytes) -> End | None:
    """Inverse of :func:`end`; None for other bytes."""
    if len(data) != END_BYTES or data[0] != _END or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    return End(int.from_bytes(data[1:9], "little"), int.from_bytes(data[9:17], "little"))


class Parser:
    """Bytes behind the header, in pieces of any length, to frames.

    Where a frame is damaged, the stream goes on where two whole frames follow each other, or one and the end.
    ``done`` says that nothing more will come: the end was met (``ended`` then holds it), or no way on was found.
    """

    def __init__(self, header: Header):
        self._channels, self._codebooks, self._bits = header.channels, header.codebooks, header.bits_per_code
        self._data = bytearray()
        self._place = 0  # in the data; what lies before it is done with
        self._budget = _SEARCH_BUDGET
        self._searched: int | None = None  # up to where, while the way on is searched
        self.next = 0
        self.done = False
        self.ended: End | None = None

    def push(self, data: bytes) -> Frames:
        """The frames that are complete with ``data``."""
        self._data += data
        return self._parse(last=False)

    def finish(self) -> Frames:
        """The frames that can be told when nothing follows."""
        frames = self._parse(last=True)
        self.done = True
        return frames

    def _parse(self, last: bool) -> Frames:
        first, bodies = self.next, list[bytes | None]()
        while not self.done and self._place < len(self._data):
            if self._searched is None:
                found = self._look(self._place)
                if found == "more" and not last:
                    break
                if isinstance(found, End) and found.frames == self.next:
                    self.ended, self.done = found, True
                    break
                if isinstance(found, tuple) and found[0] == self.next % _MODULUS:
                    body = found[1]
                    bodies.append(body)
                    self.next += 1
                    self._place += len(body) + CHECK_BYTES
                    continue
                self._searched = self._place
            lost = self._search(last)
            if lost is None:
                break
            bodies += [None] * lost
            self.next += lost
        del self._data[: self._place]
        if self._searched is not None:
            self._searched -= self._place
        self._place = 0
        return Frames(first, bodies)

    def _look(self, place: int) -> tuple[int, bytes] | End | str:
        """What is at a place: a frame's number, modulo the checksum's range, and its body; the end; ``"more"`` where
        too little is there to say, ``"none"`` for what can be neither."""
        data = self._data
        if place >= len(data):
            return "more"
        if data[place] == _END:
            if len(data) < place + END_BYTES:
                return "more"
            return parse_end(bytes(data[place : place + END_BYTES])) or "none"
        counts = data[place : place + self._channels]
        if max(counts) > self._codebooks:
            return "none"
        size = self._channels + -(-sum(counts) * self._bits // 8)
        if len(counts) < self._channels or len(data) < place + size + CHECK_BYTES:
            return "more"
        body = bytes(data[place : place + size])
        check = int.from_bytes(data[place + size : place + size + CHECK_BYTES], "little")
        return (check - zlib.crc32(body)) % _MODULUS, body

    def _search(self, last: bool) -> int | None:
        """Goes on from ``_searched``; how many frames are lost, or None where more data is needed or nothing found."""
        assert self._searched is not None
        for at in range(self._searched, len(self._data)):
            self._searched = at
            here = self._look(at)
            self._budget -= _PLACE_COST + (len(here[1]) if isinstance(here, tuple) else 0)
            if self._budget < 0:
                self.done = True
                return None
            if here == "more" and not last:
                return None
            if isinstance(here, End) and 0 <= here.frames - self.next <= MAX_GAP:
                return self._go_on(at, here.frames - self.next)
            if not isinstance(here, tuple):
                continue
            lost = (here[0] - self.next) % _MODULUS
            if lost > MAX_GAP:
                continue
            behind = self._look(at + len(here[1]) + CHECK_BYTES)
            if behind == "more" and not last:
                return None
            if isinstance(behind, tuple) and behind[0] == (here[0] + 1) % _MODULUS:
                return self._go_on(at, lost)
            if isinstance(behind, End) and behind.frames == self.next + lost + 1:
                return self._go_on(at, lost)
        self._searched = len(self._data)
        if last:
            self._place = len(self._data)
        return None

    def _go_on(self, at: int, lost: int) -> int:
        self._place, self._searched = at, None
        return lost


def stretches(frames: Frames, header: Header, coder: FixedCoder) -> Iterator[tuple[int, int, npt.NDArray | None]]:
    """First frame, number of frames, and codes ``[channels, codebooks, frames]``, or None where they are lost."""
    unpacked = []
    for body in frames.bodies:
        try:
            unpacked.append(None if body is None else coder.unpack(body, header.channels, header.codebooks))
        except ValueError:
            unpacked.append(None)
    first = frames.first
    for _, run in groupby(unpacked, lambda codes: codes is None):
        group = list(run)
        there = [codes for codes in group if codes is not None]
        yield first, len(group), np.stack(there, 2) if there else None
        first += len(group)
