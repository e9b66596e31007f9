"""Context classes, and variable numbers of codes, against docs/bitstream.md."""

import numpy as np
import pytest
import torch
from constriction import stream
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream.codes import NO_CODE
from codec.bitstream.header import max_payload_bytes
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.tables import PRECISION
from codec.model.frequency_tables import FrequencyTables, to_frequencies

BOOKS, SIZE, CLASSES = 4, 9, 5


def random_tables(seed: int = 0) -> FrequencyTables:
    """Return tables with scores of any kind, ties among them."""
    generator = torch.Generator().manual_seed(seed)
    tables = FrequencyTables(BOOKS, SIZE, CLASSES)
    for table in (tables.frequencies, tables.counts, tables.shares):
        table.copy_(to_frequencies(torch.randn(table.shape, generator=generator).mul(2).exp().double()))
    for scores in (tables.votes, tables.count_votes):
        scores.copy_(torch.randint(-4, 4, scores.shape, generator=generator))
    return tables


CONTEXT_TABLES = random_tables()
CONTEXT_CODER = RangeCoder(CONTEXT_TABLES.to_numpy())


def random_codes(channels: int, codebooks: int, frames: int, variable: bool, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    codes = rng.integers(SIZE, size=(channels, codebooks, frames))
    if variable:
        counts = rng.integers(codebooks + 1, size=(channels, frames))
        codes[np.arange(codebooks)[:, None] >= counts[:, None]] = NO_CODE
    return codes


def symbols_by_the_book(codes: np.ndarray, variable: bool) -> list[tuple[np.ndarray, int]]:
    """Every table and symbol in the order of docs/bitstream.md, one after the other."""
    channels, codebooks, frames = codes.shape
    counts = (codes != NO_CODE).sum(1)
    at = lambda row, t: int(row[t]) if 0 <= t < frames else -1  # noqa: E731
    found = []
    if variable:
        for row in counts:
            found += [(CONTEXT_TABLES.counts[at(row, t - 1)].numpy(), int(row[t])) for t in range(frames)]
    for k in range(codebooks):
        rows = []
        for c in range(channels):
            first = codes[c, 0]
            mean = int(np.floor(counts[c].mean() + 0.5))
            for t in range(frames):
                if codes[c, k, t] == NO_CODE:
                    continue
                numbers = [at(counts[c], t - 1), counts[c, t], at(counts[c], t + 1), mean] if variable else [-1] * 4
                near = [at(first, t - 1), at(first, t - 2), -1, -1]
                if k:
                    near = [at(first, t - 1), first[t], at(first, t + 1), codes[c, k - 1, t]]
                scores = np.zeros(CLASSES, int)
                for feature in range(4):
                    if k or feature < 2:
                        scores += CONTEXT_TABLES.votes[k, feature, near[feature]].numpy()
                    scores += CONTEXT_TABLES.count_votes[k, feature, numbers[feature]].numpy()
                rows.append((int(scores.argmax()), int(codes[c, k, t])))
        if k:
            rows.sort(key=lambda row: row[0])
        found += [(CONTEXT_TABLES.frequencies[k, group].numpy(), code) for group, code in rows]
    return found


shapes = st.tuples(st.integers(1, 3), st.integers(1, BOOKS), st.integers(1, 40))


@given(shapes, st.booleans(), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_context_classes_are_as_documented(shape, variable, seed):
    codes = random_codes(*shape, variable, seed)
    symbols = symbols_by_the_book(codes, variable)
    bits = sum(PRECISION - np.log2(table[symbol]) for table, symbol in symbols)
    assert CONTEXT_CODER.bits(codes, variable) == pytest.approx(bits)
    data = CONTEXT_CODER.encode(codes, variable)
    np.testing.assert_array_equal(CONTEXT_CODER.decode(data, *shape, variable), codes)
    assert len(data) <= max_payload_bytes(shape[0] * (shape[1] + variable) * shape[2])
    assert bits / 8 - 1 <= len(data) <= bits / 8 + 12
    # the same symbols under the same tables, by a coder without contexts
    encoder = stream.queue.RangeEncoder()
    for table, symbol in symbols:
        encoder.encode(symbol, stream.model.Categorical(table.astype(np.float64) - 1, perfect=False))
    assert encoder.get_compressed().astype("<u4").tobytes() == data


@given(st.binary(max_size=120), shapes, st.booleans())
@settings(deadline=None, max_examples=500)
def test_any_bytes_are_codes_or_an_error(data, shape, variable):
    try:
        codes = CONTEXT_CODER.decode(data, *shape, variable)
    except ValueError:
        return
    present = codes != NO_CODE
    assert codes.shape == shape and codes.max(initial=0) < SIZE
    assert (present[:, :-1] | ~present[:, 1:]).all() and (variable or present.all())


def test_codes_after_an_absent_one_are_refused():
    with pytest.raises(ValueError):
        CONTEXT_CODER.encode(np.array([[[NO_CODE], [0]]]), variable=True)
    with pytest.raises(ValueError):
        CONTEXT_CODER.encode(np.full((1, 2, 3), NO_CODE))
    with pytest.raises(ValueError):
        RangeCoder(FrequencyTables(2, 4).to_numpy()).encode(np.zeros((1, 2, 3), int), variable=True)


def test_silence_is_read_however_short_its_payload():
    """The limit on frames per byte refuses nothing that an encoder writes."""
    tables = random_tables()
    shares = torch.full(tables.counts.shape, 0.01, dtype=torch.float64)
    shares[:, 0] = 1
    tables.counts.copy_(to_frequencies(shares))
    coder, codes = RangeCoder(tables.to_numpy()), np.full((200, BOOKS, 255), NO_CODE)
    data = coder.encode(codes, True)
    assert 350 < len(data) < 380  # 0.06 bits for each of 51,000 frames
    np.testing.assert_array_equal(coder.decode(data, 200, BOOKS, 255, True), codes)
    with pytest.raises(ValueError):
        coder.decode(data[: len(data) // 8 * 4], 200, BOOKS, 255, True)


@given(shapes, st.booleans(), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_packets_are_coded_together_as_one_by_one(shape, variable, seed):
    """Whatever is damaged: bits, a length, or nothing."""
    rng = np.random.default_rng(seed)
    payloads = []
    for number in range(7):
        codes = random_codes(*shape, variable, seed + number)
        data = bytearray(CONTEXT_CODER.encode(codes, variable))
        if damage := number % 3:
            data[rng.integers(len(data))] ^= 1 << rng.integers(8)
        payloads.append((codes, bytes(data) + bytes(4 * (damage == 2))))
    encoded = CONTEXT_CODER.encode_packets([codes for codes, _ in payloads], variable)
    assert [data for (_, data), whole in zip(payloads, encoded) if data == whole] == encoded[::3]
    together = CONTEXT_CODER.decode_packets([data for _, data in payloads], *shape, variable)
    for number, ((codes, data), found) in enumerate(zip(payloads, together)):
        try:
            alone = CONTEXT_CODER.decode(data, *shape, variable)
        except ValueError as error:
            assert isinstance(found, ValueError) and str(found) == str(error) and number % 3
            continue
        np.testing.assert_array_equal(found, alone)
        assert number % 3 or np.array_equal(found, codes)
