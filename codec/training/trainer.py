"""A training run from its recipe: set up, resume, train, and leave a model behind."""

import logging
import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.plugins.environments import LightningEnvironment

from codec.config import Recipe
from codec.dataset.ledger import check_candidates, record_candidate
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_model, read_info, save_model
from codec.recipe import read_recipe, write_recipe
from codec.training.array_check import ArrayCheck
from codec.training.audio_samples import AudioSampleLogger
from codec.training.best_model import BestModelCheckpoint
from codec.training.callbacks import CollapseMonitor, ProgressBar, StatusLogger, TimeLimit
from codec.training.checkpoints import (
    FOLDER,
    LAST,
    CheckpointFiles,
    RunCheckpoint,
    go_back_to_best,
)
from codec.training.curves_logger import CurvesLogger
from codec.training.data import CodecData
from codec.training.fit_diagnosis import MIN_POINTS
from codec.training.fit_frequency_tables import fit_tables
from codec.training.forecast import forecast
from codec.training.graceful_interrupt import GracefulInterrupt, Interrupted
from codec.training.initial_state import first_batches, go_on, new_module, set_first_weights
from codec.training.metrics_log import METRICS_FILE, comparable_curves, read_curves
from codec.training.module import CodecBuilder
from codec.training.provenance import criterion, record_trained_clips
from codec.training.run_folder import RESULT_FILE, SOUNDS_FOLDER, TrainingResult, lock_run_folder, read_result
from codec.training.status import why_early
from codec.training.tensorboard_log import tensorboard_loggers, write_errors_reported_once

ALONE: AbstractContextManager[object] = nullcontext()


def train(
    recipe: Recipe,
    data: Path,
    run: Path,
    *,
    init_from: Path | None = None,
    from_best: bool = False,
    quiet: bool = False,
    build: CodecBuilder = Codec,
    tables: bool = True,
    sounds: bool = True,
    around_steps: AbstractContextManager[object] = ALONE,
) -> TrainingResult:
    """Train ``recipe`` on the prepared ``data`` into the folder ``run``; go on where an earlier call stopped.

    Writes ``recipe.yaml`` (where a run goes on with other settings, those before are kept beside it), ``metrics.csv``,
    ``tensorboard/`` if that is installed, ``sounds/`` (validation clips as they were decoded over time),
    ``checkpoints/`` (the last one and that of the best validation), ``trained_clips.txt``, ``model/`` (the averaged
    weights with the lowest validation loss; at the end its frequency tables are fitted) and then ``run.json``. Where a
    run goes on with other losses or validation clips, the model chosen by those before moves to
    ``model-before-step-N/``.

    Args:
        recipe: what to train. Of a run that goes on, all but the architecture may change.
        data: folder written by ``codec prepare``.
        run: folder of the run, which one process at a time may use.
        init_from: model whose weights a new run starts from.
        from_best: go on from the best validation in place of the last checkpoint.
        quiet: else says what it does and forecasts what it will take; a run in which the recipe's ``validate_every`` is
            too seldom for a verdict is then judged more often.
        build: makes the codec from its configuration; of another architecture than ``Codec`` the weights alone are
            kept.
        tables: whether these are fitted at the end; without, the model is to be judged, and not to write files.
        sounds: whether validation clips are decoded.
        around_steps: entered for the first weights, each step and each batch of validation, and can be entered again;
            to wait there does not count as training.

    Raises:
        UserError: data or checkpoint do not fit the recipe, a packed array has changed since it was written, another
            process works in ``run``, the disk is full, or the loss diverges.
        KeyboardInterrupt: after Ctrl-C and the like, with a checkpoint written.
    """
    _hush()
    _require_one_process()
    _say(quiet, f"reading {data}")
    prepared = CodecData(data, recipe)
    if not from_best and (ended := _ended(run, recipe)) is not None:
        return ended
    check_candidates(data)
    with lock_run_folder(run):
        if from_best:
            go_back_to_best(run)
        fit = _Fit(recipe, prepared, run, build, quiet, sounds, around_steps)
        fit.begin(init_from)
        record_candidate(data, str(run.resolve()))
        fit.run()
        if tables and isinstance(fit.module.codec, Codec):
            _finish_model(run / "model", prepared, quiet)
        result = fit.result()
        result.write(run)
    return result


