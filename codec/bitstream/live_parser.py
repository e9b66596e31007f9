"""Parses streams of the live profile, as their bytes arrive and across damage; docs/bitstream.md."""

import zlib
from dataclasses import dataclass
from enum import Enum

from codec.bitstream.header import Header
from codec.bitstream.live import (
    END_BYTES,
    END_MARK,
    FRAME_CHECKSUM_BYTES,
    NUMBER_MODULUS,
    LiveFrames,
    StreamEnd,
    parse_end,
)
from codec.bitstream.search_budget import SearchBudget

MAX_GAP = 256
"""Frames that may be missing at once."""


@dataclass(frozen=True)
class _FrameBody:
    """A frame whose checksum was not compared, since it depends on the number."""

    number: int
    """Number of the frame if it is intact, modulo 2^16."""
    body: bytes

    @property
    def size(self) -> int:
        """Bytes of the frame."""
        return len(self.body) + FRAME_CHECKSUM_BYTES


class _Absence(Enum):
    """Reason that there is neither a frame nor the end at a position."""

    INCOMPLETE = "too few bytes so far"
    INVALID = "bytes that can be neither"


class LiveParser:
    """Parser of the bytes behind the header, in pieces of any length.

    Behind a damaged frame, parsing continues at two intact frames in a row, or an intact frame and the end.

    Args:
        header: header of the stream

    Attributes:
        next: number of the next frame
        end: end record of the stream; it is sent shortly before the end
        done: whether parsing has ended: the end was reached, or the search behind damage was given up
    """

    def __init__(self, header: Header):
        self._channels, self._codebooks, self._bits = header.channels, header.codebooks, header.bits_per_code
        self._data = bytearray()
        self._place = 0  # in the data; what lies before it is done with
        self._budget = SearchBudget()
        self._searched: int | None = None  # up to where, while the way on is searched
        self.next = 0
        self.done = False
        self.end: StreamEnd | None = None

    def push(self, data: bytes) -> LiveFrames:
        """Add bytes.

        Args:
            data: any number of bytes

        Returns:
            The frames that are complete by now.
        """
        self._data += data
        return self._parse(last=False)

    def finish(self) -> LiveFrames:
        """Parse the remaining bytes at the end of the stream.

        Returns:
            The last frames, and lost ones up to the end.
        """
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
                if found is _Absence.INCOMPLETE and not last:
                    break
                if isinstance(found, StreamEnd) and self._can_follow(found, self.next):
                    self.end, self.done = found, found.frames == self.next
                    self._place += END_BYTES
                    continue
                if isinstance(found, _FrameBody) and found.number == self.next % NUMBER_MODULUS:
                    bodies.append(found.body)
                    self.next += 1
                    self._place += found.size
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
        """Determine whether this end can be sent before frame ``number``, and at most :data:`MAX_GAP` more frames."""
        return 0 <= end.frames - number <= MAX_GAP

    def _look(self, place: int) -> _FrameBody | StreamEnd | _Absence:
        """Parse the frame or the end at a position."""
        data = self._data
        if place >= len(data):
            return _Absence.INCOMPLETE
        if data[place] == END_MARK:
            if len(data) < place + END_BYTES:
                return _Absence.INCOMPLETE
            return parse_end(bytes(data[place : place + END_BYTES])) or _Absence.INVALID
        counts = data[place : place + self._channels]
        if max(counts) > self._codebooks:
            return _Absence.INVALID
        size = self._channels + -(-sum(counts) * self._bits // 8)
        if len(counts) < self._channels or len(data) < place + size + FRAME_CHECKSUM_BYTES:
            return _Absence.INCOMPLETE
        body = bytes(data[place : place + size])
        check = int.from_bytes(data[place + size : place + size + FRAME_CHECKSUM_BYTES], "little")
        return _FrameBody((check - zlib.crc32(body)) % NUMBER_MODULUS, body)

    def _search(self, last: bool) -> int | None:
        """Continue the search at ``_searched``. Return the number of lost frames; None if more data is needed, or
        nothing was found.
        """
        assert self._searched is not None
        for at in range(self._searched, len(self._data)):
            self._searched = at
            here = self._look(at)
            if not self._budget.spend(len(here.body) if isinstance(here, _FrameBody) else 0):
                self.done = True
                return None
            if here is _Absence.INCOMPLETE and not last:
                return None
            if isinstance(here, _Absence) or (isinstance(here, StreamEnd) and not self._can_follow(here, self.next)):
                continue
            behind = self._look(at + (END_BYTES if isinstance(here, StreamEnd) else here.size))
            if behind is _Absence.INCOMPLETE and not last:
                return None
            lost = self._lost_before(here, behind)
            if lost is not None and lost <= MAX_GAP:
                self._place, self._searched = at, None
                return lost
        self._searched = len(self._data)
        if last:
            self._place = len(self._data)
        return None

    def _lost_before(self, here: _FrameBody | StreamEnd, behind: _FrameBody | StreamEnd | _Absence) -> int | None:
        """Return the number of frames lost before ``here``; None if what follows does not confirm it."""
        if isinstance(here, StreamEnd):  # before the last frames, or behind them
            if isinstance(behind, _FrameBody):
                return (behind.number - self.next) % NUMBER_MODULUS
            return here.frames - self.next
        lost = (here.number - self.next) % NUMBER_MODULUS
        if isinstance(behind, StreamEnd):
            return lost if self._can_follow(behind, self.next + lost + 1) else None
        confirmed = isinstance(behind, _FrameBody) and behind.number == (here.number + 1) % NUMBER_MODULUS
        return lost if confirmed else None
