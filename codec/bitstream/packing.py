"""Codes as bits without gaps: every code takes exactly ``bits`` bits, most significant first.

The codes follow each other in row-major order, the first from the highest bit of the first byte on; zero bits
fill the last byte.
"""

import numpy as np
import numpy.typing as npt

MAX_BITS = 24

Codes = npt.NDArray[np.int64]


def packed_bytes(codes: int, bits: int) -> int:
    """Bytes that so many codes of ``bits`` bits take."""
    return -(-codes * bits // 8)


def pack(codes: npt.NDArray[np.integer], bits: int) -> bytes:
    """``codes`` ``[quantizers, frames]`` (any shape will do), each within ``0 <= code < 2**bits``, to bytes.

    Raises:
        ValueError: ``bits`` outside 1 to 24, or a code that does not fit.
    """
    _check(bits)
    if codes.size and not 0 <= codes.min() <= codes.max() < 1 << bits:
        raise ValueError(f"codes from {codes.min()} to {codes.max()} do not fit into {bits} bits")
    as_bytes = codes.astype(">u4").reshape(-1, 1).view(np.uint8)
    return np.packbits(np.unpackbits(as_bytes, axis=1)[:, 32 - bits :]).tobytes()


def unpack(data: bytes, quantizers: int, frames: int, bits: int) -> Codes:
    """Inverse of :func:`pack`: int64 ``[quantizers, frames]``.

    Raises:
        ValueError: ``data`` has not the length that these codes take, or its last bits are not zero.
    """
    _check(bits)
    total = quantizers * frames
    if len(data) != packed_bytes(total, bits):
        raise ValueError(f"{len(data)} bytes do not hold {total} codes of {bits} bits")
    flat = np.unpackbits(np.frombuffer(data, np.uint8))
    if flat[total * bits :].any():
        raise ValueError("the bits after the last code are not zero")
    wide = np.zeros((total, 32), np.uint8)
    wide[:, 32 - bits :] = flat[: total * bits].reshape(total, bits)
    return np.packbits(wide, axis=1).view(">u4").astype(np.int64).reshape(quantizers, frames)


def _check(bits: int) -> None:
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"a code takes 1 to {MAX_BITS} bits, not {bits}")