class _Fit:
    """One call of the trainer, with all that takes part in it."""

    def __init__(
        self,
        recipe: Recipe,
        data: CodecData,
        run: Path,
        build: CodecBuilder,
        quiet: bool,
        sounds: bool,
        around_steps: AbstractContextManager[object],
    ):
        self.recipe, self.data, self.folder, self.quiet, self.around_steps = recipe, data, run, quiet, around_steps
        self.last = run / FOLDER / LAST
        self.resuming = self.last.is_file()
        self.module = new_module(recipe, build)
        validation, training = data.fixed_crops[1], data.train_crops
        self.module.data_fingerprints = f"{training.split.fingerprint} {validation.split.fingerprint}"
        self.curves = CurvesLogger(run / METRICS_FILE)
        self.limit = TimeLimit(recipe, around_steps)
        self.best = BestModelCheckpoint(
            run / "model", recipe, training.split.summary, criterion(recipe, validation.split)
        )
        self.collapse = CollapseMonitor(recipe.train.stop_on_collapse, training)
        self.arrays = ArrayCheck([crops.split for crops in data.fixed_crops])
        checkpoint = RunCheckpoint(run, self.best, self.curves)
        self.interrupt = GracefulInterrupt(checkpoint)
        # the order counts: the best is known before what depends on it is told and kept, last of all the checkpoint
        self.callbacks = [
            self.arrays,
            self.limit,
            ProgressBar(self.limit),
            self.best,
            StatusLogger(run, recipe, validation),
            self.collapse,
            *([AudioSampleLogger(run / SOUNDS_FOLDER, validation.split, recipe, self.best)] if sounds else []),
            checkpoint,
            self.interrupt,
        ]

    def begin(self, init_from: Path | None) -> None:
        """Set the module to the last checkpoint, or to first weights, and the folder to the same step."""
        module, run = self.module, self.folder
        if self.resuming:
            go_on(module, self.last, run, self.best.criterion, self.curves, self.quiet)
        else:
            sound = f"fitted to {first_batches(self.recipe) * self.recipe.step_audio_s:.0f} s of audio"
            _say(self.quiet, f"first weights: {init_from or sound}")
            with self.around_steps:
                set_first_weights(module, self.data.train_crops, init_from)
            self.curves.go_back(0, 0)
        (run / RESULT_FILE).unlink(missing_ok=True)
        write_recipe(run / "recipe.yaml", self.recipe)
        record_trained_clips(run, self.data.train_crops.split, init_from)

    def run(self) -> None:
        """Train until the run is over.

        Raises:
            UserError, KeyboardInterrupt: see :func:`train`.
        """
        trainer = self._trainer()
        if not self.quiet:
            self._forecast(trainer.strategy.root_device)
        try:
            with write_errors_reported_once(), self.interrupt:
                trainer.fit(self.module, self.data, ckpt_path=self.last if self.resuming else None)
        except Interrupted:
            raise KeyboardInterrupt from None
        except (RuntimeError, ConnectionError, EOFError) as error:
            # Which of these it is depends on what the process was about: its pipes break, or its end is noticed first.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
                raise
            reason = "a process that loads data (data.workers) was killed, as the system does where memory runs out"
            raise UserError(f"{reason}; the same command goes on from the last checkpoint") from error
        except OSError as error:
            reason = f"{error.filename or self.folder}: {error.strerror or error}"
            raise UserError(f"{reason}; the same command goes on from the last checkpoint") from error

    def _trainer(self) -> L.Trainer:
        # what comes after the checkpoint is written again; so is what belongs to a validation that was broken off
        purge = self.module.step + (not self.module.validation_is_next(False)) if self.resuming else None
        return L.Trainer(
            accelerator="auto",
            devices=1,
            precision="bf16-mixed" if self.recipe.train.precision == "bf16" else "32-true",
            max_epochs=-1,  # the time limit ends it; an epoch is what lies between two validations
            check_val_every_n_epoch=1,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            callbacks=self.callbacks,
            logger=[*tensorboard_loggers(self.folder, purge), self.curves],
            plugins=[CheckpointFiles(self.folder), LightningEnvironment()],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=self.folder / FOLDER,
        )

    def _forecast(self, device: torch.device) -> None:
        module, every = self.module, self.recipe.train.validate_every
        if (devices := torch.cuda.device_count()) > 1:
            _say(self.quiet, f"training on one of {devices} GPUs: a run uses one device")
        _say(self.quiet, "measuring the speed")
        expected = forecast(module, self.data, device)
        if module.validate_every == every:
            module.validate_every = interval(self.recipe, module.step + expected.steps)
        _say(self.quiet, expected.text(module.validate_every))
        if module.validate_every != every:
            _say(
                self.quiet,
                f"validates every {module.validate_every} steps: every {every}, as the recipe has it, is too seldom for"
                " a verdict on this run",
            )

    def result(self) -> TrainingResult:
        """How the run ended."""
        reason = self.collapse.reason or self.limit.reason
        if not reason and self.best.out_of_patience:
            validation = comparable_curves(read_curves(self.folder))[("val", "total")]
            reason = why_early(validation, self.recipe.train.patience)
        return TrainingResult(
            steps=self.module.step,
            stopped=reason or "all steps done",
            best_step=self.best.best_step,
            best_validation_loss=self.best.best,
            minutes=self.limit.elapsed_s / 60,
        )


def _say(quiet: bool, text: str) -> None:
    if not quiet:
        print(text, flush=True)


def _require_one_process() -> None:
    """Training on several devices, or several copies of one training, is not built.

    Raises:
        UserError: this process was started as one of several.
    """
    for variable in ("WORLD_SIZE", "SLURM_STEP_NUM_TASKS"):
        if os.environ.get(variable, "1") not in ("", "0", "1"):
            raise UserError(
                f"training runs in one process on one device, and {variable} is {os.environ[variable]}; start it once,"
                " without torchrun, or with one task"
            )


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
    if not (run / RESULT_FILE).is_file() or read_recipe(str(run / "recipe.yaml")) != recipe:
        return None
    return read_result(run)  # where it is damaged, the checkpoint knows how far the run is


def interval(recipe: Recipe, steps: int) -> int:
    """Steps between validations in a run of so many: those of the recipe, or a tenth of the run where that would be too
    few validations for a verdict."""
    every = recipe.train.validate_every
    return every if steps >= MIN_POINTS * every else min(every, max(1, steps // 10))


def _hush() -> None:
    """Lightning announces devices and advises on workers; here that is decided by the recipe."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")
