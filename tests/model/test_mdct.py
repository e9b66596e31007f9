"""The MDCT against SciPy's DCT-IV, and the power law of its coefficients."""

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from codec.model.mdct import MDCT
from codec.model.power_law import compress, expand
from tests.helpers.models import noise_tensor


@pytest.mark.parametrize("hop", [2, 16, 160])
def test_mdct_is_a_folded_dct_iv(hop):
    """(a, b, c, d) to DCT-IV of (-c_r - d, a - b_r), for the windowed halves ab and cd of a frame."""
    wave = noise_tensor(1, 5 * hop)
    frames = np.stack([np.pad(wave[0].double().numpy(), (hop, 0))[i * hop : (i + 2) * hop] for i in range(5)])
    windowed = frames * np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))
    a, b, c, d = np.split(windowed, 4, axis=1)
    folded = np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1)
    expected = scipy.fft.dct(folded, type=4, norm="ortho", axis=1)
    np.testing.assert_allclose(MDCT(hop).analysis(wave)[0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("hop", [2, 16, 160, 441])
def test_mdct_reconstructs_perfectly_and_keeps_energy(hop):
    mdct = MDCT(hop)
    wave = F.pad(noise_tensor(3, 20 * hop), (0, hop))
    coefficients = mdct.analysis(wave)
    back, _ = mdct.synthesis(coefficients)
    torch.testing.assert_close(back[:, hop:], wave[:, :-hop], atol=2e-6, rtol=0)
    torch.testing.assert_close(coefficients.square().sum(), wave.square().sum(), rtol=1e-5, atol=0)


@given(st.floats(-50, 50), st.floats(0.2, 1))
def test_power_law_has_its_inverse_and_finite_slope(value, power):
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    y = compress(x, power)
    y.backward()
    assert torch.isfinite(x.grad)
    if abs(y) < 32:
        torch.testing.assert_close(expand(y, power), x, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("power", [0.3, 1.0])
def test_expanded_coefficients_are_finite(power):
    extremes = torch.tensor([float("inf"), 1e30, -1e30, 0.0], requires_grad=True)
    out = expand(extremes, power)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(extremes.grad).all() and out[3] == 0
