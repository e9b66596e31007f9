"""The live profile: one latent frame per packet, codes of fixed width, length known at the end; docs/bitstream.md.

A frame is a number of codes for each channel, the codes, and a checksum to which the frame's number is added, so that a
receiver that lost bytes can determine its position.
"""

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt

from codec.bitstream.checksum import append_crc32, crc32_error
from codec.bitstream.codes import NO_CODE, IntArray, PacketCodes
from codec.bitstream.header import Header

FRAME_CHECKSUM_BYTES = 2
END_BYTES = 1 + 8 + 8 + 4
"""Size of the end of a stream."""
END_MARK = 255
"""First byte of the end of a stream; a number of codes never has this value."""
NUMBER_MODULUS = 1 << 8 * FRAME_CHECKSUM_BYTES
"""Frames are numbered modulo this."""


@dataclass(frozen=True)
class StreamEnd:
    """The end of a stream."""

    samples: int
    """Samples of the source per channel."""
    frames: int
    """Latent frames that were sent."""


@dataclass(frozen=True)
class LiveFrames:
    """Consecutive latent frames as they were sent."""

    first: int
    """Number of the first frame."""
    bodies: Sequence[bytes | None]
    """Frames without their checksums; None for a lost one."""


class FixedWidthCoder:
    """Coder of the body of a frame, with codes of fixed width.

    Args:
        size: number of values of a code

    >>> coder = FixedWidthCoder(8)
    >>> body = coder.pack(np.array([[5, 2], [7, -1]]))  # two channels; the second one has one code
    >>> coder.unpack(body, channels=2, codebooks=2).tolist()
    [[5, 2], [7, -1]]
    """

    def __init__(self, size: int):
        self.size = size
        self.bits = max(1, (size - 1).bit_length())

    def pack(self, codes: npt.NDArray[np.integer]) -> bytes:
        """Encode the codes of a frame.

        Args:
            codes: ``[channels, codebooks]``; absent codes (:data:`NO_CODE`) are the last ones of a channel

        Returns:
            The body of the frame.
        """
        present = codes != NO_CODE
        value = 0
        for place, code in enumerate(codes[present].tolist()):
            value |= code << place * self.bits
        return bytes(present.sum(1).tolist()) + value.to_bytes(-(-int(present.sum()) * self.bits // 8), "little")

    def body_bits(self, codes: IntArray) -> float:
        """Return the size of bodies.

        Args:
            codes: any number of frames ``[channels, codebooks, frames]``

        Returns:
            Bits.
        """
        present = (codes != NO_CODE).sum((0, 1))
        return 8.0 * float((len(codes) - -present * self.bits // 8).sum())

    def unpack(self, body: bytes, channels: int, codebooks: int) -> npt.NDArray[np.int64]:
        """Decode the body of a frame; the inverse of :meth:`pack`.

        Args:
            body: body of a frame
            channels: channels of the stream
            codebooks: codebooks of the stream

        Returns:
            Codes ``[channels, codebooks]``.

        Raises:
            ValueError: a code is out of range.
        """
        codes = np.full((channels, codebooks), NO_CODE, np.int64)
        value, mask = int.from_bytes(body[channels:], "little"), (1 << self.bits) - 1
        for row, count in zip(codes, body[:channels]):
            for place in range(count):
                row[place], value = value & mask, value >> self.bits
        if value or codes.max() >= self.size:
            raise ValueError("a code that does not exist")
        return codes


def frame_bytes(number: int, body: bytes) -> bytes:
    """Add the checksum to a frame.

    Args:
        number: number of the frame, from 0
        body: body of the frame

    Returns:
        The frame.
    """
    return body + ((zlib.crc32(body) + number) % NUMBER_MODULUS).to_bytes(FRAME_CHECKSUM_BYTES, "little")


def end_bytes(samples: int, frames: int) -> bytes:
    """Serialise the end of a stream.

    Args:
        samples: samples of the source per channel
        frames: latent frames that were sent

    Returns:
        The end.

    >>> parse_end(end_bytes(samples=441, frames=3))
    StreamEnd(samples=441, frames=3)
    """
    data = bytes([END_MARK]) + samples.to_bytes(8, "little") + frames.to_bytes(8, "little")
    return append_crc32(data)


def parse_end(data: bytes) -> StreamEnd | None:
    """Parse the end of a stream; the inverse of :func:`end_bytes`.

    Args:
        data: any bytes

    Returns:
        The end; None if the bytes are something else.
    """
    if len(data) != END_BYTES or data[0] != END_MARK or crc32_error(data):
        return None
    return StreamEnd(int.from_bytes(data[1:9], "little"), int.from_bytes(data[9:17], "little"))


def unpack_frames(frames: LiveFrames, header: Header, coder: FixedWidthCoder) -> Iterator[PacketCodes]:
    """Decode frames.

    Args:
        frames: consecutive frames
        header: header of the stream
        coder: coder of the frames

    Yields:
        Runs of frames that are all intact or all lost, without gaps.
    """
    unpacked = []
    for body in frames.bodies:
        try:
            unpacked.append(None if body is None else coder.unpack(body, header.channels, header.codebooks))
        except ValueError:
            unpacked.append(None)
    first = frames.first
    for _, run in groupby(unpacked, lambda codes: codes is None):
        group = list(run)
        intact = [codes for codes in group if codes is not None]
        yield PacketCodes(first, len(group), np.stack(intact, 2) if intact else None, "" if intact else "checksum")
        first += len(group)
