"""A training run from its recipe: read the data, begin or resume, train, and save the model."""

import logging
import warnings
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.environments import LightningEnvironment

from codec.config import Recipe
from codec.dataset.ledger import check_candidates, record_candidate
from codec.dataset.location import DataLocation
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.processes import ONE_PROCESS, Processes
from codec.pretrained.checkpoint import load_codec, save_model
from codec.pretrained.model_card import write_model_card
from codec.pretrained.model_folder import read_codec_config, read_training_info
from codec.recipe import read_recipe, write_recipe
from codec.runtime.messages import say, warn
from codec.training.array_check import ArrayCheck
from codec.training.audio_samples import AudioSampleLogger
from codec.training.best_model import BestModelCheckpoint
from codec.training.checkpointing import (
    CHECKPOINT_FOLDER,
    LAST_CHECKPOINT,
    CheckpointFiles,
    RunCheckpoint,
    continue_from_best,
    roll_back,
)
from codec.training.data_module import CodecData
from codec.training.divergence import ROLLBACK_LR_RATIO, Diverged
from codec.training.fit_frequency_tables import fit_tables
from codec.training.forecast import choose_validation_interval, forecast
from codec.training.graceful_interrupt import GracefulInterrupt, Interrupted
from codec.training.heard_audio_counter import HeardAudioCounter
from codec.training.initial_state import initialisation_batches, new_module, restore_run, set_first_weights
from codec.training.joining import joined_processes, own_device, require_same
from codec.training.loggers import check_logger, record_in_logger
from codec.training.metrics_log import METRICS_FILE, MetricsLog, comparable_curves, read_curves
from codec.training.module import CodecBuilder
from codec.training.monitors import CollapseMonitor, StatusLogger
from codec.training.progress import TrainingProgressBar
from codec.training.provenance import criterion, record_trained_clips
from codec.training.quantizer_start import QuantizerStart
from codec.training.run_folder import RESULT_FILE, SOUNDS_FOLDER, TrainingResult, lock_run_folder, read_result
from codec.training.state import TrainingState
from codec.training.status import explain_early_stop
from codec.training.step_lock import NO_LOCK, StepLock, StepLockHolder
from codec.training.strategy import SharedBatchStrategy
from codec.training.time_limit import TimeLimit

_RESUME_HINT = "the same command continues from the last checkpoint"


@dataclass(frozen=True)
class TrainingOptions:
    """Options for programs that train codecs, in addition to those of the recipe and the command line."""

    build: CodecBuilder = Codec
    """Makes the codec from its configuration. For architectures other than `Codec`, only the weights are saved."""
    fit_tables: bool = True
    """Fit the frequency tables of the range coder at the end. A model without them can be evaluated, but its files are
    larger."""
    keep_audio_samples: bool = True
    """Decode clips of the validation split at validations, and save them as audio files."""
    step_lock: StepLock = NO_LOCK
    """Held while the initial weights, a step or a batch of validation are computed; waiting for it does not count as
    training time."""
    alone: bool = False
    """Train in this process alone, also if torchrun or SLURM started it as one of several: each has work of its own."""


