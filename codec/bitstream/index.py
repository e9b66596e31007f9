"""The index at the end of a ``.nac`` file of many packets, to seek to them: size of each group of packets in bytes, and
a checksum; docs/bitstream.md.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate

from codec.bitstream.checksum import append_crc32, crc32_error
from codec.bitstream.framing import MIN_PACKET_BYTES
from codec.bitstream.header import FORMAT_VERSION

PACKETS_PER_ENTRY = 16
_ENTRY = struct.Struct("<I")


def index_size(packets: int, version: int = FORMAT_VERSION) -> int:
    """Return the size of an index.

    Args:
        packets: packets of the file
        version: version of the file

    Returns:
        Bytes, the checksum included; 0 if the file has no index: in version 1, and from version 3 on if there is only
        one group of packets.

    >>> index_size(17), index_size(16), index_size(16, version=2)
    (12, 0, 8)
    """
    if version == 1 or (version > 2 and packets <= PACKETS_PER_ENTRY):
        return 0
    return _ENTRY.size * (-(-packets // PACKETS_PER_ENTRY) + 1)


def index_bytes(group_bytes: Sequence[int]) -> bytes:
    """Serialise an index.

    Args:
        group_bytes: bytes of each group of :data:`PACKETS_PER_ENTRY` packets

    Returns:
        The index, its checksum included.
    """
    return append_crc32(b"".join(map(_ENTRY.pack, group_bytes)))


def parse_index(data: bytes, start: int, stop: int) -> list[int] | None:
    """Parse an index; the inverse of :func:`index_bytes`.

    Args:
        data: bytes at the end of the file; their number is given by :func:`index_size`
        start: position of the first packet in the file
        stop: position behind the last packet

    Returns:
        The positions at which the groups start, and ``stop``; None if the index is damaged or contradicts the file.

    >>> parse_index(index_bytes([100, 50]), start=58, stop=208)
    [58, 158, 208]
    """
    *lengths, _ = (number for (number,) in _ENTRY.iter_unpack(data))
    positions = list(accumulate(lengths, initial=start))
    intact = not crc32_error(data) and positions[-1] == stop
    return positions if intact and all(length >= MIN_PACKET_BYTES for length in lengths) else None
