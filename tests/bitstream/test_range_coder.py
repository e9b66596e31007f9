"""The range coder against an implementation of docs/bitstream.md in whole numbers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream.header import max_payload_bytes
from tests.helpers.bitstreams import (
    CODER,
    coder_of,
    decode_by_the_book,
    encode_by_the_book,
    skewed_tables,
)

shapes = st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 40))


@given(shapes, st.integers(2, 300), st.sampled_from([0.0, 1.0, 4.0, 40.0]), st.booleans(), st.integers(0, 2**32))
@settings(deadline=None)
def test_range_coder_is_as_documented(shape, size, skew, likely, seed):
    """Codes as likely as their tables say, or all alike, which needs long payloads and carries."""
    frequencies, rng = skewed_tables(shape[1], size, skew, seed), np.random.default_rng(seed)
    pick = lambda row: rng.choice(size, (shape[0], shape[2]), p=row / row.sum() if likely else None)  # noqa: E731
    codes = np.stack([pick(row) for row in frequencies], 1)
    data = coder_of(frequencies).encode(codes)
    np.testing.assert_array_equal(coder_of(frequencies).decode(data, *shape), codes)
    order = [int(code) for codebook in range(shape[1]) for code in codes[:, codebook].ravel()]
    used = [row.tolist() for row in frequencies for _ in range(shape[0] * shape[2])]
    assert encode_by_the_book(list(zip(used, order))) == data
    assert decode_by_the_book(data, used) == order
    assert 4 <= len(data) <= max_payload_bytes(codes.size)


@pytest.mark.parametrize("ends", [(1, 0), (0, 1)])
def test_extreme_tables(ends):
    """A code that costs 24 bits, next to one that costs next to nothing: no payload is longer than is allowed for."""
    frequencies = np.full((1, 2), 1)
    frequencies[0, ends[0]] = (1 << 24) - 1
    coder = coder_of(frequencies)
    for codes in (np.full((1, 1, 255), ends[0]), np.full((1, 1, 255), ends[1]), np.arange(255).reshape(1, 1, -1) % 2):
        data = coder.encode(codes)
        np.testing.assert_array_equal(coder.decode(data, 1, 1, 255), codes)
        assert decode_by_the_book(data, frequencies.tolist() * 255) == codes.ravel().tolist()
        assert len(data) <= max_payload_bytes(255)


def test_the_most_likely_codes_are_read_however_short_their_payload():
    """The limit on codes per byte, which depends on the tables, refuses nothing that an encoder writes."""
    tables = skewed_tables(4, 50, 3.0)
    codes = np.broadcast_to(tables.argmax(1)[:, None], (30, 4, 255)).copy()
    data = coder_of(tables).encode(codes)
    np.testing.assert_array_equal(coder_of(tables).decode(data, 30, 4, 255), codes)
    with pytest.raises(ValueError):
        coder_of(tables).decode(data[: len(data) // 8 * 4], 30, 4, 255)


@pytest.mark.parametrize("size, skew", [(2, 0.0), (1000, 0.0), (1024, 0.0), (1024, 1.0), (1024, 3.0), (6561, 1.0)])
def test_payloads_are_as_short_as_the_information_allows(size, skew):
    frequencies = skewed_tables(4, size, skew)
    rng = np.random.default_rng(1)
    codes = np.stack([rng.choice(size, (2, 64), p=row / row.sum()) for row in frequencies], 1)
    bits = sum((24 - np.log2(row))[codes[:, i]].sum() for i, row in enumerate(frequencies))
    assert bits / 8 <= len(coder_of(frequencies).encode(codes)) <= 1.01 * bits / 8 + 8


def test_codes_and_bytes_that_do_not_fit_are_refused():
    for wrong in (-1, 1000, 1 << 33):
        with pytest.raises(ValueError):
            CODER.encode(np.full((1, 3, 2), wrong))
    with pytest.raises(ValueError):
        CODER.encode(np.zeros((1, 4, 2), np.int64))
    for wrong in ([[1 << 23, 1 << 22]], [[1 << 24, 0]], [[(1 << 24) + 1, -1]]):
        with pytest.raises(ValueError):
            coder_of(np.array(wrong))
    data = CODER.encode(np.full((1, 3, 8), 7))
    for wrong in (data + b"\0", data[:-1], data + bytes(400), bytes(4) + data, data + data, b"\xff" * len(data)):
        with pytest.raises(ValueError):
            CODER.decode(wrong, 1, 3, 8)


@given(st.binary(max_size=200), st.integers(1, 4), st.integers(1, 3), st.integers(1, 70))
@settings(deadline=None, max_examples=1000)
def test_any_bytes_decode_to_codes_in_range_or_an_error(data, channels, codebooks, frames):
    try:
        codes = CODER.decode(data, channels, codebooks, frames)
    except ValueError:
        return
    assert codes.shape == (channels, codebooks, frames) and 0 <= codes.min() and codes.max() < 1000
