"""CRC-32 at the end of the bytes that it protects, little-endian; docs/bitstream.md."""

import zlib

CRC32_BYTES = 4


def append_crc32(data: bytes) -> bytes:
    """Append a checksum.

    Args:
        data: any bytes

    Returns:
        ``data`` and its CRC-32.
    """
    return data + zlib.crc32(data).to_bytes(CRC32_BYTES, "little")


def crc32_error(data: bytes) -> int:
    """Compare a checksum with the one it should be.

    Args:
        data: bytes and their CRC-32, as from :func:`append_crc32`

    Returns:
        The bits that differ; 0 if the checksum is right.

    >>> crc32_error(append_crc32(b"data"))
    0
    """
    return zlib.crc32(data[:-CRC32_BYTES]) ^ int.from_bytes(data[-CRC32_BYTES:], "little")
