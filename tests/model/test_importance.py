"""Weights of frames: how codes are selected by them, and how they are learnt from the selection."""

from dataclasses import replace

import pytest
import torch

from codec.config import QuantizerConfig
from codec.errors import UserError
from codec.model.quantizers.importance import (
    LEVEL_EXPONENT,
    SOFTNESS,
    LearnedWeights,
    code_importances,
    importance_thresholds,
    select_codes,
)
from tests.helpers.models import RVQ, make_codec

LEARNED = replace(RVQ, frame_weights="learned")


def smooth_selection(logs: torch.Tensor, mean: torch.Tensor) -> torch.Tensor:
    """Select codes by a logistic function of their importance, with the threshold at which all items together, by that
    function, use the wanted number: found by bisection.
    """
    low, high = logs.min() - 20, logs.max() + 20
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if ((logs - middle) / SOFTNESS).sigmoid().mean() > mean else (low, middle)
    return ((logs - low) / SOFTNESS).sigmoid()


def test_the_gradient_is_that_of_a_smooth_selection_at_a_fixed_mean_number_of_codes():
    """Against finite differences of the selection whose threshold is solved for again at each point."""
    torch.manual_seed(0)
    logs = torch.randn(2, 5, 7, dtype=torch.float64).cumsum(1).flip(1)
    gain = torch.randn(2, 5, 7, dtype=torch.float64)
    weight = torch.zeros(2, 7, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(-0.3, dtype=torch.float64)
    mean = ((logs - threshold) / SOFTNESS).sigmoid().mean()
    selected = select_codes(logs.exp(), threshold.exp().expand(2, 1, 1), weight)
    assert torch.equal(selected.detach(), (logs >= threshold).double())
    (measured,) = torch.autograd.grad((selected * gain).sum(), weight)
    expected, step = torch.zeros_like(measured), 1e-4
    for index in range(measured.numel()):
        change = torch.zeros(measured.numel(), dtype=torch.float64)
        change[index] = step
        change = change.view(2, 1, 7)
        ends = [(smooth_selection(logs + sign * change, mean) * gain).sum() for sign in (1, -1)]
        expected.view(-1)[index] = (ends[0] - ends[1]) / (2 * step)
    torch.testing.assert_close(measured, expected, atol=1e-6, rtol=1e-5)
    assert float(measured.sum()) == pytest.approx(0, abs=1e-9), "more weight for all frames changes nothing"


def test_learned_weights_start_as_a_power_of_the_level():
    torch.manual_seed(1)
    latent = torch.randn(3, 20, 12)
    level = latent.square().sum(-1)
    weights = LearnedWeights(12)
    torch.testing.assert_close(weights.log_weights(latent, level), -LEVEL_EXPONENT * level.log())
    assert weights.log_weights(torch.zeros(1, 1, 12), torch.zeros(1, 1)).isfinite().all()


def test_learning_moves_codes_to_the_frames_that_gain_by_them():
    """Frames of one kind count a hundred times as much in the loss: they should get codes before the others."""
    torch.manual_seed(2)
    quantizer = make_codec(LEARNED, seed=2).quantizer.train()
    quantizer.initialise(torch.randn(4, 500, 12), torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(quantizer.parameters(), 1e-2)
    generator = torch.Generator().manual_seed(1)

    def frames() -> tuple[torch.Tensor, torch.Tensor]:
        latent = torch.randn(4, 50, 12, generator=generator)
        return latent, (latent[..., 0] > 0).float()

    def shares() -> list[float]:
        latent, matters = frames()
        level = latent.square().sum(-1)
        error = quantizer.fused().encode(latent, 4)[1] / quantizer.weights.log_weights(latent, level).exp()[:, None]
        importances = code_importances(error, quantizer.weights.log_weights(latent, level))
        used = (importances >= importance_thresholds(importances, torch.tensor([2.0]))).sum(1)
        return [float(used[matters == kind].float().mean()) for kind in (0, 1)]

    with torch.no_grad():
        before = shares()
    for _ in range(150):
        latent, matters = frames()
        out = quantizer(latent, torch.full((4,), 2.0))
        loss = ((out.latent - latent).square().mean(-1) * (0.01 + matters)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        after = shares()
    assert abs(before[1] - before[0]) < 0.3 and after[1] > after[0] + 1


def test_a_stream_has_the_importances_of_the_weights():
    codec = make_codec(LEARNED, seed=3)
    with torch.no_grad():
        codec.quantizer.weights.last.weight.normal_(0, 3)
    latent = torch.randn(1, 30, 12)
    level = latent.square().sum(-1)
    learned = codec.quantizer.fused().encode(latent, 4)[1]
    weight = codec.quantizer.weights.log_weights(latent, level).detach()
    plain = make_codec(RVQ, seed=3)
    plain.quantizer.load_state_dict(codec.quantizer.state_dict(), strict=False)
    fixed = plain.quantizer.fused().encode(latent, 4)[1]
    ratio = (weight + LEVEL_EXPONENT * level.log()).exp()[:, None].expand_as(fixed)
    torch.testing.assert_close(learned / fixed, ratio, atol=1e-4, rtol=1e-3)
    assert float(ratio.max() / ratio.min()) > 2


def test_fixed_grids_have_no_learned_weights():
    with pytest.raises(UserError, match=r"quantizer\.frame_weights"):
        QuantizerConfig(kind="fsq", codebooks=2, frame_weights="learned")
