"""The packets of a file or stream, and the bits that it takes in addition to their payloads; docs/bitstream.md."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache

from codec.bitstream.file_start import short_file_bytes, start_bytes
from codec.bitstream.framing import PACKET_OVERHEAD_BYTES, short_frames
from codec.bitstream.header import Header
from codec.bitstream.live import END_BYTES, FRAME_CHECKSUM_BYTES

STREAM_CARRIED_S = 3.0
"""A live stream has the rate asked for at any time: what it has not spent within some seconds is not spent later."""


@dataclass(frozen=True)
class FileLayout:
    """Packets, and bits in addition to payloads. Tags and pictures do not count."""

    packet_frames: int
    """Latent frames per packet."""
    packet_bits: float = 0.0
    """Bits of each packet, its share of the index included."""
    start_bits: float = 0.0
    """Bits of the whole: header, checksum and, in a live stream, its end."""
    short_frames: int = 0
    """Latent frames up to which a file has the short profile: one packet, without the bits above."""
    short_bits: float = 0.0
    """Bits of a short file."""
    held_frames: int = 0
    """Latent frames at the end whose packets are chosen together, once the length is known."""
    carried_s: float = math.inf
    """Seconds' worth of bits that may be saved for later, as in silence; those beyond lapse."""


@lru_cache(maxsize=64)  # of the files of a folder, most have the same
def archive_layout(header: Header, with_blocks: bool) -> FileLayout:
    """Return the layout of a file that :class:`codec.bitstream.writer.PacketWriter` writes.

    Args:
        header: its header
        with_blocks: whether it has tags or pictures; such a file is never short

    Returns:
        The layout.
    """
    short = short_frames(header.packet_frames)
    longest = replace(header, short=True, samples=short * header.latent_hop * header.sample_rate // header.model_rate)
    return FileLayout(
        packet_frames=header.packet_frames,
        packet_bits=8 * PACKET_OVERHEAD_BYTES,
        start_bits=8 * len(start_bytes(header)),
        short_frames=0 if with_blocks else short,
        short_bits=8 * len(short_file_bytes(longest, b"")),
        held_frames=max(short, header.packet_frames),
    )


def live_layout(header: Header) -> FileLayout:
    """Return the layout of a live stream.

    Args:
        header: its header

    Returns:
        The layout.
    """
    return FileLayout(
        packet_frames=1,
        packet_bits=8 * FRAME_CHECKSUM_BYTES,
        start_bits=8 * (len(start_bytes(header)) + 2 * END_BYTES),
        carried_s=STREAM_CARRIED_S,
    )
