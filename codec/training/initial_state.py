"""The beginning of a run: initial weights, or the checkpoint at which an earlier call stopped."""

import math
from pathlib import Path
from typing import Any

import torch

from codec.config import Recipe
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.processes import ONE_PROCESS, Processes
from codec.pretrained.checkpoint import fingerprint, load_codec
from codec.recipe import changes, read_recipe
from codec.runtime.messages import say
from codec.training.best_model import set_model_aside
from codec.training.checkpointing import read_checkpoint
from codec.training.crops import Crops
from codec.training.metrics_log import MetricsLog
from codec.training.module import DISCRIMINATOR_PREFIX, CodecBuilder, CodecModule
from codec.training.run_folder import keep_recipe
from codec.training.state import TrainingState

_INITIALISATION_S = 600.0
"""Seconds of audio that a new codec is fitted to (all batches of a shorter run): about 30 vectors for each entry of a
codebook."""


def new_module(
    recipe: Recipe,
    build: CodecBuilder = Codec,
    state: TrainingState | None = None,
    metrics: MetricsLog | None = None,
    processes: Processes = ONE_PROCESS,
) -> CodecModule:
    """Make the module of a training, with random weights that depend on nothing but the recipe's seed.

    Args:
        recipe: architecture, losses and settings
        build: function that makes a codec from its configuration
        state: progress that data and callbacks share; by default a new one
        metrics: table that values are written to; None: they are not recorded
        processes: those that train it together

    Returns:
        The module; its weights are set by :func:`set_first_weights` or :func:`restore_run`.
    """
    torch.manual_seed(recipe.train.seed)
    return CodecModule(recipe, build, state, metrics, processes)


def set_first_weights(module: CodecModule, crops: Crops, init_from: Path | None) -> None:
    """Initialise the weights of a new run.

    They are those of another model, to which codebooks are added if the recipe has more, or those of a transform codec
    fitted to the first batches.

    Args:
        module: the training
        crops: training crops
        init_from: folder of the other model; None: fit a transform codec

    Raises:
        UserError: the model's architecture does not fit the recipe, all crops are silent, or
            ``train.freeze_encoder`` is set without a model to start from.
    """
    recipe = module.recipe
    if init_from is not None:
        _start_from_model(module, crops, init_from)
        return
    if recipe.train.freeze_encoder:
        raise UserError("train.freeze_encoder needs a trained model to start from; give one with --init-from")
    module.codec.initialise(first_crops(module.recipe, crops), module.generator_at(-1))
    module.start_from(module.codec)


def _start_from_model(module: CodecModule, crops: Crops, init_from: Path) -> None:
    codec, recipe = load_codec(init_from), module.recipe
    if codec.config == recipe.codec:
        module.start_from(codec)
        if recipe.train.freeze_encoder:
            module.average.compatible_fingerprints = (fingerprint(codec), *codec.compatible_fingerprints)
    elif isinstance(module.codec, Codec) and module.codec.can_grow_from(codec) and not recipe.train.freeze_encoder:
        module.codec.eval()  # no dropout in the latents that codebooks are fitted to
        module.codec.grow_from(codec, first_crops(recipe, crops), module.generator_at(-1))
        module.codec.train()
        module.start_from(module.codec)
    else:
        raise UserError(f"{init_from}: its architecture is not the recipe's; use the recipe it was trained with")


def first_crops(recipe: Recipe, crops: Crops) -> torch.Tensor:
    """Return the crops of the first batches, to which codecs and codebooks are fitted.

    Args:
        recipe: size of a batch and number of steps of the run
        crops: training crops

    Returns:
        Waveforms ``[crops, 1, samples]``.

    Raises:
        UserError: all crops are silent.
    """
    batches = torch.cat([crops[step] for step in range(initialisation_batches(recipe))])
    crops.require_audible(batches)
    return batches


