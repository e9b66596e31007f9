"""Adversarial losses against their formulas; gradients and learning of the discriminator."""

from itertools import product

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.losses.adversarial import discriminator_loss, feature_matching, generator_loss
from codec.losses.discriminators import WINDOWS, BandSTFTDiscriminator
from tests.helpers.tensors import noise_tensor

KINDS = ("least_squares", "hinge", "bce")
UNEQUAL = ((4, 1, 9, 3), (4, 1, 17), (2, 30))


def several(seed: int) -> list[Tensor]:
    return [noise_tensor(*shape, seed=seed + place, level=2.0) for place, shape in enumerate(UNEQUAL)]


def make_discriminator(width: int = 8, seed: int = 0) -> BandSTFTDiscriminator:
    torch.manual_seed(seed)
    return BandSTFTDiscriminator(width)


# --- losses -------------------------------------------------------------------------------------------------


def reference_loss(kind: str, logits: Tensor, real: bool) -> Tensor:
    wanted = torch.full_like(logits, float(real))
    if kind == "least_squares":
        return F.mse_loss(logits, wanted)
    if kind == "hinge":
        return F.relu(1 - logits * (2 * wanted - 1)).mean()
    return F.binary_cross_entropy(logits.sigmoid(), wanted)


@pytest.mark.parametrize("kind", KINDS)
def test_losses_are_the_published_ones_with_equal_weights_of_the_discriminators(kind):
    real, fake = several(0), several(10)
    expected = sum(reference_loss(kind, r, True) + reference_loss(kind, f, False) for r, f in zip(real, fake)) / 3
    torch.testing.assert_close(discriminator_loss(kind, real, fake), expected)
    passes = sum(-f.mean() if kind == "hinge" else reference_loss(kind, f, True) for f in fake) / 3
    torch.testing.assert_close(generator_loss(kind, fake), passes)


