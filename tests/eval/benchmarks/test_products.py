"""The benchmark of products and single frames: every way runs, and each is timed relative to float32."""

import pytest
import torch

from eval.benchmarks.products import WAYS, time_frames, time_products
from tests.helpers.models import RVQ, make_codec


@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="no FBGEMM on this processor")
def test_ways_to_compute_products_are_timed():
    found = time_products(1, 2)
    assert set(found) == set(WAYS) and found["float32"][1] == 1
    assert all(time > 0 and ratio > 0 for time, ratio in found.values())


@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="no FBGEMM on this processor")
@pytest.mark.parametrize("name", WAYS)
def test_ways_compute_the_product(name):
    generator = torch.Generator().manual_seed(0)
    weight, bias = (torch.randn(*size, generator=generator) for size in ((64, 64), (64,)))
    x = torch.randn(3, 64, generator=generator)
    expected = x @ weight.T + bias
    with torch.inference_mode():
        assert (WAYS[name](weight, bias)(x) - expected).norm() < 0.03 * expected.norm()


def test_single_frames_are_timed_both_ways():
    found = time_frames(make_codec(RVQ).requires_grad_(False), 10, 1)
    assert len(found) == 2 and all(encode > 0 and decode > 0 for encode, decode in found.values())
