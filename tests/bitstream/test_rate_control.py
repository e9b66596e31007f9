"""Rate control: streams keep to their bit rate, and important codes are sent first."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codec.bitstream.codes import NO_CODE, CodesWithImportance
from codec.bitstream.file_layout import FileLayout
from codec.bitstream.rate_control import RateControl


def make_packets(seconds: float, seed: int, frames_each: int = 64) -> list[CodesWithImportance]:
    """Return packets like those of speech: loud and silent stretches, 50 frames per second, 24 codebooks."""
    generator = torch.Generator().manual_seed(seed)
    frames = round(50 * seconds)
    level = torch.nn.functional.interpolate(
        torch.randn(1, 1, frames // 40 + 2, generator=generator) * 2, frames, mode="linear"
    )[0]
    importance = (level + 0.2 * torch.randn(1, frames, generator=generator))[:, None] - 0.3 * torch.arange(24)[:, None]
    codes = torch.randint(1024, importance.shape, generator=generator)
    *whole, last = CodesWithImportance(codes.numpy(), importance.exp().numpy()).split_frames(frames_each)
    return [*whole, last] if last.codes.shape[2] else whole


def cost(codes: np.ndarray) -> float:
    return 9.0 * float((codes != NO_CODE).sum()) + 3 * codes.shape[2]


LAYOUT = FileLayout(64, packet_bits=50, start_bits=200, short_frames=160, short_bits=176, held_frames=160)
TAGGED = replace(LAYOUT, short_frames=0)
LIVE = FileLayout(1, packet_bits=16, start_bits=540, carried_s=3)


def chosen(control: RateControl, parts: list[CodesWithImportance]) -> np.ndarray:
    frames = sum(part.codes.shape[2] for part in parts)
    return np.concatenate([*map(control.push, parts), control.flush(frames / 50)], 2)


def total(codes: np.ndarray, layout: FileLayout) -> float:
    """Bits of a whole file or stream."""
    frames, size = codes.shape[2], layout.packet_frames
    if frames <= layout.short_frames:
        return cost(codes) + layout.short_bits
    starts = range(0, frames, size)
    return layout.start_bits + sum(cost(codes[..., at : at + size]) + layout.packet_bits for at in starts)


@pytest.mark.parametrize("kbps", [1.5, 3.0, 6.0])
@pytest.mark.parametrize("layout", [LAYOUT, TAGGED], ids=["plain", "tagged"])
@pytest.mark.parametrize("seconds", [1, 2, 3, 3.3, 4, 10, 33])
def test_files_have_the_rate_asked_for(kbps, layout, seconds):
    for seed in range(4):
        codes = chosen(RateControl(kbps, 50, layout, cost), make_packets(seconds, seed))
        assert codes.shape[2] == round(50 * seconds)
        assert total(codes, layout) == pytest.approx(1000 * kbps * seconds, rel=0.01)


@pytest.mark.parametrize("kbps", [2.5, 6.0])
def test_streams_have_the_rate_asked_for_all_the_time(kbps):
    for seed in range(3):
        codes = chosen(RateControl(kbps, 50, LIVE, cost), make_packets(40, seed))
        for seconds in (10, 15, 25, 40):
            bits = total(codes[..., : 50 * seconds], LIVE)
            assert 0.975 * seconds - 0.2 <= bits / (1000 * kbps) <= 1.021 * seconds


def steady_packets(seconds: int, seed: int = 0) -> CodesWithImportance:
    """Return codes whose importances have the same distribution in all frames."""
    rng = np.random.default_rng(seed)
    importances = np.exp(0.5 * rng.standard_normal((1, 1, 50 * seconds)) - 0.3 * np.arange(24)[:, None])
    return CodesWithImportance(rng.integers(0, 1024, importances.shape), importances.astype(np.float32))


def codes_per_second(codes: np.ndarray) -> np.ndarray:
    return (codes != NO_CODE).sum((0, 1)).reshape(-1, 50).sum(1)


@pytest.mark.parametrize("kbps", [1.5, 3.0, 6.0])
@pytest.mark.parametrize("layout", [LAYOUT, LIVE], ids=["file", "live"])
def test_a_steady_sound_has_steady_codes(kbps, layout):
    """No swings: the codes of a second vary little more than with the one threshold that has the same rate."""
    kbps += 1.0 * (layout is LIVE)
    packets = steady_packets(600)
    sent = codes_per_second(chosen(RateControl(kbps, 50, layout, cost), [packets]))[30:]
    fixed = np.quantile(packets.importances, 1 - sent.mean() / 50 / 24)
    assert sent.std() < 1.3 * codes_per_second(packets.keep_above(fixed)).std() + 2


def after_silence(layout: FileLayout, silent_s: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes per second of a steady sound, and those after digital silence within it."""
    before, silence, after = (steady_packets(length, seed) for seed, length in enumerate((40, silent_s, 120)))
    silence = CodesWithImportance(silence.codes, np.zeros_like(silence.importances))
    codes = chosen(RateControl(3.0, 50, layout, cost), [before, silence, after])
    assert (codes[..., 50 * 40 : 50 * (40 + silent_s)] == NO_CODE).all()
    sent = codes_per_second(codes)
    return sent[10:40], sent[40 + silent_s :]


