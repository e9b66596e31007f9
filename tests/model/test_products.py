"""Tests for codec.model.products."""

import pytest
import torch
from torch import Tensor

from codec.model import products
from codec.model.products import Linear, linear


@pytest.fixture(params=[False, True], ids=["MKL", "oneDNN"], autouse=True)
def library(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the library that this processor would not, too."""
    monkeypatch.setattr(products, "onednn_is_faster", lambda: request.param)


def values_and_gradients(layer: Linear, x: Tensor) -> list[Tensor]:
    """Return the output of a layer for an input, and the gradients of a weighted sum of it, in double precision."""
    x = x.detach().clone().requires_grad_()
    output = layer(x)
    weights = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view_as(output)
    gradients = torch.autograd.grad(output, [x, *layer.parameters()], weights)
    return [part.detach().double() for part in (output, *gradients)]


@pytest.mark.parametrize("shape", [(7,), (1, 7), (3, 5, 7), (64, 7), (0, 7)], ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_values_and_gradients_are_those_of_double_precision(shape: tuple[int, ...], bias: bool) -> None:
    torch.manual_seed(0)
    layer = Linear(7, 33, bias=bias)
    x = torch.randn(shape)
    found = values_and_gradients(layer, x)
    for own, exact in zip(found, values_and_gradients(layer.double(), x.double()), strict=True):
        torch.testing.assert_close(own, exact, atol=2e-5, rtol=1e-5)


def test_views_are_taken_as_they_are() -> None:
    torch.manual_seed(0)
    frames = torch.randn(2, 100).unfold(1, 10, 3)
    matrix = torch.randn(10, 6)
    torch.testing.assert_close(linear(frames, matrix.T), frames @ matrix)


def test_a_row_does_not_depend_on_the_rows_beside_it() -> None:
    torch.manual_seed(0)
    layer, x = Linear(320, 384), torch.randn(1000, 320)
    with torch.inference_mode():
        together = layer(x)
        for rows in (16, 32, 48, 272, 512):
            assert torch.equal(layer(x[:rows]), together[:rows])


def test_other_types_and_autocast_are_left_to_pytorch() -> None:
    layer = Linear(8, 8)
    assert layer.double()(torch.ones(2, 8, dtype=torch.float64)).dtype is torch.float64
    with torch.autocast("cpu", torch.bfloat16):
        assert layer.float()(torch.ones(2, 8)).dtype is torch.bfloat16


def test_a_compiled_or_exported_layer_has_an_ordinary_product() -> None:
    exported = torch.export.export(Linear(8, 4), (torch.ones(2, 8),))
    assert {node.target for node in exported.graph.nodes if node.op == "call_function"} == {
        torch.ops.aten.linear.default
    }
