"""The live profile: one latent frame per packet, codes of fixed width, a length that only the end says;
docs/bitstream.md.

A frame is a count of codes for each channel, the codes, and a checksum to which the frame's number is added, so that
a receiver that lost bytes learns where it is again.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import NO_CODE
from codec.bitstream.header import Header

_CHECKSUM_BYTES = 2
END_BYTES = 1 + 8 + 8 + 4
READ_BYTES = 1 << 16
MAX_GAP = 256
"""So many frames at most are taken to be missing at once."""
_END = 255
_MODULUS = 1 << 8 * _CHECKSUM_BYTES
_SEARCH_BUDGET = 1 << 28
"""Bytes that may be gone through in search of frames, each place counted as some hundred: seconds, on hostile
input."""
_PLACE_COST = 256


@dataclass(frozen=True)
class StreamEnd:
    """``samples`` per channel of the source, and latent ``frames`` that were sent."""

    samples: int
    frames: int


@dataclass(frozen=True)
class LiveFrames:
    """Consecutive latent frames from ``first`` on, as they were sent; None in place of one that is lost."""

    first: int
    bodies: Sequence[bytes | None]


class FixedWidthCoder:
    """Codes of fixed width to the body of a frame and back. ``size``: how many values a code has."""

    def __init__(self, size: int):
        self.size = size
        self.bits = max(1, (size - 1).bit_length())

    def pack(self, codes: npt.NDArray[np.integer]) -> bytes:
        """``[channels, codebooks]``, of which each channel has the first ones, the others being absent."""
        present = codes != NO_CODE
        value = 0
        for place, code in enumerate(codes[present].tolist()):
            value |= code << place * self.bits
        return bytes(present.sum(1).tolist()) + value.to_bytes(-(-int(present.sum()) * self.bits // 8), "little")

    def unpack(self, body: bytes, channels: int, codebooks: int) -> npt.NDArray[np.int64]:
        """Inverse of :meth:`pack`. Raises ``ValueError`` for a code that does not exist."""
        codes = np.full((channels, codebooks), NO_CODE, np.int64)
        value, mask = int.from_bytes(body[channels:], "little"), (1 << self.bits) - 1
        for row, count in zip(codes, body[:channels]):
            for place in range(count):
                row[place], value = value & mask, value >> self.bits
        if value or codes.max() >= self.size:
            raise ValueError("a code that does not exist")
        return codes


def frame_bytes(number: int, body: bytes) -> bytes:
    return body + ((zlib.crc32(body) + number) % _MODULUS).to_bytes(_CHECKSUM_BYTES, "little")


def end_bytes(samples: int, frames: int) -> bytes:
    """What closes a stream."""
    data = bytes([_END]) + samples.to_bytes(8, "little") + frames.to_bytes(8, "little")
    return data + zlib.crc32(data).to_bytes(4, "little")


def parse_end(data: bytes) -> StreamEnd | None:
    """Inverse of :func:`end_bytes`; None for other bytes."""
    if len(data) != END_BYTES or data[0] != _END or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:], "little"):
        return None
    return StreamEnd(int.from_bytes(data[1:9], "little"), int.from_bytes(data[9:17], "little"))


class LiveWriter:
    """Writes a stream to ``output``, a binary file: frame after frame, each as soon as its codes are there."""

    def __init__(self, output: BinaryIO, header: Header, coder: FixedWidthCoder, tags: Mapping[str, str] | None = None):
        self._output, self._coder = output, coder
        self.frames = self.bytes = self.payload_bytes = 0
        self._send(header.to_bytes(tags))

    def write(self, codes: npt.NDArray[np.integer]) -> None:
        """``[channels, codebooks, frames]``, any number of frames."""
        if codes.shape[2]:
            self._send(self._framed(codes))

    def finish(self, codes: npt.NDArray[np.integer], samples: int) -> None:
        """The last codes, of a sound that turned out to have ``samples`` per channel. The end is sent before them too,
        so that a receiver which plays them at once knows where to stop."""
        closing = end_bytes(samples, self.frames + codes.shape[2])
        self._send((closing if codes.shape[2] else b"") + self._framed(codes) + closing)

    def _framed(self, codes: npt.NDArray[np.integer]) -> bytes:
        bodies = [self._coder.pack(codes[..., index]) for index in range(codes.shape[2])]
        framed = b"".join(frame_bytes(number, body) for number, body in enumerate(bodies, self.frames))
        self.frames += len(bodies)
        self.payload_bytes += sum(map(len, bodies))
        return framed

    def _send(self, data: bytes) -> None:
        self._output.write(data)
        self._output.flush()
        self.bytes += len(data)


class LiveParser:
    """Bytes behind the header, in pieces of any length, to frames.

    Where a frame is damaged, the stream goes on where two whole frames follow each other, or the end. ``end`` is known
    from shortly before it on. ``done`` says that nothing more will come: the end was met, or no way on was found.
    """

    def __init__(self, header: Header):
        self._channels, self._codebooks, self._bits = header.channels, header.codebooks, header.bits_per_code
        self._data = bytearray()
        self._place = 0  # in the data; what lies before it is done with
        self._budget = _SEARCH_BUDGET
        self._searched: int | None = None  # up to where, while the way on is searched
        self.next = 0
        self.done = False
        self.end: StreamEnd | None = None

    def push(self, data: bytes) -> LiveFrames:
        """The frames that are complete with ``data``."""
        self._data += data
        return self._parse(last=False)

    def finish(self) -> LiveFrames:
        """The frames that can be told when nothing follows."""
        frames = self._parse(last=True)
        missing = 0 if self.done or self.end is None else self.end.frames - self.next
        self.next += missing
        self.done = True
        return LiveFrames(frames.first, [*frames.bodies, *[None] * missing])

    def _parse(self, last: bool) -> LiveFrames:
        first, bodies = self.next, list[bytes | None]()
        while not self.done and self._place < len(self._data):
            if self._searched is None:
                found = self._look(self._place)
                if found == "more" and not last:
                    break
                if isinstance(found, StreamEnd) and self._can_follow(found, self.next):
                    self.end, self.done = found, found.frames == self.next
                    self._place += END_BYTES
                    continue
                if isinstance(found, tuple) and found[0] == self.next % _MODULUS:
                    bodies.append(found[1])
                    self.next += 1
                    self._place += len(found[1]) + _CHECKSUM_BYTES
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
        return LiveFrames(first, bodies)

    @staticmethod
    def _can_follow(end: StreamEnd, number: int) -> bool:
        """Whether this end can stand before frame ``number``, and at most :data:`MAX_GAP` more."""
        return 0 <= end.frames - number <= MAX_GAP

    def _look(self, place: int) -> tuple[int, bytes] | StreamEnd | str:
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
        if len(counts) < self._channels or len(data) < place + size + _CHECKSUM_BYTES:
            return "more"
        body = bytes(data[place : place + size])
        check = int.from_bytes(data[place + size : place + size + _CHECKSUM_BYTES], "little")
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
            if isinstance(here, str) or (isinstance(here, StreamEnd) and not self._can_follow(here, self.next)):
                continue
            behind = self._look(at + (END_BYTES if isinstance(here, StreamEnd) else len(here[1]) + _CHECKSUM_BYTES))
            if behind == "more" and not last:
                return None
            lost = self._lost_before(here, behind)
            if lost is not None and lost <= MAX_GAP:
                self._place, self._searched = at, None
                return lost
        self._searched = len(self._data)
        if last:
            self._place = len(self._data)
        return None

    def _lost_before(
        self, here: tuple[int, bytes] | StreamEnd, behind: tuple[int, bytes] | StreamEnd | str
    ) -> int | None:
        """How many frames are missing before ``here``, if what is ``behind`` it confirms it."""
        if isinstance(here, StreamEnd):  # before the last frames, or behind them
            return (behind[0] - self.next) % _MODULUS if isinstance(behind, tuple) else here.frames - self.next
        lost = (here[0] - self.next) % _MODULUS
        if isinstance(behind, StreamEnd):
            return lost if self._can_follow(behind, self.next + lost + 1) else None
        return lost if isinstance(behind, tuple) and behind[0] == (here[0] + 1) % _MODULUS else None


def unpack_frames(
    frames: LiveFrames, header: Header, coder: FixedWidthCoder
) -> Iterator[tuple[int, int, npt.NDArray | None]]:
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
