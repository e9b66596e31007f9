"""Classes of context, numbers of codes, and the reservoir that keeps to a bit rate."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream.codes import NO_CODE, CodesWithImportance
from codec.bitstream.header import max_payload_bytes
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.rate_control import RateControl
from codec.bitstream.tables import PRECISION
from codec.model.frequency_tables import FrequencyTables, to_frequencies

BOOKS, SIZE, CLASSES = 4, 9, 5


def random_tables(seed: int = 0) -> FrequencyTables:
    """With votes of any kind, ties among them."""
    generator = torch.Generator().manual_seed(seed)
    tables = FrequencyTables(BOOKS, SIZE, CLASSES)
    for table in (tables.frequencies, tables.counts, tables.shares):
        table.copy_(to_frequencies(torch.randn(table.shape, generator=generator).mul(2).exp().double()))
    for votes in (tables.votes, tables.count_votes):
        votes.copy_(torch.randint(-4, 4, votes.shape, generator=generator))
    return tables


TABLES = random_tables()
CODER = RangeCoder(TABLES.to_numpy())


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
            found += [(TABLES.counts[at(row, t - 1)].numpy(), int(row[t])) for t in range(frames)]
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
                points = np.zeros(CLASSES, int)
                for voter in range(4):
                    if k or voter < 2:
                        points += TABLES.votes[k, voter, near[voter]].numpy()
                    points += TABLES.count_votes[k, voter, numbers[voter]].numpy()
                rows.append((int(points.argmax()), int(codes[c, k, t])))
        if k:
            rows.sort(key=lambda row: row[0])
        found += [(TABLES.frequencies[k, group].numpy(), code) for group, code in rows]
    return found


shapes = st.tuples(st.integers(1, 3), st.integers(1, BOOKS), st.integers(1, 40))


@given(shapes, st.booleans(), st.integers(0, 1 << 30))
@settings(deadline=None, max_examples=60)
def test_contexts_are_what_the_document_says(shape, variable, seed):
    codes = random_codes(*shape, variable, seed)
    symbols = symbols_by_the_book(codes, variable)
    bits = sum(PRECISION - np.log2(table[symbol]) for table, symbol in symbols)
    assert CODER.bits(codes, variable) == pytest.approx(bits)
    data = CODER.encode(codes, variable)
    np.testing.assert_array_equal(CODER.decode(data, *shape, variable), codes)
    assert len(data) <= max_payload_bytes(shape[0] * (shape[1] + variable) * shape[2])
    assert bits / 8 - 1 <= len(data) <= bits / 8 + 12
    # the same symbols under the same tables, by the coder that knows nothing of contexts
    from constriction import stream

    encoder = stream.queue.RangeEncoder()
    for table, symbol in symbols:
        encoder.encode(symbol, stream.model.Categorical(table.astype(np.float64) - 1, perfect=False))
    assert encoder.get_compressed().astype("<u4").tobytes() == data


@given(st.binary(max_size=120), shapes, st.booleans())
@settings(deadline=None, max_examples=500)
def test_any_bytes_are_codes_or_an_error(data, shape, variable):
    try:
        codes = CODER.decode(data, *shape, variable)
    except ValueError:
        return
    present = codes != NO_CODE
    assert codes.shape == shape and codes.max(initial=0) < SIZE
    assert (present[:, :-1] | ~present[:, 1:]).all() and (variable or present.all())


def test_codes_after_an_absent_one_are_refused():
    with pytest.raises(ValueError):
        CODER.encode(np.array([[[NO_CODE], [0]]]), variable=True)
    with pytest.raises(ValueError):
        CODER.encode(np.full((1, 2, 3), NO_CODE))
    with pytest.raises(ValueError):
        RangeCoder(FrequencyTables(2, 4).to_numpy()).encode(np.zeros((1, 2, 3), int), variable=True)


# --- rate -------------------------------------------------------------------------------------------------------


def packets(seconds: float, seed: int, frames_each: int = 64) -> list[CodesWithImportance]:
    """Speech-like: loud and silent stretches, needs that fall from code to code; 50 frames a second, 24 codes."""
    generator = torch.Generator().manual_seed(seed)
    frames = round(50 * seconds)
    level = torch.nn.functional.interpolate(
        torch.randn(1, 1, frames // 40 + 2, generator=generator) * 2, frames, mode="linear"
    )[0]
    need = (level + 0.2 * torch.randn(1, frames, generator=generator))[:, None] - 0.3 * torch.arange(24)[:, None]
    codes = torch.randint(1024, need.shape, generator=generator)
    *whole, last = CodesWithImportance(codes.numpy(), need.exp().numpy()).split_frames(frames_each)
    return [*whole, last] if last.codes.shape[2] else whole


def cost(codes: np.ndarray) -> float:
    return 9.0 * float((codes != NO_CODE).sum()) + 3 * codes.shape[2]


def total(control: RateControl, parts: list[CodesWithImportance]) -> float:
    """Bits of all packets."""
    found = np.concatenate([*map(control.push, parts), control.flush()], 2)
    return sum(cost(found[..., at : at + 64]) for at in range(0, found.shape[2], 64))


@pytest.mark.parametrize("kbps", [1.5, 3.0, 6.0])
@pytest.mark.parametrize("seed", range(6))
def test_long_streams_have_the_rate_asked_for(kbps, seed):
    control = RateControl(kbps, 50, 64, cost)
    bits = total(control, packets(30 + 10 * seed, seed))
    assert 0.97 <= bits / (1000 * kbps * (30 + 10 * seed)) <= 1.03


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2, 5])
def test_short_streams_are_at_most_a_little_above_their_rate(seconds):
    for seed in range(10):
        control = RateControl(3.0, 50, 64, cost)
        bits = total(control, packets(seconds, seed))
        assert bits <= 1.021 * 3000 * seconds


def test_where_all_codes_are_too_few_all_are_used():
    control = RateControl(20.0, 50, 64, cost)
    parts = packets(10, 0)
    found = np.concatenate([*map(control.push, parts), control.flush()], 2)
    np.testing.assert_array_equal(found, CodesWithImportance.join(parts).codes)


def test_frames_that_need_more_get_more():
    control = RateControl(3.0, 50, 64, cost)
    parts = packets(20, 1)
    found = np.concatenate([*map(control.push, parts), control.flush()], 2)
    for at, packet in zip(range(0, found.shape[2], 64), parts):
        used = found[..., at : at + 64] != NO_CODE
        if used.any() and not used.all():
            assert packet.importances[used].min() >= packet.importances[~used].max()


@pytest.mark.parametrize("frames_each", [1, 7, 100, 3000])
def test_a_stream_and_a_whole_file_get_the_same_codes(frames_each):
    whole, pieces = (RateControl(3.0, 50, 64, cost) for _ in range(2))
    first = np.concatenate([*map(whole.push, packets(20, 2)), whole.flush()], 2)
    second = np.concatenate([*map(pieces.push, packets(20, 2, frames_each)), pieces.flush()], 2)
    np.testing.assert_array_equal(first, second)


def test_digital_silence_has_no_codes(codec):
    """Frames of zeros behind zeros, whatever the pieces; what is decoded there is silence, and the rest is as ever."""
    hop, latent_hop = codec.config.hop, codec.config.latent_hop
    rng = np.random.default_rng(0)
    wave = torch.from_numpy(0.1 * rng.standard_normal((1, 1, 100 * latent_hop), dtype=np.float32))
    wave[..., 20 * latent_hop : 50 * latent_hop] = 0
    wave[..., 60 * latent_hop - hop : 62 * latent_hop] = 0
    wave[..., 70 * latent_hop - hop + 1 : 71 * latent_hop] = 0
    for size in (wave.shape[-1], 999):
        stream = codec.stream_encoder(block=16)
        parts = [part.numpy() for part in wave.split(size, 2)]
        coded = CodesWithImportance.join([*map(stream.push, parts), stream.flush()])
        silent = np.flatnonzero((coded.importances[0] == 0).all(0)).tolist()
        assert silent == [*range(21, 50), 60, 61]
        control = RateControl(100.0, 50, 64, cost)
        codes = np.concatenate([control.push(coded), control.flush()], 2)
        assert [frame for frame in range(codes.shape[2]) if (codes[0, :, frame] == NO_CODE).all()] == silent
        assert (codes[0].T[[*range(20), 50]] != NO_CODE).all()
    decoded = codec.decode(torch.from_numpy(codes), wave.shape[-1])[0, 0]
    assert decoded[30 * latent_hop : 49 * latent_hop - hop].abs().max() < 1e-3
