"""Bounds of a model: without quantizer, and the linear transform alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codec.model.power_law import compress
from eval.systems.bounds import KLT_ALONE, WITHOUT_QUANTIZER, bounds_of, missing_bounds
from tests.helpers.models import FSQ, RVQ, make_codec, noise_tensor


def coloured(*shape: int) -> torch.Tensor:
    return noise_tensor(*shape).cumsum(-1) / 20


def initialised(quantizer):
    codec = make_codec(quantizer)
    codec.initialise(coloured(2, 1, 4000), torch.Generator().manual_seed(0))
    return codec


def train_a_little(codec) -> None:
    """Change all that training changes by default."""
    with torch.no_grad():
        for weight in (weight for name, weight in codec.named_parameters() if not name.endswith(".direct")):
            weight += 0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("quantizer", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_as_many_dimensions_as_coefficients_lose_nothing(quantizer):
    codec = initialised(replace(quantizer, latent_dim=16, levels=(5,) * 8, contexts=1))
    wave = coloured(1, 999)[None].numpy()[0]
    np.testing.assert_allclose(KLT_ALONE.decode(codec, wave), wave, atol=1e-5)


def test_fewer_dimensions_lose_the_power_of_the_weakest_directions():
    """The spectrum of the decoded audio is the best approximation of that rank, and training does not change it."""
    codec = initialised(RVQ)
    wave = coloured(2, 1, 4000)
    decoded = torch.from_numpy(np.concatenate([KLT_ALONE.decode(codec, item.numpy())[None] for item in wave]))
    spectra = [
        compress(codec.mdct.analysis(one[:, 0], codec.mdct.initial_state(2)), codec.config.power).reshape(-1, 16)
        for one in (wave, decoded)
    ]
    singular = np.linalg.svd(spectra[0].double().numpy(), compute_uv=False)
    error = (spectra[0] - spectra[1]).square().sum().item()
    assert error == pytest.approx((singular[RVQ.latent_dim :] ** 2).sum(), rel=0.02)
    train_a_little(codec)
    np.testing.assert_array_equal(KLT_ALONE.decode(codec, wave[0].numpy()), decoded[0].numpy())
    assert bounds_of(codec) == [WITHOUT_QUANTIZER, KLT_ALONE] and not missing_bounds(codec)
    with torch.no_grad():
        codec.encoder.direct *= 1.01
    assert bounds_of(codec) == [WITHOUT_QUANTIZER] and list(missing_bounds(codec)) == [KLT_ALONE.name]


def test_without_quantizer_is_the_networks_alone():
    codec = initialised(RVQ)
    wave = coloured(1, 999).numpy()
    untrained = WITHOUT_QUANTIZER.decode(codec, wave)
    np.testing.assert_allclose(untrained, KLT_ALONE.decode(codec, wave), atol=1e-5)  # networks add nothing yet
    train_a_little(codec)
    padded = torch.nn.functional.pad(torch.from_numpy(wave), (0, codec.config.frames_for(999) * 16 - 999))
    with torch.no_grad():
        latent, _ = codec.analyse(padded, codec.mdct.initial_state(1), codec.encoder.initial_state(1))
        decoded = codec.synthesise(latent, codec.mdct.initial_state(1), codec.decoder.initial_state(1))[0][:, 8:1007]
    np.testing.assert_allclose(WITHOUT_QUANTIZER.decode(codec, wave), decoded.numpy(), atol=1e-5)
    assert np.abs(decoded.numpy() - untrained).max() > 0.01


@pytest.mark.parametrize("bound", [WITHOUT_QUANTIZER, KLT_ALONE], ids=lambda bound: bound.name)
def test_channels_are_coded_like_streams(bound):
    codec = initialised(RVQ)
    wave = coloured(1, 999).numpy()
    both = bound.decode(codec, np.concatenate([wave, wave]))  # the side is silent
    np.testing.assert_allclose(both[1:], both[:1], atol=1e-5)
    np.testing.assert_allclose(both[:1], bound.decode(codec, wave), atol=1e-3)