def train(
    recipe: Recipe,
    data: DataLocation,
    run: Path,
    *,
    init_from: Path | None = None,
    from_best: bool = False,
    quiet: bool = False,
    options: TrainingOptions | None = None,
) -> TrainingResult:
    """Train a codec, or resume the training in a folder where an earlier call stopped.

    Writes into the folder: ``recipe.yaml`` (if a run is resumed with other settings, its earlier recipe is renamed),
    ``metrics.csv``, the files of the recipe's logger (``tensorboard/`` by default), ``sounds/`` (validation clips,
    decoded over time), ``checkpoints/`` (the last one and that of the best validation), ``trained_clips.txt``,
    ``model/`` (the averaged weights with the lowest validation loss, with frequency tables fitted at the end, and the
    model card) and finally ``run.json``. If a run is resumed with other losses or validation clips, its model so far is
    moved to ``model-before-step-N/``.

    A process that torchrun, SLURM or ``codec train --devices`` started as one of several computes its share of each
    batch. The first one alone writes files and messages.

    Args:
        recipe: settings of the run. When a run is resumed, all but the architecture may change.
        data: the folder that ``codec prepare`` wrote, or another place, see :func:`codec.dataset.location.open_split`
        run: folder of the run. Only one process at a time may use it.
        init_from: folder of a model whose weights a new run starts from; it is validated as step 0, and remains the
            model of the run if no step is better
        from_best: continue from the checkpoint of the best validation instead of the last one
        quiet: print no messages and no forecast. Unless quiet, ``validate_every`` is also shortened so that ``codec
            health`` has enough validations.
        options: for programs that train codecs of their own; see :class:`TrainingOptions`

    Returns:
        How the run ended.

    Raises:
        UserError: the data or the checkpoint does not fit the recipe, processes differ in either, a packed array has
            changed since it was written, another process uses ``run``, which may also have ended on other data, the
            disk is full, the loss diverges, or one of several processes ended.
        KeyboardInterrupt: after Ctrl-C and similar signals, when a checkpoint has been written.
    """
    options = options or TrainingOptions()
    _silence_lightning()
    check_logger(recipe.logger)
    with nullcontext(ONE_PROCESS) if options.alone else joined_processes() as processes:
        _print(quiet, f"reading {data}")
        prepared = CodecData(data, recipe, processes=processes)
        require_same(processes, recipe=recipe, data=prepared.fingerprints)
        for crops in prepared.evaluation_crops:
            if note := crops.split.left_out or crops.split.describe_damage():
                _print(quiet, note)
        ended = None
        if processes.is_leader:
            ended = None if from_best else _find_result(run, recipe, prepared)
            check_candidates(data)
        if (ended := processes.from_leader(ended)) is not None:
            return ended
        _print(quiet or not torch.cuda.is_available(), prepared.make_resident(own_device()))
        with lock_run_folder(run) if processes.is_leader else nullcontext():
            if from_best and processes.is_leader:
                continue_from_best(run)
            training = _Training(recipe, prepared, run, quiet, options, processes)
            training.begin(init_from)
            if processes.is_leader:
                record_candidate(data, str(run.resolve()))
            training = _fit(training)
            result = training.result()
            if processes.is_leader:
                if options.fit_tables and isinstance(training.module.codec, Codec):
                    _fit_model_tables(run / "model", prepared, quiet)
                    write_model_card(run, run.resolve().name)
                result.write(run)
    return result


def _fit(training: "_Training") -> "_Training":
    """Train until the run is over, and return the training that ended it: another one after a divergence."""
    while True:
        try:
            training.fit()
            return training
        except Diverged as error:
            training = training.rolled_back(error)
            training.begin(None)


