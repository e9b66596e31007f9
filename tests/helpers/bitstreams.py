"""Small ``.nac`` files, and the coder of docs/bitstream.md in plain whole numbers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from codec.bitstream.file_start import start_bytes
from codec.bitstream.header import Header
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.writer import PacketWriter
from codec.model.frequency_tables import FrequencyTables

HEADER = Header(
    fingerprint="0123456789abcdef",
    sample_rate=22050,
    channels=2,
    model_rate=16000,
    latent_hop=320,
    codebooks=3,
    bits_per_code=10,
    packet_frames=8,
)
HEADER_BYTES = len(start_bytes(HEADER))
"""Size of the header of a file of more than 20 frames, without tags."""

WORD = 1 << 32


def skewed_tables(codebooks: int, size: int, skew: float, seed: int = 0) -> np.ndarray:
    """Return random frequencies; ``skew`` 0 makes them uniform, 10 gives almost everything to a few codes."""
    shares = np.exp(skew * np.random.default_rng(seed).standard_normal((codebooks, size)))
    fitted = FrequencyTables(codebooks, size)
    fitted.fit(torch.from_numpy((1e5 * shares / shares.sum(1, keepdims=True)).astype(np.int64)))
    return fitted.frequencies.numpy()


def coder_of(frequencies: np.ndarray) -> RangeCoder:
    module = FrequencyTables(*frequencies.shape)
    module.frequencies.copy_(torch.from_numpy(frequencies))
    return RangeCoder(module.to_numpy())


TABLES = skewed_tables(3, 1000, 2.0)
CODER = coder_of(TABLES)


def encode_by_the_book(codes: list[tuple[list[int], int]]) -> bytes:
    """Encode pairs of a table and a code by the document, in whole numbers of any size."""
    written, lower, span, shifts = 0, 0, 2**64 - 1, 0  # ``lower`` with all carries, ``shifts`` words ago
    for table, code in codes:
        scale = span >> 24
        lower, span = lower + scale * sum(table[:code]), scale * table[code]
        if span < WORD:
            lower, span, shifts = lower << 32, span << 32, shifts + 1
    point = (lower + WORD - 1) >> 32
    written = point
    words = shifts + 1
    if (lower + span) >> 32 == point:
        written, words = written << 32, words + 1
    return b"".join((written >> 32 * i & WORD - 1).to_bytes(4, "little") for i in reversed(range(words)))


def decode_by_the_book(payload: bytes, per_code: list[list[int]]) -> list[int]:
    """Decode by the document, in plain Python; ``per_code`` are the tables of the codes."""
    words = [int.from_bytes(payload[i : i + 4], "little") for i in range(0, len(payload), 4)]
    following = iter(words)
    lower, span = 0, 2**64 - 1
    point = next(following, 0) << 32 | next(following, 0)
    codes = []
    for table in per_code:
        scale = span >> 24
        quantile, code, left = (point - lower) % 2**64 // scale, 0, 0
        assert quantile < 1 << 24
        while quantile >= left + table[code]:
            left, code = left + table[code], code + 1
        codes.append(code)
        lower, span = (lower + scale * left) % 2**64, scale * table[code]
        if span < WORD:
            lower, span, point = (lower << 32) % 2**64, span << 32, (point << 32) % 2**64 | next(following, 0)
    assert next(following, None) is None and (point - lower) % 2**64 < 2 * WORD - 1
    return codes


def samples_for(frames: int) -> int:
    """Return a number of samples that is coded in this number of latent frames."""
    return int((frames - 0.5) * HEADER.latent_hop * HEADER.sample_rate / HEADER.model_rate)


def write_packets(
    path: Path, frames: int, seed: int = 0, header: Header = HEADER, tags: dict | None = None
) -> np.ndarray:
    """Write a file of random codes, in parts of random length, and return the codes. It is short up to 20 frames."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 1000, (header.channels, header.codebooks, frames))
    with PacketWriter(path, header, CODER, tags) as writer:
        cuts = np.sort(rng.integers(0, frames + 1, 4))
        for part in np.split(codes, cuts, axis=2):
            writer.write(part)
        writer.finish(samples_for(frames) if frames else 0)
    return codes


def ends_of(data: bytes, start: int = HEADER_BYTES) -> list[int]:
    """Return the positions of the packets, and of the end of the last one."""
    ends = [start]
    while len(data) - ends[-1] > 16:  # what is shorter is the index
        length = data[ends[-1]] & 127
        two = data[ends[-1]] > 127
        length += (data[ends[-1] + 1] << 7) * two
        ends.append(ends[-1] + 1 + two + length + 4)
    return ends


def read_back(header: Header) -> Header:
    """Return a header as it is read from a file: with the beginning of the fingerprint."""
    return replace(header, fingerprint=header.fingerprint[:8])
