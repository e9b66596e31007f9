"""Codes as packets, as files and live streams have them, so that the bits of an operating point are real."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from codec.bitstream.codes import CodeArray
from codec.bitstream.file_layout import FileLayout, archive_layout, live_layout
from codec.bitstream.framing import frame_packet
from codec.bitstream.header import Header
from codec.bitstream.live import FixedWidthCoder, frame_bytes
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.rate_control import payload_bits


@dataclass(frozen=True)
class CodedPacket:
    """A coded packet."""

    frames: int
    payload: bytes
    bytes: int
    """Size of the packet with its framing."""


@dataclass(frozen=True)
class CodedPackets:
    """All packets of a clip; each holds all streams."""

    streams: int
    packets: list[CodedPacket]

    @property
    def bits(self) -> float:
        """Bits of all packets."""
        return 8.0 * sum(packet.bytes for packet in self.packets)


class RangeCodedPacking:
    """Packets of range-coded codes, as in files.

    Args:
        coder: range coder with the tables to use.
        frames: frames per packet.
        variable: whether the number of codes varies from frame to frame, as under rate control.
    """

    def __init__(self, coder: RangeCoder, frames: int, variable: bool):
        self.frames = frames
        self.cost = payload_bits(coder)
        self._coder, self._variable = coder, variable

    def layout(self, header: Header) -> FileLayout:
        """Return the layout of a file. It is never short, so that excerpts cost what they cost in a long recording.

        Args:
            header: a header of its values.

        Returns:
            The layout.
        """
        return archive_layout(header, with_blocks=True)

    def pack(self, codes: CodeArray) -> Iterator[CodedPacket]:
        """Encode codes.

        Args:
            codes: ``[streams, codebooks, frames]``.

        Yields:
            Packets.
        """
        for number, start in enumerate(range(0, codes.shape[2], self.frames)):
            part = codes[..., start : start + self.frames]
            payload = self._coder.encode(part, self._variable)
            yield CodedPacket(part.shape[2], payload, len(frame_packet(number, payload)))

    def unpack(self, packet: CodedPacket, streams: int, codebooks: int) -> CodeArray:
        """Decode a packet.

        Args:
            packet: one of those that :meth:`pack` yields.
            streams: number of streams.
            codebooks: maximum number of codes per frame.

        Returns:
            Codes ``[streams, codebooks, frames]``.
        """
        return self._coder.decode(packet.payload, streams, codebooks, packet.frames, self._variable)


class FixedWidthPacking:
    """Packets of one frame with codes of fixed width, as in live streams.

    Args:
        coder: coder of fixed width.
    """

    frames = 1

    def __init__(self, coder: FixedWidthCoder):
        self.cost = coder.body_bits
        self._coder = coder

    def layout(self, header: Header) -> FileLayout:
        """Return the layout of a live stream.

        Args:
            header: a header of its values.

        Returns:
            The layout.
        """
        return live_layout(replace(header, live=True, packet_frames=1))

    def pack(self, codes: CodeArray) -> Iterator[CodedPacket]:
        """Encode codes.

        Args:
            codes: ``[streams, codebooks, frames]``.

        Yields:
            A packet per frame.
        """
        for number in range(codes.shape[2]):
            body = self._coder.pack(codes[..., number])
            yield CodedPacket(1, body, len(frame_bytes(number, body)))

    def unpack(self, packet: CodedPacket, streams: int, codebooks: int) -> CodeArray:
        """Decode a packet.

        Args:
            packet: one of those that :meth:`pack` yields.
            streams: number of streams.
            codebooks: number of codes per frame.

        Returns:
            Codes ``[streams, codebooks, 1]``.
        """
        return self._coder.unpack(packet.payload, streams, codebooks)[..., None]
