"""Rate control: streams keep to their bit rate, and important codes are sent first."""

import numpy as np
import pytest
import torch

from codec.bitstream.codes import NO_CODE, CodesWithImportance
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


def total(control: RateControl, parts: list[CodesWithImportance]) -> float:
    """Bits of all packets."""
    found = np.concatenate([*map(control.push, parts), control.flush()], 2)
    return sum(cost(found[..., at : at + 64]) for at in range(0, found.shape[2], 64))


@pytest.mark.parametrize("kbps", [1.5, 3.0, 6.0])
@pytest.mark.parametrize("seed", range(6))
def test_long_streams_have_the_rate_asked_for(kbps, seed):
    control = RateControl(kbps, 50, 64, cost)
    bits = total(control, make_packets(30 + 10 * seed, seed))
    assert 0.97 <= bits / (1000 * kbps * (30 + 10 * seed)) <= 1.03


@pytest.mark.parametrize("seconds", [0.1, 0.5, 2, 5])
def test_short_streams_are_at_most_a_little_above_their_rate(seconds):
    for seed in range(10):
        control = RateControl(3.0, 50, 64, cost)
        bits = total(control, make_packets(seconds, seed))
        assert bits <= 1.021 * 3000 * seconds


def test_all_codes_are_sent_if_they_cost_less_than_the_target():
    control = RateControl(20.0, 50, 64, cost)
    parts = make_packets(10, 0)
    found = np.concatenate([*map(control.push, parts), control.flush()], 2)
    np.testing.assert_array_equal(found, CodesWithImportance.join(parts).codes)


def test_codes_of_high_importance_are_sent_first():
    control = RateControl(3.0, 50, 64, cost)
    parts = make_packets(20, 1)
    found = np.concatenate([*map(control.push, parts), control.flush()], 2)
    for at, packet in zip(range(0, found.shape[2], 64), parts):
        used = found[..., at : at + 64] != NO_CODE
        if used.any() and not used.all():
            assert packet.importances[used].min() >= packet.importances[~used].max()


@pytest.mark.parametrize("frames_each", [1, 7, 100, 3000])
def test_pieces_get_the_same_codes_as_a_whole(frames_each):
    whole, pieces = (RateControl(3.0, 50, 64, cost) for _ in range(2))
    first = np.concatenate([*map(whole.push, make_packets(20, 2)), whole.flush()], 2)
    second = np.concatenate([*map(pieces.push, make_packets(20, 2, frames_each)), pieces.flush()], 2)
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
