"""Training steps on tensors that have shapes and a device but no values.

``python -m eval.benchmarks.fake_devices`` runs all kinds of steps of all recipes on meta tensors, with any PyTorch. A
step that asks them for a value, or that mixes them with tensors of the CPU, is an error. All is computed but the
optimisers' steps. ``--device cuda`` runs them on fake CUDA tensors, without a GPU but with a PyTorch that is built for
it, such as ``pip install torch`` gives on Linux, in an environment of its own: optimisers included, but without the
backward pass, for which PyTorch asks the driver.

Source: the fake tensors of PyTorch 2, J. Ansel et al., "PyTorch 2", ASPLOS 2024.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

import recipes
from codec.config import Recipe
from codec.losses import CompositeLoss
from codec.recipe import read_recipe
from codec.training.module import CodecModule
from codec.training.step import StepInputs, StepKind

META = "meta"
"""PyTorch's device of tensors without memory."""
ADVERSARIAL = ("--adversarial.weight=0.1", "--adversarial.width=2")
"""Overrides with which any recipe has a small discriminator."""


def run_without_values(recipe: Recipe, device: str = "cpu") -> int:
    """Run all kinds of training steps of a recipe on fake tensors.

    Args:
        recipe: the recipe
        device: device that the tensors claim to be on, or :data:`META`

    Returns:
        The number of steps.

    Raises:
        Exception: a step needs a value, or mixes devices; PyTorch's own errors say which operation.
    """
    codec, waves = recipe.codec, torch.randn(2, 1, recipe.crop_samples)
    # tables of the losses, which are computed once, have values
    CompositeLoss(recipe.losses, codec.sample_rate, codec.hop)(waves, waves.flip(0), log_all=True)
    if device == META:
        with mock.patch.object(torch, "autocast", lambda *_, **__: nullcontext()):  # knows no such device
            return run_all_kinds(recipe, device)
    with FakeTensorMode(allow_non_fake_inputs=True):
        return run_all_kinds(recipe, device)


def run_all_kinds(recipe: Recipe, device: str) -> int:
    """Run training steps of all kinds of a recipe, from new weights and noise.

    Args:
        recipe: the recipe
        device: the device

    Returns:
        The number of steps.
    """
    with torch.device(device):  # fake tensors cannot be moved within a module
        module = CodecModule(recipe).train()
    backward: Callable[[Tensor], object] = Tensor.backward
    if device not in ("cpu", META):
        backward = lambda _: _set_gradients(module)  # noqa: E731
    optimizers = module.configure_optimizers()
    for optimizer in optimizers if device == META else ():
        optimizer.step = lambda *_: None  # type: ignore[assignment]  # fused ones know no such device
    compute, kinds = module.make_computation(optimizers, backward), step_kinds(module)
    for kind in kinds:
        result = compute(_inputs(module, device), kind)
        gradients = [p.grad for each in optimizers for group in each.param_groups for p in group["params"]]
        used = [gradient for gradient in gradients if gradient is not None]
        if {value.device.type for value in (result.finite, *result.terms.values(), *used)} != {device}:
            raise RuntimeError(f"a result of the step is not on {device}")
    return len(kinds)


def step_kinds(module: CodecModule) -> list[StepKind]:
    """Return kinds of steps of a training that together compute everything.

    Args:
        module: the training

    Returns:
        Without quantizer and discriminator, logged in full; and with both, in which the discriminator learns. Other
        kinds compute parts of these.
    """
    takes_part = module.discriminator is not None
    return [
        StepKind(mel_scales=tuple(range(7)), quantize=False, log_all=True),
        StepKind(mel_scales=(5, 0), adversarial=takes_part, train_discriminator=takes_part),
    ]


def _set_gradients(module: CodecModule) -> None:
    """Set gradients without a backward pass, which PyTorch does not compute for a device that is not there."""
    for parameter in module.parameters():
        if parameter.requires_grad:
            parameter.grad = torch.zeros_like(parameter)


def _inputs(module: CodecModule, device: str) -> StepInputs:
    recipe, generator = module.recipe, module.generator_at(0)
    target = 0.1 * torch.randn(recipe.data.batch_size, 1, recipe.crop_samples, generator=generator)
    codebooks = module.draw_codebooks(len(target), generator)
    return module.step_inputs(target.to(device), codebooks, module.codec.draw_restarts(generator))


def recipe_names() -> list[str]:
    """Return the names of the recipes of this library.

    Returns:
        Names, sorted.
    """
    return sorted(path.stem for path in Path(recipes.__file__).parent.glob("*.yaml"))


def _main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m eval.benchmarks.fake_devices", description="Run training steps on tensors without values."
    )
    parser.add_argument("--device", default=META, help="device that they claim to be on (default: %(default)s)")
    arguments = parser.parse_args()
    failed = False
    for name in recipe_names():
        try:
            steps = run_without_values(read_recipe(name, ADVERSARIAL), arguments.device)
            print(f"{name}: {steps} kinds of steps on {arguments.device}, nothing was asked of it", flush=True)
        except Exception as error:  # every recipe is tried
            failed = True
            print(f"{name}: {type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    _main()
