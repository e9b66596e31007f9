"""A training run from its recipe: set up, resume, train, and leave a model behind."""

import logging
import math
import threading
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import EarlyStopping
from lightning.pytorch.loggers import TensorBoardLogger

from codec.checkpoint import fingerprint, load_model, read_info, save_model
from codec.config import Recipe
from codec.errors import UserError
from codec.ledger import record_candidate
from codec.model.codec import Codec
from codec.recipe import changes, read_recipe, write_recipe
from codec.training.callbacks import Bar, Clock, Health, Interrupted, KeepBest, KeepCheckpoint, StopSafely, Tell
from codec.training.curves import METRICS, read_curves
from codec.training.data import CodecData, Crops
from codec.training.diagnosis import FEWEST
from codec.training.folder import RESULT, SOUNDS, TrainingResult, keep_recipe, read_result
from codec.training.forecast import forecast
from codec.training.logger import CurvesLogger
from codec.training.lr_range import LearningRateRange, learning_rate_range
from codec.training.module import Build, CodecModule
from codec.training.sounds import KeepSounds
from codec.training.standing import step_audio_s, why_early
from codec.training.tables import fit_tables

INITIAL_SECONDS = 600.0
"""So much sound, or all batches of a shorter run, the codec is initialised from: 30 vectors an entry of a codebook."""
ALONE: AbstractContextManager[object] = nullcontext()


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    init_from: Path | None = None,
    quiet: bool = False,
    build: Build = Codec,
    tables: bool = True,
    sounds: bool = True,
    around_steps: AbstractContextManager[object] = ALONE,
) -> TrainingResult:
    """Trains ``recipe`` on the prepared ``data`` into the folder ``run``; goes on where an earlier call stopped.

    ``build`` makes the codec from its configuration; of another architecture than ``Codec`` the weights alone are kept.
    Without ``tables`` these are not fitted at the end: the model is to be judged, and not to write files.
    ``around_steps`` is entered for the first weights, each step and each batch of validation, and can be entered again;
    to wait there does not count as training.

    Unless ``quiet``, says what it does and forecasts what it will take; a run in which the recipe's ``validate_every``
    is too seldom for a verdict is then judged more often.

    Writes ``recipe.yaml`` (where a run goes on with other settings, those before are kept beside it), ``metrics.csv``,
    ``tensorboard/``, ``sounds/`` (unless told not to: validation clips as they were decoded over time),
    ``checkpoints/last.ckpt``, ``model/`` (the averaged weights with the lowest validation loss; at the end its
    frequency tables are fitted) and then ``run.json``.

    Raises ``UserError`` where data or checkpoint do not fit the recipe, ``KeyboardInterrupt`` after Ctrl-C (with a
    checkpoint written).
    """
    _hush()

    def say(text: str) -> None:
        if not quiet:
            print(text, flush=True)

    say(f"reading {data}")
    prepared = CodecData(data, recipe)
    if (ended := _ended(run, recipe)) is not None:
        return ended
    checkpoint = run / "checkpoints" / "last.ckpt"
    module = new_module(recipe, build)
    resuming = checkpoint.is_file()
    if resuming:
        changed = _go_on(module, checkpoint, run)
        say(f"going on from step {module.step:,}")
        if changed:
            kept = keep_recipe(run, module.step)
            say(f"with other settings: {', '.join(changed)}; those before are in {kept}")
    else:
        sound = f"fitted to {_first_batches(recipe) * step_audio_s(recipe):.0f} s of audio"
        say(f"first weights: {init_from or sound}")
        with around_steps:
            _start(module, prepared.train_crops, init_from)
    run.mkdir(parents=True, exist_ok=True)
    (run / RESULT).unlink(missing_ok=True)
    write_recipe(run / "recipe.yaml", recipe)
    record_candidate(data, str(run.resolve()))

    keep, clock = KeepCheckpoint(checkpoint), Clock(recipe, around_steps)
    best, health = (
        KeepBest(run / "model", recipe, prepared.train_crops.split.material),
        Health(recipe.train.stop_on_collapse),
    )
    # the order counts: the best model is known before what depends on it is told and kept, last of all the checkpoint
    callbacks = [clock, Bar(clock), best, Tell(run, recipe, prepared.fixed_crops[1]), health]
    if sounds:
        callbacks.append(KeepSounds(run / SOUNDS, prepared.fixed_crops[1].split, recipe, best))
    safely = StopSafely(keep)
    callbacks += [keep, safely]
    patience = None
    if recipe.train.patience:
        patience = EarlyStopping("val_total", patience=recipe.train.patience, min_delta=0.0)
        callbacks.insert(0, patience)
    curves = CurvesLogger(run / METRICS)
    curves.forget_after(module.step)
    trainer = L.Trainer(
        accelerator="auto",
        devices="auto" if torch.cuda.is_available() else 1,
        precision="bf16-mixed" if recipe.train.precision == "bf16" else "32-true",
        max_epochs=-1,  # the clock ends it; an epoch is what lies between two validations
        check_val_every_n_epoch=1,
        num_sanity_val_steps=0,
        reload_dataloaders_every_n_epochs=1,
        callbacks=callbacks,
        logger=[TensorBoardLogger(run, name="tensorboard", version=""), curves],
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        default_root_dir=run,
    )
    if not quiet:
        say("measuring the speed")
        expected = forecast(module, prepared.train_crops, trainer.strategy.root_device)
        say(expected.text())
        if module.validate_every == recipe.train.validate_every:
            module.validate_every = interval(recipe, module.step + expected.steps)
        if module.validate_every != recipe.train.validate_every:
            say(
                f"validates every {module.validate_every} steps: every {recipe.train.validate_every}, as the recipe has"
                " it, is too seldom for a verdict on this run"
            )
    threading.excepthook, before = _told_by_the_main_thread, threading.excepthook
    try:
        with safely:
            trainer.fit(module, prepared, ckpt_path=checkpoint if resuming else None, weights_only=False)
    except Interrupted:
        raise KeyboardInterrupt from None
    except OSError as error:
        reason = f"{error.filename or run}: {error.strerror or error}"
        raise UserError(f"{reason}; the same command goes on from the last checkpoint") from error
    finally:
        threading.excepthook = before
    if tables and isinstance(module.codec, Codec):
        _finish_model(run / "model", prepared, quiet)
    reason = health.reason or clock.reason
    if not reason and patience is not None and patience.stopped_epoch:
        validation = read_curves(run).get(("val", "total"))
        if validation is None or not math.isfinite(float(trainer.callback_metrics["val_total"])):
            reason = "the validation loss is not finite"
        else:
            reason = why_early(validation, recipe.train.patience)
    result = TrainingResult(
        steps=module.step,
        stopped=reason or "all steps done",
        best_step=best.best_step,
        best_validation_loss=best.best,
        minutes=clock.elapsed_s / 60,
    )
    result.write(run)
    return result


