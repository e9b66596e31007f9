"""The computation of a training step asks the device nothing: it runs on tensors that have shapes but no values."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from codec.losses.composite import LOSS_TERMS
from codec.recipe import read_recipe
from eval.benchmarks.fake_devices import ADVERSARIAL, META, recipe_names, run_without_values
from tests.helpers.tiny import TINY

LEARNED = ("--codec.quantizer.frame_weights=learned", "--optim.skip_lr_ratio=0.1", "--optim.l1=0.001")
EVERY_LOSS = tuple(f"--losses.{name}=1.0" for name in LOSS_TERMS)


@pytest.mark.parametrize("name", recipe_names())
def test_no_step_of_a_recipe_needs_a_value(name):
    run_without_values(read_recipe(name, [*TINY, "--codec.quantizer.groups=1", *ADVERSARIAL]))


def test_no_step_with_learnt_weights_and_every_loss_needs_a_value():
    run_without_values(read_recipe("quickstart", [*TINY, *LEARNED, *EVERY_LOSS]))


def test_the_backward_pass_stays_on_the_device_of_the_step():
    run_without_values(read_recipe("quickstart", [*TINY, *LEARNED, *EVERY_LOSS, *ADVERSARIAL]), META)


class _GradientOnTheCPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value * 2

    @staticmethod
    def backward(ctx, gradient):
        return torch.ones(gradient.shape)


def test_a_gradient_on_another_device_would_be_an_error():
    value = torch.ones(3, device=META, requires_grad=True)
    with pytest.raises(RuntimeError, match="device"):
        _GradientOnTheCPU.apply(value).sum().backward()


def test_a_question_to_the_device_would_be_an_error():
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        bool(torch.ones(()).isfinite())
