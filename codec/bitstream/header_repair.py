"""Repair of a header of which one byte is damaged, with the help of its checksum.

The checksum is linear, so the error in it depends on the damage alone. Each of the 58 · 255 ways in which one byte can
be damaged causes another error.
"""

import functools
import zlib

_CHECKSUM_BYTES = 4


def checksum_error(data: bytes) -> int:
    """Compare a checksum with the one it should be.

    Args:
        data: Bytes whose last four are their CRC-32, little-endian.

    Returns:
        The bits that differ; 0 if the checksum is right.
    """
    return zlib.crc32(data[:-_CHECKSUM_BYTES]) ^ int.from_bytes(data[-_CHECKSUM_BYTES:], "little")


def repair_byte(data: bytes) -> bytes:
    """Repair one damaged byte.

    Args:
        data: Header, its checksum included.

    Returns:
        The header as it was before the damage; ``data`` itself if it is intact, or damaged beyond that.

    >>> header = b"header" + zlib.crc32(b"header").to_bytes(4, "little")
    >>> repair_byte(b"hEader" + header[6:]) == header
    True
    """
    error = checksum_error(data)
    if not error or error not in _one_byte_errors(len(data)):
        return data
    place, change = _one_byte_errors(len(data))[error]
    return data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


@functools.cache
def _one_byte_errors(size: int) -> dict[int, tuple[int, int]]:
    """Return, for each error of the checksum that one damaged byte causes, the place of the byte and the bits that
    differ.
    """
    intact = checksum_error(bytes(size))
    changes = [(place, change) for place in range(size) for change in range(1, 256)]
    errors = {}
    for place, change in changes:
        damaged = bytes(place) + bytes([change]) + bytes(size - place - 1)
        errors[checksum_error(damaged) ^ intact] = place, change
    assert len(errors) == len(changes)
    return errors
