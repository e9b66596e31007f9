"""The computation of a training step asks the device nothing: it runs on tensors that have shapes but no values."""

import pytest
import torch
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from codec.losses.composite import LOSS_TERMS
from codec.recipe import read_recipe
from eval.benchmarks.fake_devices import ADVERSARIAL, recipe_names, run_without_values
from tests.helpers.tiny import TINY

ONE_GROUP = "--codec.quantizer.groups=1"
FSQ = ("--codec.quantizer.kind=fsq", "--codec.quantizer.levels=[5,5]", "--codec.quantizer.contexts=1")
LEARNED = ("--codec.quantizer.frame_weights=learned", "--optim.skip_lr_ratio=0.1", "--optim.l1=0.001")
EVERY_LOSS = tuple(f"--losses.{name}=1.0" for name in LOSS_TERMS)


@pytest.mark.parametrize("name", recipe_names())
def test_no_step_of_a_recipe_needs_a_value(name):
    assert run_without_values(read_recipe(name, [*TINY, ONE_GROUP, *ADVERSARIAL])) == 4


@pytest.mark.parametrize("extra", [FSQ, LEARNED, EVERY_LOSS], ids=["fsq", "learned weights", "every loss"])
def test_no_step_with_other_settings_needs_a_value(extra):
    assert run_without_values(read_recipe("quickstart", [*TINY, *extra, *ADVERSARIAL])) == 4


def test_a_question_to_the_device_would_be_an_error():
    with FakeTensorMode(), pytest.raises(DataDependentOutputException):
        bool(torch.ones(()).isfinite())