class _Training:
    """One call of the trainer, with the callbacks that take part in it."""

    def __init__(
        self,
        recipe: Recipe,
        data: CodecData,
        run: Path,
        quiet: bool,
        options: TrainingOptions,
        processes: Processes,
    ):
        self.recipe, self.data, self.folder, self.state = recipe, data, run, data.state
        self.quiet, self.options, self.processes = quiet, options, processes
        self.last = run / CHECKPOINT_FOLDER / LAST_CHECKPOINT
        self.resuming = processes.from_leader(self.last.is_file())
        self.metrics = MetricsLog(run / METRICS_FILE if processes.is_leader else None)
        self.module = new_module(recipe, options.build, data.state, self.metrics, processes)
        self.module.data_fingerprints = data.fingerprints
        self._make_callbacks()

    def _make_callbacks(self) -> None:
        """Make the callbacks, whose hooks Lightning calls in the order of this list.

        TimeLimit must count a step before StepLockHolder releases the lock. BestModelCheckpoint saves the counts of
        HeardAudioCounter, so it follows it, and precedes the callbacks that report and save its result. RunCheckpoint
        saves the state of all callbacks before it, so it follows them. GracefulInterrupt comes last, since it ends the
        run after a checkpoint.
        """
        recipe, state, run, processes = self.recipe, self.state, self.folder, self.processes
        validation, split = self.data.val_crops, self.data.train_crops.split
        lock = StepLockHolder(self.options.step_lock)
        self.counter = HeardAudioCounter(split, processes)
        self.arrays = ArrayCheck([crops.split for crops in self.data.evaluation_crops], processes, self.quiet)
        self.limit = TimeLimit(recipe, state, self.metrics, lock, processes)
        self.best = BestModelCheckpoint(
            run / "model", self.module, split.summary, self.counter, criterion(recipe, validation.split), processes
        )
        self.collapse = CollapseMonitor(state, recipe.train.stop_on_collapse, self.data.train_crops)
        checkpoint = RunCheckpoint(run, state, self.best, self.metrics, processes)
        self.interrupt = GracefulInterrupt(checkpoint, processes)
        # what writes or prints is the leader's; all take part in what is decided
        self.callbacks: list[Callback] = [self.arrays, self.limit, lock]
        self.callbacks += [QuantizerStart(self.module, self.data.train_crops), self.counter]
        if processes.is_leader:
            self.callbacks.append(TrainingProgressBar(state, self.limit))
        self.callbacks.append(self.best)
        if processes.is_leader:
            self.callbacks.append(StatusLogger(run, recipe, state, self.metrics, validation))
        self.callbacks.append(self.collapse)
        if processes.is_leader and self.options.keep_audio_samples:
            self.callbacks.append(AudioSampleLogger(run / SOUNDS_FOLDER, validation.split, self.module, self.best))
        self.callbacks += [checkpoint, self.interrupt]

    def begin(self, init_from: Path | None) -> None:
        """Load the last checkpoint or initialise the weights, and reset the run folder's logs to that step.

        The leader does so for all processes.
        """
        if self.processes.is_leader:
            self._begin(init_from)
        for name, value in self.processes.from_leader(vars(self.state)).items():
            setattr(self.state, name, value)
        module = self.module
        module.average.compatible_fingerprints = self.processes.from_leader(module.average.compatible_fingerprints)
        self.processes.copy_from_leader(module.state_dict().values())

    def _begin(self, init_from: Path | None) -> None:
        module, run, recipe = self.module, self.folder, self.recipe
        if self.resuming:
            restore_run(module, self.last, run, self.best.criterion, self.quiet)
        else:
            seconds = initialisation_batches(recipe) * recipe.step_audio_s
            _print(self.quiet, f"initial weights: {init_from or f'fitted to {seconds:.0f} s of audio'}")
            with self.options.step_lock:
                set_first_weights(module, self.data.train_crops, init_from)
            if init_from is not None:
                self.counter.start_from(init_from)
                self.state.starts_from_model = True
                if read_codec_config(init_from) == recipe.codec:
                    self.best.parent = init_from
            self.metrics.go_back(0, 0)
        (run / RESULT_FILE).unlink(missing_ok=True)
        write_recipe(run / "recipe.yaml", recipe)
        record_trained_clips(run, self.data.train_crops.split, init_from)

    def fit(self) -> None:
        """Train until the run is over; the exceptions are those of :func:`train`."""
        trainer = self._make_trainer()
        if not self.quiet and self.processes.is_leader:
            self._forecast(trainer.strategy.root_device)
        self.state.validate_every = self.processes.from_leader(self.state.validate_every)
        self.module.share_batches()
        is_leader = self.processes.is_leader
        purge_step = self._purge_step()
        logger = record_in_logger(self.metrics, self.recipe, self.folder, purge_step) if is_leader else nullcontext()
        try:
            with logger, self.interrupt:
                trainer.fit(self.module, self.data, ckpt_path=self.last if self.resuming else None)
            self.processes.wait()
        except Interrupted:
            self.processes.wait()  # launchers end the others when the first one has gone
            raise KeyboardInterrupt from None
        except (RuntimeError, ConnectionError, EOFError) as error:
            # If a loader is killed, the kind of error depends on what the main process is doing at that moment.
            if isinstance(error, RuntimeError) and not str(error).startswith("DataLoader worker"):
                raise
            reason = "a process that loads data (data.workers) was killed, as the system does when memory runs out"
            raise UserError(f"{reason}; {_RESUME_HINT}") from error
        except OSError as error:
            reason = f"{error.filename or self.folder}: {error.strerror or error}"
            raise UserError(f"{reason}; {_RESUME_HINT}") from error
        self.arrays.wait()

    def _purge_step(self) -> int | None:
        """Return the step from which a resumed run records values again."""
        # values of an interrupted validation are recorded again at the present step
        return self.state.step + (not self.state.validation_is_next(False)) if self.resuming else None

    def _make_trainer(self) -> L.Trainer:
        device = own_device()
        return L.Trainer(
            accelerator=device.type,
            devices=1,
            strategy=SharedBatchStrategy(device, self.processes),
            precision="bf16-mixed" if self.recipe.train.precision == "bf16" else "32-true",
            max_epochs=-1,  # TimeLimit ends the run; an epoch is the part between two validations
            check_val_every_n_epoch=1,
            num_sanity_val_steps=0,
            reload_dataloaders_every_n_epochs=1,
            callbacks=self.callbacks,
            logger=False,  # the module writes to the metrics log, which passes values to the recipe's logger
            plugins=[CheckpointFiles(self.folder, self.processes), LightningEnvironment()],
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            default_root_dir=self.folder / CHECKPOINT_FOLDER,
        )

    def _forecast(self, device: torch.device) -> None:
        """Print how long the run will take, and shorten the interval of validations if it is too long for the run."""
        state, every = self.state, self.recipe.train.validate_every
        if (devices := torch.cuda.device_count()) > 1 and self.processes is ONE_PROCESS:
            say(f"training on one of {devices} GPUs; codec train --devices {devices} uses all")
        if self.recipe.train.cuda_graph and device.type != "cuda":
            say("train.cuda_graph needs an NVIDIA GPU; steps are computed as usual")
        say(f"codec: {self.recipe.codec.text()}")
        say("measuring the speed")
        expected = forecast(self.module, self.data, device, fit_tables=self.options.fit_tables)
        if state.validate_every == every:
            state.validate_every = choose_validation_interval(self.recipe, state.step + expected.steps)
        say(expected.text(state.validate_every))
        if state.validate_every != every:
            say(
                f"validates every {state.validate_every} steps: the recipe's interval of {every} steps is too long for"
                " `codec health` to diagnose this run"
            )

    def rolled_back(self, error: Diverged) -> "_Training":
        """Return a training that goes on from the best validation, with a lower learning rate.

        Args:
            error: how this one diverged; raised again if the recipe permits no further rollback, or there was no
                validation before
        """
        rollbacks, most = self.state.rollbacks + 1, self.recipe.train.rollbacks
        leads = self.processes.is_leader and rollbacks <= most
        step = self.processes.from_leader(roll_back(self.folder, rollbacks) if leads else None)
        if step is None:
            raise error
        if self.processes.is_leader:
            warn(
                f"warning: {error.reason}; the run goes back to its best validation, at step {step:,}, with"
                f" {ROLLBACK_LR_RATIO**rollbacks:g} of the learning rate (rollback {rollbacks} of {most})"
            )
        self.data.state = TrainingState(validate_every=self.recipe.train.validate_every)
        return _Training(self.recipe, self.data, self.folder, self.quiet, self.options, self.processes)

    def result(self) -> TrainingResult:
        """Describe how the run ended."""
        described = self.processes.from_leader(self._result() if self.processes.is_leader else None)
        assert described is not None
        return described

    def _result(self) -> TrainingResult:
        reason = self.collapse.reason or self.limit.reason
        if not reason and self.best.out_of_patience:
            validation = comparable_curves(read_curves(self.folder))[("val", "total")]
            reason = explain_early_stop(validation, self.recipe.train.patience)
        return TrainingResult(
            steps=self.state.step,
            stopped=reason or "all steps done",
            best_step=self.best.best_step,
            best_validation_loss=self.best.best,
            minutes=self.limit.elapsed_s / 60,
            data=self.data.fingerprints,
        )


