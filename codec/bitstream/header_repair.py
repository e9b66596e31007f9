"""Repair of a header with one damaged byte, by its checksum.

The checksum is linear, so the error in it depends on the damage alone. Each of the 58 · 255 ways in which one byte can
be damaged causes another error.
"""

import functools

from codec.bitstream.checksum import crc32_error


def repair_byte(data: bytes) -> bytes:
    """Repair one damaged byte.

    Args:
        data: header, its checksum included

    Returns:
        The header as it was before the damage; ``data`` itself if it is intact, or damaged beyond that.

    >>> from codec.bitstream.checksum import append_crc32
    >>> header = append_crc32(b"header")
    >>> repair_byte(b"hEader" + header[6:]) == header
    True
    """
    error = crc32_error(data)
    if not error or error not in _one_byte_errors(len(data)):
        return data
    place, change = _one_byte_errors(len(data))[error]
    return data[:place] + bytes([data[place] ^ change]) + data[place + 1 :]


@functools.cache
def _one_byte_errors(size: int) -> dict[int, tuple[int, int]]:
    """Return, for each error of the checksum that one damaged byte causes, the offset of the byte and the bits that
    differ.
    """
    intact = crc32_error(bytes(size))
    changes = [(place, change) for place in range(size) for change in range(1, 256)]
    errors = {}
    for place, change in changes:
        damaged = bytes(place) + bytes([change]) + bytes(size - place - 1)
        errors[crc32_error(damaged) ^ intact] = place, change
    assert len(errors) == len(changes)
    return errors