def test_what_silence_saved_is_spent_within_seconds_in_a_stream_and_files_go_on_as_before():
    before, after = after_silence(LIVE, 120)
    assert after.max() < 1.6 * before.mean() and after[20:].max() < 1.2 * before.mean()
    assert 2 * 3000 < 9 * (after[:20] - before.mean()).sum() < 4 * 3000
    before, after = after_silence(LAYOUT, 60)
    saved = (after - before.mean()).cumsum()
    assert saved.max() > 40 * before.mean()  # the file has the rate asked for
    spent = np.flatnonzero(saved > 0.95 * saved[-10])[0] + 5
    assert after[spent:-10].std() < 0.15 * before.mean()
    assert after[spent:-10].mean() == pytest.approx(before.mean(), rel=0.15)


def test_files_shorter_than_their_header_have_codes():
    codes = chosen(RateControl(1.5, 50, LAYOUT, cost), make_packets(0.3, 0))
    assert 0.74 * 450 <= cost(codes) <= 0.76 * 450


def test_a_loud_end_of_a_long_file_keeps_its_codes():
    packets = make_packets(300, 0)
    for index, packet in enumerate(packets):
        if (len(packets) - index) * 64 < 10 * 50:
            packets[index] = CodesWithImportance(packet.codes, 10 * packet.importances)
    codes = chosen(RateControl(3.0, 50, LAYOUT, cost), packets)
    sent = (codes != NO_CODE).sum((0, 1))
    assert sent[-200:].reshape(2, 100).mean(1).min() > 0.4 * sent.mean()
    assert total(codes, LAYOUT) == pytest.approx(1000 * 3.0 * 300, rel=0.03)


@pytest.mark.parametrize(("frames", "seconds", "kbps"), [(4, 0.06, 1.0), (3, 0.04, 1.5), (2, 0.01, 3.0), (6, 0.1, 1.0)])
@pytest.mark.parametrize("layout", [LAYOUT, TAGGED], ids=["plain", "tagged"])
def test_the_shortest_sounds_have_codes(frames, seconds, kbps, layout):
    def rounded(codes: np.ndarray) -> float:
        return cost(codes) + 16

    for seed in range(4):
        control = RateControl(kbps, 50, layout, rounded)
        control.push(CodesWithImportance.join(make_packets(frames / 50, seed)))
        assert (control.flush(seconds) != NO_CODE).any()


def test_all_codes_are_sent_if_they_cost_less_than_the_target():
    parts = make_packets(10, 0)
    found = chosen(RateControl(20.0, 50, LAYOUT, cost), parts)
    np.testing.assert_array_equal(found, CodesWithImportance.join(parts).codes)


def test_codes_of_high_importance_are_sent_first():
    parts = make_packets(20, 1)
    found = chosen(RateControl(3.0, 50, LAYOUT, cost), parts)
    for at, packet in zip(range(0, found.shape[2], 64), parts):
        used = found[..., at : at + 64] != NO_CODE
        if used.any() and not used.all():
            assert packet.importances[used].min() >= packet.importances[~used].max()


@pytest.mark.parametrize("frames_each", [1, 7, 100, 3000])
@pytest.mark.parametrize("layout", [LAYOUT, LIVE], ids=["file", "live"])
def test_pieces_get_the_same_codes_as_a_whole(frames_each, layout):
    whole, pieces = (RateControl(3.0, 50, layout, cost) for _ in range(2))
    first = chosen(whole, make_packets(20, 2))
    np.testing.assert_array_equal(first, chosen(pieces, make_packets(20, 2, frames_each)))


def test_packets_depend_only_on_a_limited_time_ahead():
    """A stream gets its codes at once, a file two and a half packets later, whatever follows."""
    parts = make_packets(20, 2, 50)
    for layout, ahead in ((LIVE, 0), (LAYOUT, 160)):
        control, sent = RateControl(3.0, 50, layout, cost), 0
        for number, part in enumerate(parts, 1):
            sent += control.push(part).shape[2]
            kept = 50 * number - sent
            assert kept <= ahead and (kept > ahead - layout.packet_frames or not sent)


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
        codes = chosen(RateControl(100.0, 50, LAYOUT, cost), [coded])
        assert [frame for frame in range(codes.shape[2]) if (codes[0, :, frame] == NO_CODE).all()] == silent
        assert (codes[0].T[[*range(20), 50]] != NO_CODE).all()
    decoded = codec.decode(torch.from_numpy(codes), wave.shape[-1])[0, 0]
    assert decoded[30 * latent_hop : 49 * latent_hop - hop].abs().max() < 1e-3