def _print(quiet: bool, text: str) -> None:
    if not quiet:
        say(text)


def _silence_lightning() -> None:
    """Lightning reports devices and gives advice on loaders; here the recipe decides both."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", module="lightning")


def _find_result(run: Path, recipe: Recipe, data: CodecData) -> TrainingResult | None:
    """Return how a run of this recipe ended; None if it has not ended, or ended with another recipe."""
    if not (run / RESULT_FILE).is_file() or read_recipe(str(run / "recipe.yaml")) != recipe:
        return None
    result = read_result(run)  # None if damaged: then the checkpoint decides
    if result is not None and result.data not in ("", data.fingerprints):
        raise UserError(
            f"{run}: a run of this recipe has ended here on other data; choose another --run, or raise train.steps or"
            " train.max_minutes to go on with this data"
        )
    return result


def _fit_model_tables(folder: Path, data: CodecData, quiet: bool) -> None:
    """Fit the frequency tables of the best model.

    A model that must decode its parent's files, or that is its parent, keeps the parent's tables.
    """
    codec, info = load_codec(folder), read_training_info(folder)
    if codec.compatible_fingerprints or "tables" in info:
        return
    info["tables"] = asdict(fit_tables(codec, data.train_crops.split, data.val_crops.split, quiet=quiet))
    save_model(folder, codec, info)