@pytest.mark.parametrize("kind, ideal", list(zip(KINDS, [(1, 0), (1.5, -1.5), (30, -30)])))
def test_a_perfect_discriminator_has_no_loss_and_a_fooled_one_has(kind, ideal):
    right, wrong = ([torch.full(shape, float(value)) for shape in UNEQUAL] for value in ideal)
    assert discriminator_loss(kind, right, wrong) == pytest.approx(0, abs=1e-6)
    assert discriminator_loss(kind, wrong, right) > 1
    assert generator_loss(kind, right) < generator_loss(kind, wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_discriminator_and_generator_have_opposite_signs(kind):
    real, fake = ([torch.zeros(shape, requires_grad=True) for shape in UNEQUAL] for _ in range(2))
    for gradient in torch.autograd.grad(discriminator_loss(kind, real, fake), real):
        assert (gradient < 0).all()
    half = [torch.full(shape, 0.5, requires_grad=True) for shape in UNEQUAL]
    for gradient in torch.autograd.grad(discriminator_loss(kind, real, half), half):
        assert (gradient > 0).all()
    for gradient in torch.autograd.grad(generator_loss(kind, half), half):
        assert (gradient < 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_losses_of_confident_mistakes_are_finite_in_any_precision(kind):
    for size, dtype in product((100.0, 1e4), (torch.bfloat16, torch.float16)):
        logits = [torch.full((2, 5), size, dtype=dtype, requires_grad=True)]
        loss = discriminator_loss(kind, [-logits[0]], logits) + generator_loss(kind, [-logits[0]])
        assert loss.dtype == torch.float32 and loss.isfinite() and loss > 100


def test_feature_matching_is_the_relative_difference():
    real = several(0)
    assert feature_matching(real, [r.clone() for r in real]) == 0
    for change in (-1.0, 0.5, 1.25):
        found = feature_matching(real, [change * r for r in real])
        assert found.item() == pytest.approx(abs(change - 1), rel=1e-5)
    fake = several(10)
    expected = sum(F.l1_loss(f, r) / r.abs().mean() for r, f in zip(real, fake)) / 3
    torch.testing.assert_close(feature_matching(real, fake), expected)
    # layers count equally, whatever the scale of their features
    scaled = [[100.0**place * x for place, x in enumerate(features, -1)] for features in (real, fake)]
    torch.testing.assert_close(feature_matching(*scaled), expected)


def test_feature_matching_has_gradients_for_fake_features_alone():
    real, fake = ([x.requires_grad_() for x in several(seed)] for seed in (0, 10))
    feature_matching(real, fake).backward()
    assert all(x.grad is None for x in real) and all((x.grad != 0).all() for x in fake)
    silent = [torch.zeros_like(x) for x in real]
    assert feature_matching(silent, silent) == 0


# --- the discriminator --------------------------------------------------------------------------------------


def test_the_number_of_parameters_is_as_documented():
    parameters = sum(p.numel() for p in make_discriminator(32).parameters())
    assert parameters == pytest.approx(0.69e6, rel=0.01)


@pytest.mark.parametrize("samples", [1025, 4000, 44100])
def test_every_window_judges_every_frame(samples):
    judgement = make_discriminator()(noise_tensor(2, 1, samples))
    assert [logits.shape[:3] for logits in judgement.logits] == [
        (2, 1, 1 + samples // (window // 4)) for window in WINDOWS
    ]
    assert all(logits.isfinite().all() and logits.std() > 0 for logits in judgement.logits)
    assert len(judgement.features) == 3 * 4 * 3  # windows, bands, layers
    assert all(feature.isfinite().all() for feature in judgement.features)


def test_waveforms_shorter_than_half_a_window_are_judged():
    judgement = make_discriminator()(noise_tensor(2, 1, 400))
    assert all(logits.isfinite().all() for logits in judgement.logits)


def test_items_of_a_batch_are_independent():
    discriminator, wave = make_discriminator(), noise_tensor(3, 1, 4000)
    together = discriminator(wave)
    alone = [discriminator(item[None]) for item in wave]
    for place, logits in enumerate(together.logits):
        torch.testing.assert_close(logits, torch.cat([one.logits[place] for one in alone]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_a_gradient(kind):
    discriminator = make_discriminator()
    real, fake = (discriminator(noise_tensor(2, 1, 4000, seed=seed)) for seed in (0, 1))
    discriminator_loss(kind, real.logits, [0.5 * logits for logits in fake.logits]).backward()
    assert all(p.grad.isfinite().all() and p.grad.any() for p in discriminator.parameters())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_gradients_reach_the_waveform(kind, level):
    discriminator = make_discriminator()
    wave = (noise_tensor(1, 1, 4000, level=level)).requires_grad_()
    fake, real = discriminator(wave), discriminator(noise_tensor(1, 1, 4000, seed=1))
    for loss in (generator_loss(kind, fake.logits), feature_matching(real.features, fake.features)):
        (gradient,) = torch.autograd.grad(loss, wave, retain_graph=True)
        assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.9


def tones(batch: int, seed: int) -> Tensor:
    place, phase = torch.rand(2, batch, 1, 1, generator=torch.Generator().manual_seed(seed))
    return 0.14 * torch.sin(2 * torch.pi * ((200 + 3000 * place) * torch.arange(2048) / 16000 + phase))


@pytest.mark.parametrize("kind", KINDS)
def test_the_discriminator_learns_to_tell_tones_from_noise(kind):
    discriminator = make_discriminator()
    optimizer = torch.optim.Adam(discriminator.parameters(), 0.01)

    def loss(seed: int) -> Tensor:
        real, fake = discriminator(tones(4, seed)), discriminator(noise_tensor(4, 1, 2048, seed=seed))
        return discriminator_loss(kind, real.logits, fake.logits)

    with torch.no_grad():
        untrained = loss(1000)
    for step in range(30):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
    with torch.no_grad():
        assert loss(1000) < 0.5 * untrained
        judgements = (discriminator(wave) for wave in (tones(16, 1001), noise_tensor(16, 1, 2048, seed=1001)))
        for real, fake in zip(*(judgement.logits for judgement in judgements)):
            assert real.mean((1, 2, 3)).min() > fake.mean((1, 2, 3)).max()