def range_test(recipe: Recipe, data: Path) -> LearningRateRange:
    """Learning-rate range test for the recipe on the prepared data; leaves nothing behind."""
    module, crops = new_module(recipe), CodecData(data, recipe).train_crops
    _start(module, crops, None)
    return learning_rate_range(module.to("cuda" if torch.cuda.is_available() else "cpu"), crops)


def new_module(recipe: Recipe, build: Build = Codec) -> CodecModule:
    """With first weights that depend on the recipe's seed alone."""
    torch.manual_seed(recipe.train.seed)
    return CodecModule(recipe, build)


def _start(module: CodecModule, crops: Crops, init_from: Path | None) -> None:
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
    return torch.cat([crops[step] for step in range(_first_batches(module.recipe))])


def _first_batches(recipe: Recipe) -> int:
    return min(math.ceil(INITIAL_SECONDS / step_audio_s(recipe)), recipe.train.steps)


def _finish_model(folder: Path, data: CodecData, quiet: bool) -> None:
    """Fits the frequency tables of the best model. Those of a model that decodes the files of its parent are the
    parent's, and stay."""
    codec, info = load_model(folder), read_info(folder)
    if codec.decodes or "tables" in info:
        return
    info["tables"] = asdict(fit_tables(codec, data.train_crops.split, quiet=quiet))
    save_model(folder, codec, info)


def _ended(run: Path, recipe: Recipe) -> TrainingResult | None:
    """How this very run ended, if it did. With more steps or minutes in the recipe it is not the same, and goes on."""
    if not (run / RESULT).is_file() or read_recipe(str(run / "recipe.yaml")) != recipe:
        return None
    return read_result(run)  # where it is damaged, the checkpoint knows how far the run is


def _go_on(module: CodecModule, checkpoint: Path, run: Path) -> list[str]:
    """Sets ``module`` to the step at which ``checkpoint`` stands, and to its interval of validation where the recipe
    says the same of its time. Returns what else the recipe says than before: anything but the architecture may."""
    before, recipe = read_recipe(str(run / "recipe.yaml")), module.recipe
    if before.codec != recipe.codec:
        raise UserError(f"{run}: holds a run with another architecture; choose another --run")
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=False)
        module.step = state["step"]
    except Exception as error:
        raise UserError(f"{checkpoint}: not a checkpoint that can be resumed; delete it to start again") from error
    if before.train == recipe.train:
        module.validate_every = state.get("validate_every", module.validate_every)
    return changes(before, recipe)


def interval(recipe: Recipe, steps: int) -> int:
    """Steps between validations in a run of so many: those of the recipe, or a tenth of the run where that would be too
    few validations for a verdict."""
    every = recipe.train.validate_every
    return every if steps >= FEWEST * every else min(every, max(1, steps // 10))


def _hush() -> None:
    """Lightning announces devices and advises on workers; here that is decided by the recipe."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")


def _told_by_the_main_thread(failure: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread prints the error that it then raises in the main thread."""
    if not issubclass(failure.exc_type, OSError):
        threading.__excepthook__(failure)
