"""The rate-distortion bound, and how near to it quantizers come."""

import numpy as np
import pytest
import torch

from codec.errors import UserError
from codec.model.codec import Codec
from codec.recipe import read_recipe
from eval.benchmarks.quantizer_efficiency import gaussian_distortion, tabulate_efficiency
from eval.evaluation.clip_selection import Excerpt
from tests.helpers.packed_data import RATE, float_waveform, tones
from tests.helpers.tiny import TINY, WITHOUT_CONTEXTS


def test_water_filling_is_that_of_the_textbook():
    assert gaussian_distortion(np.full((1, 8), 3.0), 16) == pytest.approx(8 * 3 * 2**-4)
    # at this rate the weak variable gets no bits: 0.5 * log2(16 / d) = 1 gives d = 4
    assert gaussian_distortion(np.array([[16.0, 1.0]]), 1) == pytest.approx(4 + 1)
    # vectors of known variance share their bits: both end at the same error
    assert gaussian_distortion(np.array([[16.0], [4.0]]), 1.5) == pytest.approx((16 * 4) ** 0.5 / 2**3)
    assert gaussian_distortion(np.array([[16.0, 1.0]]), 0) == pytest.approx(17)


def test_quantizers_stay_below_the_bound_of_gaussian_latents():
    recipe = read_recipe("speech_16k", WITHOUT_CONTEXTS)
    codec = Codec(recipe.codec).eval()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(4, 1, 20 * RATE, generator=generator) * 0.1
    codec.initialise(noise, generator)
    table = tabulate_efficiency(codec, [Excerpt("a", "a", "speech", noise[0].numpy(), RATE)])
    assert [row[0] for row in table.rows] == ["1", "2", "3"]
    for _, bits, ratio, bound, adaptive in table.rows:
        assert float(bits) > 0
        assert float(ratio) < float(bound) + 0.3  # noise is no exact Gaussian in the compressed coefficients
        assert float(bound) <= float(adaptive) + 0.05


def test_other_quantizers_are_refused_in_one_line():
    codec = Codec(read_recipe("speech_16k", [*TINY, "--codec.quantizer.kind=fsq"]).codec).eval()
    clip = Excerpt("a", "a", "speech", float_waveform(tones(0, 1.0)), RATE)
    with pytest.raises(UserError):
        tabulate_efficiency(codec, [clip])
