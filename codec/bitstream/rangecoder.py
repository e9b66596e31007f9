"""Codes to bytes and back by range coding under integer frequency tables; docs/bitstream.md describes the coder.

The coder is constriction's, with words of 32 bits, a state of 64 and frequencies that add up to 2^24. It takes
probabilities as floating-point numbers, scales them and gives each symbol one share more than the integer part. Fed
with each frequency less 1, which float64 holds exactly, the scale is 1 and the shares are the frequencies themselves,
on every machine.
"""

import numpy as np
import numpy.typing as npt
from constriction import stream

from codec.model.entropy import PRECISION

WORD_BYTES = 4

Codes = npt.NDArray[np.int64]


def max_payload_bytes(codes: int) -> int:
    """More than this no payload of so many codes has, whatever the tables: a word for each, and two at the end."""
    return WORD_BYTES * (codes + 2)


class RangeCoder:
    """Codes under ``frequencies`` ``[codebooks, size]``: integers from 1 up; each row adds up to ``2**24``.

    A payload is independent of all others.
    """

    def __init__(self, frequencies: npt.NDArray[np.integer]):
        if frequencies.min() < 1 or (frequencies.sum(1, dtype=np.int64) != 1 << PRECISION).any():
            raise ValueError(f"frequencies must be at least 1 and add up to 2^{PRECISION}")
        self.codebooks, self.size = frequencies.shape
        self._models = [stream.model.Categorical(row.astype(np.float64) - 1, perfect=False) for row in frequencies]

    def encode(self, codes: npt.NDArray[np.integer]) -> bytes:
        """``[channels, codebooks, frames]``, each code within its table, to bytes.

        Raises:
            ValueError: more codebooks than tables, or a code outside its table.
        """
        if codes.shape[1] > self.codebooks:
            raise ValueError(f"{codes.shape[1]} codebooks, but tables for {self.codebooks}")
        if not 0 <= codes.min() <= codes.max() < self.size:
            raise ValueError(f"codes from {codes.min()} to {codes.max()}, but tables of {self.size}")
        encoder = stream.queue.RangeEncoder()
        for model, row in zip(self._models, codes.swapaxes(0, 1)):
            encoder.encode(np.ascontiguousarray(row, np.int32).reshape(-1), model)
        return encoder.get_compressed().astype("<u4").tobytes()

    def decode(self, data: bytes, channels: int, codebooks: int, frames: int) -> Codes:
        """Inverse of :meth:`encode`. Whatever the bytes, the codes are within their tables.

        Raises:
            ValueError: no bytes that :meth:`encode` could have made, as far as can be told.
        """
        if codebooks > self.codebooks:
            raise ValueError(f"{codebooks} codebooks, but tables for {self.codebooks}")
        if len(data) % WORD_BYTES or len(data) > max_payload_bytes(channels * codebooks * frames):
            raise ValueError(f"{len(data)} bytes")
        decoder = stream.queue.RangeDecoder(np.frombuffer(data, "<u4").astype(np.uint32))
        codes = np.empty((codebooks, channels * frames), np.int64)
        try:
            for row, model in zip(codes, self._models):
                row[:] = decoder.decode(model, row.size)
        except AssertionError as error:  # a number past the end of the last interval
            raise ValueError("not a range code") from error
        if not decoder.maybe_exhausted():
            raise ValueError("more bytes than codes")
        return codes.reshape(codebooks, channels, frames).swapaxes(0, 1)
