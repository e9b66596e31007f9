"""Where a run starts: from first weights, or from the checkpoint at which it stopped."""

import math
from pathlib import Path
from typing import Any

import torch

from codec.config import Recipe
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint, load_model
from codec.recipe import changes, read_recipe
from codec.training.best_model import set_model_aside
from codec.training.checkpoints import read_checkpoint
from codec.training.curves_logger import CurvesLogger
from codec.training.data import Crops
from codec.training.module import DISCRIMINATOR, CodecBuilder, CodecModule
from codec.training.run_folder import keep_recipe

INITIAL_SECONDS = 600.0
"""So much sound, or all batches of a shorter run, the codec is initialised from: 30 vectors an entry of a codebook."""


def new_module(recipe: Recipe, build: CodecBuilder = Codec) -> CodecModule:
    """With first weights that depend on the recipe's seed alone."""
    torch.manual_seed(recipe.train.seed)
    return CodecModule(recipe, build)


def set_first_weights(module: CodecModule, crops: Crops, init_from: Path | None) -> None:
    """First weights: another model's, with further codebooks where the recipe has more; or those of a transform codec
    fitted to the first batches."""
    recipe = module.recipe
    if init_from is not None:
        codec = load_model(init_from)
        if codec.config == recipe.codec:
            module.start_from(codec)
            if recipe.train.freeze_encoder:
                module.average.decodes = (fingerprint(codec), *codec.decodes)
        elif isinstance(module.codec, Codec) and module.codec.can_grow_from(codec) and not recipe.train.freeze_encoder:
            module.codec.grow_from(codec, _first_sound(module, crops), module.generator_at(-1))
            module.start_from(module.codec)
        else:
            raise UserError(f"{init_from}: its architecture is not the recipe's; use the recipe it was trained with")
        return
    if recipe.train.freeze_encoder:
        raise UserError("train.freeze_encoder needs a trained model to start from; give one with --init-from")
    module.codec.initialise(_first_sound(module, crops), module.generator_at(-1))
    module.start_from(module.codec)


def _first_sound(module: CodecModule, crops: Crops) -> torch.Tensor:
    """The first batches, :data:`INITIAL_SECONDS` of them."""
    batches = torch.cat([crops[step] for step in range(first_batches(module.recipe))])
    crops.require_sound(batches)
    return batches


def first_batches(recipe: Recipe) -> int:
    return min(math.ceil(INITIAL_SECONDS / recipe.step_audio_s), recipe.train.steps)


def go_on(module: CodecModule, checkpoint: Path, run: Path, criterion: str, curves: CurvesLogger, quiet: bool) -> None:
    """Set ``module`` and what lies in ``run`` to the step at which ``checkpoint`` stands, and say what is other than
    before: anything but the architecture may be.

    Args:
        module: as :func:`new_module` makes it; its weights follow when the trainer loads the checkpoint.
        checkpoint: of the run.
        run: its folder.
        criterion: by which validations are judged now, see :func:`codec.training.provenance.criterion`.
        curves: of the run.
        quiet: print nothing.

    Raises:
        UserError: the checkpoint cannot be read, or is of another architecture.
    """

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    before, recipe = read_recipe(str(run / "recipe.yaml")), module.recipe
    if before.codec != recipe.codec:
        raise UserError(f"{run}: holds a run with another architecture; choose another --run")
    if before.train.freeze_encoder != recipe.train.freeze_encoder:
        raise UserError(f"{run}: train.freeze_encoder is fixed when a run starts; choose another --run")
    state = read_checkpoint(checkpoint, run)
    try:
        _check_weights(state["state_dict"], module)
        module.step, module.validated = state["step"], state["validated"]
        if before.train == recipe.train:
            module.validate_every = state["validate_every"]
        same_data = state["data_fingerprints"] == module.data_fingerprints
        same_criterion = state["callbacks"]["best"]["criterion"] == criterion
        curves_bytes = int(state["callbacks"]["checkpoint"]["curves_bytes"])
        same_discriminator = module.keeps_discriminator(state["state_dict"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{checkpoint}: not a checkpoint that can be resumed; delete it to start again") from error
    say(f"going on from step {module.step:,}")
    if changed := changes(before, recipe):
        say(f"with other settings: {', '.join(changed)}; those before are in {keep_recipe(run, module.step)}")
    if not same_data:
        say(f"with other data than up to step {module.step:,}: its clips are added to those trained on")
    if not same_discriminator:
        say("the discriminator starts anew: the one of the checkpoint is another")
    if not same_criterion:
        aside = set_model_aside(run, module.step)
        kept = f"; the model chosen until now is kept in {aside}" if aside else ""
        say(f"other losses or validation clips than up to step {module.step:,}: the best is chosen anew{kept}")
    curves.go_back(module.step, curves_bytes)


def _check_weights(weights: Any, module: CodecModule) -> None:
    """Raises ``ValueError`` where tensors of a checkpoint are not those of the module, its discriminator aside."""
    shapes = [
        {name: value.shape for name, value in each.items() if not name.startswith(DISCRIMINATOR)}
        for each in (weights, module.state_dict())
    ]
    if shapes[0] != shapes[1]:
        raise ValueError("other weights")
