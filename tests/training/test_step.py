"""The computation of a training step asks the device nothing: it runs on tensors that have shapes but no values."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from codec.losses.composite import LOSS_TERMS
from codec.recipe import read_recipe
from codec.training.initial_state import new_module
from codec.training.module import CodecModule
from codec.training.step import StepInputs, StepKind, TrainingStep
from tests.helpers.tiny import TINY

RECIPES = sorted(path.stem for path in (Path(__file__).parents[2] / "recipes").glob("*.yaml"))
ADVERSARIAL = ("--adversarial.weight=0.1", "--adversarial.width=2")
FSQ = ("--codec.quantizer.kind=fsq", "--codec.quantizer.levels=[5,5]", "--codec.quantizer.contexts=1")
LEARNED = ("--codec.quantizer.frame_weights=learned", "--optim.skip_lr_ratio=0.1", "--optim.l1=0.001")
EVERY_LOSS = tuple(f"--losses.{name}=1.0" for name in LOSS_TERMS)


def kinds(module: CodecModule) -> list[StepKind]:
    """All kinds of steps of a recipe."""
    plain = StepKind(mel_scales=(5, 0))
    found = [plain, replace(plain, mel_scales=tuple(range(7)), quantize=False, log_all=True)]
    if module.discriminator is not None:
        found += [replace(plain, adversarial=True, train_discriminator=learns) for learns in (True, False)]
    return found


def inputs(module: CodecModule) -> StepInputs:
    recipe, generator = module.recipe, module.generator_at(0)
    target = 0.1 * torch.randn(recipe.data.batch_size, 1, recipe.crop_samples, generator=generator)
    codebooks = module.draw_codebooks(len(target), generator)
    return module.step_inputs(target, codebooks, module.codec.draw_restarts(generator))


def run_all_kinds(name: str, *overrides: str) -> None:
    module = new_module(read_recipe(name, [*TINY, "--codec.quantizer.groups=1", *overrides])).train()
    parts = module.recipe, module.codec, module.average, module.losses, module.discriminator
    step = TrainingStep(*parts, module.configure_optimizers())
    for kind in kinds(module):
        assert step(inputs(module), kind).finite.shape == ()


def run_without_values(name: str, *overrides: str) -> None:
    run_all_kinds(name, *overrides)  # tables of losses, which are computed once, have values
    with FakeTensorMode(allow_non_fake_inputs=True):
        run_all_kinds(name, *overrides)


@pytest.mark.parametrize("extra", [(), ADVERSARIAL], ids=["alone", "adversarial"])
@pytest.mark.parametrize("name", RECIPES)
def test_a_step_needs_no_values(name, extra):
    run_without_values(name, *extra)


@pytest.mark.parametrize("extra", [FSQ, LEARNED, EVERY_LOSS], ids=["fsq", "learned weights", "every loss"])
def test_a_step_with_other_settings_needs_no_values(extra):
    run_without_values("quickstart", *extra, *ADVERSARIAL)
