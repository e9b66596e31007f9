"""Quantizers: gradients, nearest entries, EMA updates, dead-code restarts, grids and importances."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.bitstream.codes import NO_CODE
from codec.config import QuantizerConfig
from codec.model.quantizers.fsq import ResidualFSQ
from codec.model.quantizers.importance import LEVEL_EXPONENT, importance_thresholds
from codec.model.quantizers.nearest import find_nearest, half_squared_norms
from codec.model.quantizers.rvq import ResidualVQ
from tests.helpers.models import FSQ, NARROW, RVQ, make_codec


@pytest.mark.parametrize("used", [1, 2, 4])
def test_gradient_is_straight_through_for_any_number_of_stages(used):
    """Residuals that carry gradients would add one identity for each stage, or cancel it."""
    torch.manual_seed(3)
    quantizer = ResidualVQ(NARROW).double()
    latent = torch.randn(1, 1, 6, dtype=torch.float64)
    count = torch.tensor([used])
    measured = torch.autograd.functional.jacobian(lambda x: quantizer(x, count).latent[0, 0], latent)[:, 0, 0]
    torch.testing.assert_close(measured, torch.eye(6, dtype=torch.float64))


@pytest.mark.parametrize("used", [1, 2, 4])
def test_commitment_loss_sums_over_the_stages_in_use(used):
    torch.manual_seed(5)
    quantizer = ResidualVQ(NARROW).double()
    latent = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    out = quantizer(latent, torch.full((2,), used))
    _, importances = quantizer.fused().encode(latent, 4)
    present = importances >= importance_thresholds(importances, torch.full((2,), used))
    assert present.sum() == 2 * 3 * used
    decoded = [quantizer.fused().decode(out.codes[:, : stage + 1]) for stage in range(4)]
    errors = [(latent - d) * there[..., None] for d, there in zip(decoded, present.unbind(1))]
    torch.testing.assert_close(out.commitment, sum(error.square().mean() for error in errors))
    (gradient,) = torch.autograd.grad(out.commitment, latent)
    torch.testing.assert_close(gradient, sum(2 * error for error in errors).detach() / latent.numel())


def test_vq_chooses_the_nearest_entry():
    torch.manual_seed(6)
    quantizer = ResidualVQ(NARROW)
    latent = torch.randn(2, 50, 6)
    residual = latent
    for stage, codes in zip(quantizer.stages, quantizer.fused().encode(latent, 4)[0].unbind(1)):
        entries = stage.codebook @ stage.basis
        distances = (residual[:, :, None] - entries).norm(dim=-1)
        torch.testing.assert_close(distances.gather(2, codes[..., None])[..., 0], distances.amin(-1))
        residual = residual - entries[codes]


@pytest.mark.parametrize("size", [2, 31, 48, 1024])
def test_nearest_entries_for_any_number_of_entries(size):
    torch.manual_seed(6)
    entries = torch.randn(size, 5)
    for points in torch.randn(120, 5), torch.randn(1, 5):
        indices, gains = find_nearest(points, entries, half_squared_norms(entries))
        assert torch.equal(indices, torch.cdist(points, entries).argmin(-1))
        torch.testing.assert_close(points.square().sum(-1) - 2 * gains, torch.cdist(points, entries).amin(-1) ** 2)


def clusters() -> tuple[ResidualVQ, Tensor]:
    """A quantizer whose eight entries are the centres of clusters, and the centres."""
    torch.manual_seed(7)
    quantizer = ResidualVQ(QuantizerConfig(codebooks=1, latent_dim=4, codebook_size=8, codebook_dim=4)).train()
    centres = torch.randn(8, 4) * 3
    stage = quantizer.stages[0]
    stage.codebook.copy_(centres @ stage.basis.T)
    return quantizer, centres


def update(quantizer: ResidualVQ, finite: bool = True) -> int:
    """Update the codebooks from the last batch, and return the number of restarts."""
    restarts = quantizer.draw_restarts(torch.Generator().manual_seed(0))
    return int(quantizer.update_codebooks(restarts, torch.tensor(finite), decay=0.9))


def test_codebooks_follow_moving_averages_of_their_vectors():
    quantizer, centres = clusters()
    moved = centres + 0.2 * torch.randn(8, 4)
    for _ in range(100):
        quantizer(moved.repeat(20, 1)[None] + 0.01 * torch.randn(1, 160, 4), torch.tensor([1]))
        assert update(quantizer) == 0
    torch.testing.assert_close(quantizer.stages[0].codebook @ quantizer.stages[0].basis, moved, atol=0.01, rtol=0)


def test_dead_codes_are_restarted():
    quantizer, centres = clusters()
    stage = quantizer.stages[0]
    stage.codebook[2:5] += 100
    replaced = 0
    for _ in range(60):
        quantizer(centres.repeat(20, 1)[None] + 0.01 * torch.randn(1, 160, 4), torch.tensor([1]))
        replaced += update(quantizer)
    assert replaced == 3 and stage.codebook.abs().max() < 20


def test_fused_quantizer_is_kept_until_a_codebook_changes():
    torch.manual_seed(9)
    quantizer, latent = ResidualVQ(NARROW), torch.randn(1, 30, 6)
    before = quantizer.fused()
    codes = before.encode(latent, 4)[0]
    assert quantizer.fused() is before
    quantizer.stages[2].codebook.mul_(-1)
    after = quantizer.fused().encode(latent, 4)[0]
    assert torch.equal(after[:, :2], codes[:, :2]) and not torch.equal(after[:, 2], codes[:, 2])


def test_subspaces_are_the_strongest_directions_of_what_is_left():
    torch.manual_seed(8)
    config = QuantizerConfig(codebooks=2, latent_dim=6, codebook_size=16, codebook_dim=2)
    quantizer = ResidualVQ(config)
    latent = torch.randn(1, 4000, 6) * torch.tensor([9.0, 8.0, 4.0, 3.0, 0.1, 0.1])
    quantizer.initialise(latent, torch.Generator().manual_seed(0))
    first, second = (stage.basis.abs() for stage in quantizer.stages)
    assert first[:, 2:].max() < 0.1 and second[:, [0, 1, 4, 5]].max() < 0.5
    residual = latent[0] - quantizer.fused().decode(quantizer.fused().encode(latent, 1)[0])[0]
    power = residual.square().sum()
    assert (residual @ quantizer.stages[1].basis.T).square().sum() > 0.6 * power


def make_fsq(levels: tuple[int, ...], groups: int, depth: int) -> ResidualFSQ:
    return ResidualFSQ(QuantizerConfig(kind="fsq", codebooks=groups * depth, levels=levels, groups=groups))


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3,), (4, 7)])
@pytest.mark.parametrize("groups", [1, 3])
def test_fsq_error_shrinks_with_every_stage(levels, groups):
    depth = 3
    quantizer = make_fsq(levels, groups, depth)
    values = torch.rand(2, 200, groups * len(levels), generator=torch.Generator().manual_seed(0)) * 2 - 1
    spacing = torch.tensor(levels * groups) - 1.0
    for stage in range(1, depth + 1):
        codes = quantizer.encode(values.atanh(), stage * groups)[0]
        assert 0 <= codes.min() and codes.max() < quantizer.levels.prod()
        error = (quantizer.decode(codes) - values).abs()
        assert (error <= spacing**-stage + 1e-5).all()
        assert (error.amax((0, 1)) > 0.8 * spacing**-stage).all()  # and not better than the grid can be


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3,), (4, 7)])
def test_fsq_codes_are_all_used_and_come_back(levels):
    quantizer = make_fsq(levels, 1, 1)
    every = torch.arange(int(np.prod(levels)))[None, None]
    values = quantizer.decode(every)
    assert len(values[0].unique(dim=0)) == every.numel()
    assert torch.equal(quantizer.encode(values.clamp(-1 + 1e-6, 1 - 1e-6).atanh(), 1)[0], every)


def test_fsq_passes_the_gradient_of_its_bounded_values():
    torch.manual_seed(7)
    latent = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(3, 4, 6, dtype=torch.float64)
    quantizer, codebooks = ResidualFSQ(FSQ).double(), torch.tensor([6, 2, 1])
    out = quantizer(latent, codebooks).latent
    measured = torch.autograd.grad((out * wanted).sum(), latent)[0]
    importances = quantizer.encode(latent.detach(), 6)[1]
    lost = importances[:, :2] < importance_thresholds(importances, codebooks)
    assert lost[:, 1].any() and not lost[0].any()
    expected = wanted / latent.detach().cosh() ** 2
    # without a code the values of a group went nowhere
    expected = expected * ~lost.transpose(1, 2).repeat_interleave(3, 2)
    torch.testing.assert_close(measured, expected)


@pytest.mark.parametrize("config", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_quantizing_is_encoding_and_decoding(config):
    quantizer = make_codec(config, seed=8).quantizer
    latent, fused = torch.randn(1, 40, config.dimension), quantizer.fused()
    for count in range(1, config.codebooks + 1):
        out = quantizer(latent, torch.tensor([count]))
        codes, importances = fused.encode(latent, config.codebooks)
        assert torch.equal(out.codes, codes)
        assert torch.equal(out.codes[:, :count], fused.encode(latent, count)[0])
        used = importances >= importance_thresholds(importances, torch.tensor([count]))
        codes = torch.where(used, codes, NO_CODE)
        assert (codes != NO_CODE).float().sum(1).mean() == pytest.approx(count, abs=0.03)
        torch.testing.assert_close(out.latent, fused.decode(codes), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_importance_of_a_code_is_the_error_without_it(config):
    quantizer = make_codec(config, seed=8).quantizer
    latent, fused = torch.randn(2, 40, config.dimension), quantizer.fused()
    encoded, importances = fused.encode(latent, config.codebooks)
    value = latent.tanh() if config.kind == "fsq" else latent
    codes = torch.full_like(encoded, NO_CODE)
    least = torch.full((2, 40), torch.inf)
    for index, (code, importance) in enumerate(zip(encoded.unbind(1), importances.unbind(1))):
        error = (fused.decode(codes) - value).square().sum(-1)
        least = torch.minimum(least, error / value.square().sum(-1) ** LEVEL_EXPONENT)
        torch.testing.assert_close(importance, least, atol=1e-4, rtol=1e-4)
        codes[:, index] = code