def initialisation_batches(recipe: Recipe) -> int:
    """Return the number of batches that a new codec is fitted to.

    Args:
        recipe: size of a batch and number of steps of the run

    Returns:
        The number of batches, at least 1.
    """
    return min(math.ceil(_INITIALISATION_S / recipe.step_audio_s), recipe.train.steps)


def restore_run(module: CodecModule, checkpoint: Path, run: Path, criterion: str, quiet: bool) -> None:
    """Set the module and the folder of a run to the step of a checkpoint, and report changes since then.

    Args:
        module: the training, as :func:`new_module` makes it, with a metrics log. Its weights follow when the trainer
            loads the checkpoint.
        checkpoint: the checkpoint
        run: folder of the run
        criterion: digest of everything that validations depend on now, see :func:`codec.training.provenance.criterion`
        quiet: print nothing

    Raises:
        UserError: the checkpoint cannot be read, or has another architecture.
    """
    before = read_recipe(str(run / "recipe.yaml"))
    if before.codec != module.recipe.codec:
        raise UserError(f"{run}: holds a run with another architecture; choose another --run")
    if before.train.freeze_encoder != module.recipe.train.freeze_encoder:
        raise UserError(f"{run}: train.freeze_encoder is fixed when a run starts; choose another --run")
    if bool(before.optim.skip_lr_ratio) != bool(module.recipe.optim.skip_lr_ratio):
        raise UserError(f"{run}: whether optim.skip_lr_ratio is 0 is fixed when a run starts; choose another --run")
    stored = read_checkpoint(checkpoint, run)
    try:
        _require_same_weights(stored["state_dict"], module)
        module.state.step, module.state.validated = stored["step"], stored["validated"]
        module.state.starts_from_model = stored.get("starts_from_model", False)
        if before.train == module.recipe.train:
            module.state.validate_every = stored["validate_every"]
        same_data = stored["data_fingerprints"] == module.data_fingerprints
        same_criterion = stored["callbacks"]["best"]["criterion"] == criterion
        metrics_bytes = int(stored["callbacks"]["checkpoint"]["curves_bytes"])
        if module.recipe.train.max_minutes:
            elapsed_s = stored["callbacks"]["time_limit"]["elapsed_s"]
            module.state.time_share = elapsed_s / (60 * module.recipe.train.max_minutes)
        same_discriminator = module.has_same_discriminator(stored["state_dict"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{checkpoint}: not a checkpoint that can be resumed; delete it to start again") from error
    messages = _keep_earlier_settings(run, before, module, same_data, same_discriminator, same_criterion)
    if not quiet:
        for message in messages:
            say(message)
    assert module.metrics is not None
    module.metrics.go_back(module.state.step, metrics_bytes)


def _keep_earlier_settings(
    run: Path, before: Recipe, module: CodecModule, same_data: bool, same_discriminator: bool, same_criterion: bool
) -> list[str]:
    """Rename the recipe and the model if they are replaced, and return lines about the changes."""
    step = module.state.step
    messages = [f"continues from step {step:,}"]
    if changed := changes(before, module.recipe):
        messages.append(f"with other settings: {', '.join(changed)}; the earlier ones are in {keep_recipe(run, step)}")
    if not same_data:
        messages.append(f"with other data than up to step {step:,}; its clips are added to the list of trained clips")
    if not same_discriminator:
        messages.append("with a new discriminator, since that of the checkpoint has another shape")
    if not same_criterion:
        aside = set_model_aside(run, step)
        kept = f"; the best model so far was moved to {aside}" if aside else ""
        messages.append(
            f"with other losses or validation clips than up to step {step:,}: the best is chosen anew{kept}"
        )
    return messages


def _require_same_weights(weights: Any, module: CodecModule) -> None:
    """Raise ``ValueError`` if the tensors of a checkpoint differ from the module's, apart from the discriminator."""
    shapes = [
        {name: value.shape for name, value in each.items() if not name.startswith(DISCRIMINATOR_PREFIX)}
        for each in (weights, module.state_dict())
    ]
    if shapes[0] != shapes[1]:
        raise ValueError("other weights")
