"""Integers of variable length: 7 bits per byte, the least significant ones first; docs/bitstream.md."""

from collections.abc import Callable

MAX_VARINT_BYTES = 9
"""Bytes of a value below 2^63."""


def varint_bytes(value: int, size: int = 1) -> bytes:
    """Serialise an integer.

    Args:
        value: from 0 to 2^63 - 1
        size: least number of bytes; a short value is padded

    Returns:
        Bytes, all but the last of which have their top bit set.

    >>> varint_bytes(300).hex(), varint_bytes(5, size=3).hex()
    ('ac02', '858000')
    """
    data = bytearray()
    while value >= 128 or len(data) < size - 1:
        data.append(value & 127 | 128)
        value >>= 7
    return bytes(data) + bytes([value])


def read_varint(read: Callable[[int], bytes]) -> int | None:
    """Read an integer; the inverse of :func:`varint_bytes`.

    Args:
        read: function that returns the requested number of bytes, or fewer at the end

    Returns:
        The integer; None at the end of the bytes, or if it is not below 2^63.
    """
    value = 0
    for place in range(MAX_VARINT_BYTES):
        byte = read(1)
        if not byte:
            return None
        value |= (byte[0] & 127) << 7 * place
        if byte[0] < 128:
            return value
    return None
