"""Augmentation: a function of seed and step; each augmentation has its effect and does not change the others."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.config import AugmentConfig
from codec.training import augment as module
from codec.training.augment import AUGMENTATIONS, BatchItems, augment

RATE = 16000
EACH = list(AUGMENTATIONS)
ALL = AugmentConfig(**dict.fromkeys(EACH, 1.0))
HALF = AugmentConfig(**dict.fromkeys(EACH, 0.5))


def noise(*shape: int, level: float = 0.01, seed: int = 0) -> Tensor:
    """Return noise that is quiet enough for no augmentation to reach full scale."""
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def only(name: str, wave: Tensor, share: float = 1.0, seed: int = 0, step: int = 0) -> Tensor:
    return augment(wave, AugmentConfig(**{name: share}), RATE, BatchItems(seed, step, len(wave)))


def touched(after: Tensor, before: Tensor) -> Tensor:
    return (after != before).any(2).any(1)


def level_db(wave: Tensor) -> Tensor:
    return 10 * wave.square().mean((1, 2)).log10()


def gains(after: Tensor, before: Tensor) -> Tensor:
    """Return the complex frequency response of a circular filter for each item."""
    return (torch.fft.rfft(after.double()) / torch.fft.rfft(before.double()))[:, 0]


def within(values: Tensor, bounds: tuple[float, float], slack: float = 0.02) -> bool:
    return bool(bounds[0] - slack < values.min() and values.max() < bounds[1] + slack)


def fills(values: Tensor, bounds: tuple[float, float], slack: float = 0.02) -> bool:
    """Decide whether all values are within the bounds, and some near each of them."""
    values = (values - bounds[0]) / (bounds[1] - bounds[0])
    return within(values, (0, 1), slack) and bool(values.min() < 0.15 and values.max() > 0.85)


# --- what all have in common --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EACH)
def test_the_result_depends_on_seed_and_step_alone(name):
    wave = noise(4, 1, 2000)
    once = only(name, wave, seed=3, step=5)
    only(name, wave, seed=1, step=1)
    assert torch.equal(once, only(name, wave, seed=3, step=5))
    for seed, step in ((3, 6), (4, 5), (5, 3)):
        assert not torch.equal(once, only(name, wave, seed=seed, step=step))


@pytest.mark.parametrize("name", EACH)
def test_another_augmentation_does_not_change_the_draws(name):
    wave = noise(40, 1, 500)
    # what comes before the mix is heard in other items too, which is no draw
    unfit = {name, "mix"} if name in ("equaliser", "reverb") else {name}
    others = {other: 0.5 for other in EACH if other not in unfit}
    spared = ~touched(only(name, wave, 0.5), wave)
    assert 5 < spared.sum() < 35
    without = augment(wave, AugmentConfig(**others), RATE, BatchItems(0, 0, len(wave)))
    with_it = augment(wave, AugmentConfig(**others, **{name: 0.5}), RATE, BatchItems(0, 0, len(wave)))
    assert torch.equal(without[spared], with_it[spared])
    assert not (without[~spared] == with_it[~spared]).all(2).all(1).any()


def test_without_augmentations_the_input_is_returned():
    wave = noise(2, 1, 100)
    assert augment(wave, AugmentConfig(), RATE, BatchItems(0, 0, len(wave))) is wave


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_each_item_is_augmented_with_the_given_probability(share):
    wave, count = noise(600, 1, 50), 600
    chosen = torch.stack([touched(only(name, wave, share), wave) for name in EACH]).double()
    deviation = (share * (1 - share) / count) ** 0.5
    assert (chosen.mean(1) - share).abs().max() < 4.5 * deviation
    assert (torch.corrcoef(chosen) - torch.eye(len(EACH))).abs().max() < 4.5 / count**0.5


def test_a_larger_share_includes_the_items_of_a_smaller_one():
    wave = noise(100, 1, 50)
    for name in EACH:
        some, more = (only(name, wave, share) for share in (0.3, 0.6))
        chosen = touched(some, wave)
        assert torch.equal(some[chosen], more[chosen])


def test_the_input_and_global_random_states_do_not_change():
    wave = noise(4, 2, 2000, level=0.5).clamp(-1, 1)
    before = wave.clone()
    states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    augment(wave, ALL, RATE, BatchItems(0, 0, len(wave)))
    assert torch.equal(wave, before)
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.array_equal(np.random.get_state()[1], states[1]) and random.getstate() == states[2]


@pytest.mark.parametrize("shape", [(3, 1, 4000), (3, 2, 4001), (1, 1, 999), (1, 2, 1), (2, 1, 2)])
@pytest.mark.parametrize("config", [ALL, HALF], ids=["all", "half"])
def test_the_result_has_the_shape_of_the_input_and_stays_within_full_scale(shape, config):
    for step, level in enumerate((0.0, 1e-6, 0.01, 1.0, 100.0)):
        wave = noise(*shape, level=level).clamp(-1, 1)
        wave[0] = 0  # silence beside sound
        out = augment(wave, config, RATE, BatchItems(0, step, len(wave)))
        assert out.shape == wave.shape and out.dtype == torch.float32
        assert out.isfinite().all() and out.abs().max() <= 1


@pytest.mark.parametrize("name", EACH)
def test_silence_stays_silence(name):
    silence = torch.zeros(2, 1, 4000)
    assert torch.equal(only(name, silence), silence)


def test_only_items_that_would_exceed_full_scale_are_scaled():
    wave = noise(50, 1, 200, level=0.5, seed=1).clamp(-1, 1)
    wanted = only("gain", wave / 100) * 100  # the draws are the same
    peaks = wanted.abs().amax((1, 2), keepdim=True)
    assert 5 < (peaks > 1).sum() < 45
    torch.testing.assert_close(only("gain", wave), wanted / peaks.clamp(min=1))


@pytest.mark.parametrize("name", [name for name in EACH if name != "noise"])
def test_all_channels_are_treated_in_the_same_way(name):
    wave = noise(4, 1, 2000).expand(-1, 2, -1)
    out = only(name, wave)
    assert torch.equal(out[:, 0], out[:, 1]) and touched(out, wave).all()


# --- each ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bounds"), [("gain", module.GAIN_DB), ("quiet", module.QUIET_DB)])
def test_gain_changes_the_level_within_its_range(name, bounds):
    wave = noise(200, 1, 300)
    assert fills(level_db(only(name, wave)) - level_db(wave), bounds)


def test_noise_is_uncorrelated_and_coloured_with_levels_in_its_range():
    wave = noise(200, 1, 4000)
    added = only("noise", wave) - wave
    assert fills(level_db(wave) - level_db(added), module.NOISE_SNR_DB)
    stacked = torch.cat([wave, added])[:, 0]
    correlation = torch.corrcoef(stacked) - torch.eye(len(stacked))
    assert correlation.abs().max() < 0.35
    low, high = torch.fft.rfft(added[:, 0]).abs().square().chunk(2, -1)
    tilt_db = 10 * (low.mean(-1) / high.mean(-1)).log10()
    assert tilt_db.std() > 3 and tilt_db.mean().abs() < 2  # white noise: 0.2


def test_mix_adds_one_other_item_at_a_lower_level():
    wave, shifts = noise(8, 1, 4000), set()
    for step in range(20):
        added = only("mix", wave, step=step) - wave
        assert within(level_db(wave) - level_db(added), module.MIX_SNR_DB)
        likeness, other = torch.cosine_similarity(added, wave[:, 0], dim=-1).max(1)
        assert (likeness > 0.999).all()
        (shift,) = {int(place) % 8 for place in torch.arange(8) - other}
        shifts.add(shift)
    assert 0 not in shifts and len(shifts) > 4


@pytest.mark.parametrize("samples", [4000, 4001])
def test_band_limit_keeps_the_band_below_its_edge_alone(samples):
    wave = noise(200, 1, samples)
    gain = gains(only("band_limit", wave), wave)
    assert gain.imag.abs().max() < 1e-3
    share = torch.linspace(0, 1, gain.shape[-1])
    edges = torch.stack([share[(item > 0.99).nonzero().max()] for item in gain.real])
    assert fills(edges, module.BAND_LIMIT_SHARE)
    for item, edge in zip(gain.real, edges):
        assert (item[share < edge] - 1).abs().max() < 0.011
        assert (item[share > edge + 0.102].abs() < 1e-3).all()


def test_equaliser_tilts_smoothly_within_its_range():
    wave = noise(300, 1, 2000)
    gain = gains(only("equaliser", wave), wave)
    assert gain.imag.abs().max() < 1e-2 and (gain.real > 0).all()
    decibel = 20 * gain.real.log10()
    assert decibel.abs().max() < module.EQUALISER_DB + 0.1
    assert 2 < decibel.std() < 5 and decibel.mean().abs() < 0.5
    assert decibel.diff().abs().max() < 0.5  # per 4 Hz


def test_reverb_adds_a_decaying_tail_to_a_click():
    click_at, batch = 400, 60
    wave = torch.zeros(batch, 1, RATE)
    wave[..., click_at] = 0.5
    out = (only("reverb", wave) / 0.5)[:, 0].double()
    assert out[:, :click_at].abs().max() < 1e-6
    late = only("reverb", wave.roll(12000, 2))
    assert late[..., : click_at + 12000].abs().max() < 1e-6  # nor does it wrap round
    longest = round(module.REVERB_S[1] * RATE)
    assert out[:, click_at + longest :].abs().max() < 1e-6
    tail = out[:, click_at + 1 : click_at + longest]
    wet = tail.square().sum(1).sqrt()
    assert fills(wet, module.REVERB_WET)
    assert ((out[:, click_at] - (1 - wet)).abs() < 0.2).all()
    # -60 dB after the reverberation time, from the slope of the first tenth of a second
    time_s = np.arange(RATE // 10) / RATE
    slopes = np.polyfit(time_s, 20 * tail[:, : RATE // 10].abs().clamp(min=1e-9).log10().T.numpy(), 1)[0]
    assert 0.09 < (-60 / slopes).min() < 0.2 and 0.4 < (-60 / slopes).max() < 0.8
    rooms = torch.corrcoef(tail / wet[:, None]) - torch.eye(batch)
    assert rooms.abs().max() < 0.5


@pytest.mark.parametrize("name", list(AUGMENTATIONS))
def test_an_item_is_augmented_alike_in_any_part_of_a_batch(name):
    config = AugmentConfig(**{name: 0.6, "equaliser": 0.5})
    wave = 0.01 * torch.randn(8, 1, 1000, generator=torch.Generator().manual_seed(0))
    whole = augment(wave, config, 16000, BatchItems(3, 4, 8))
    for numbers in ([0, 1, 2], [5], [7, 3]):
        items = BatchItems(3, 4, 8, numbers).with_partners(config)
        part = augment(wave[items.numbers], config, 16000, items)[: len(numbers)]
        torch.testing.assert_close(part, whole[numbers], rtol=1e-5, atol=1e-8)
