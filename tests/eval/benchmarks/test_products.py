"""The benchmark of products: every way runs, and each is timed relative to float32."""

import pytest
import torch

from eval.benchmarks.products import WAYS, time_products


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
