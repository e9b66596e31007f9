"""Repair of data with one damaged byte, by its checksum.

The checksum is linear, so the error in it depends on the damage alone. From the error, the checksum is run backwards
over the bytes behind each place, to find the places at which a change of one byte causes this error.
"""

import zlib

from codec.bitstream.checksum import CRC32_BYTES, crc32_error

_TABLE = [zlib.crc32(bytes([byte])) ^ zlib.crc32(b"\0") for byte in range(256)]
"""Change of the checksum for the bits that change in the last byte before it."""
_CHANGE_OF = {error: change for change, error in enumerate(_TABLE) if change}
_BYTE_OF = {error >> 24: byte for byte, error in enumerate(_TABLE)}
"""The entry of the table by its top byte, in which all of them differ."""


def repair_byte(data: bytes) -> bytes | None:
    """Repair one damaged byte.

    Args:
        data: bytes and their checksum, as from :func:`codec.bitstream.checksum.append_crc32`

    Returns:
        The bytes as they were before the damage; None if they are intact, or if not exactly one change of one byte
        makes the checksum right.

    >>> from codec.bitstream.checksum import append_crc32
    >>> intact = append_crc32(b"header")
    >>> repair_byte(b"hEader" + intact[6:]) == intact
    True
    """
    if len(data) < CRC32_BYTES or not (error := crc32_error(data)):
        return None
    end = len(data) - CRC32_BYTES
    changes = [(end + at, error >> 8 * at) for at in range(CRC32_BYTES) if not error & ~(0xFF << 8 * at)]
    for place in reversed(range(end)):
        if error in _CHANGE_OF:
            changes.append((place, _CHANGE_OF[error]))
        byte = _BYTE_OF[error >> 24]
        error = (error ^ _TABLE[byte]) << 8 | byte
    if len(changes) != 1:
        return None
    ((place, change),) = changes
    return data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]
