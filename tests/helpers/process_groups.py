"""Trainings in several processes on this machine, connected by Gloo."""

import contextlib
import functools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from codec.dataset.location import open_split, parse_location
from codec.errors import UserError
from codec.model.quantizers import rvq
from codec.recipe import read_recipe
from codec.training import checkpointing, module, time_limit, trainer
from codec.training.array_check import ArrayCheck
from codec.training.batches import CountedBatch
from codec.training.initial_state import new_module
from codec.training.joining import OtherProcessEnded, joined_processes
from codec.training.own_crops import own_numbers
from codec.training.step import StepInputs, StepKind, TrainingStep
from tests.helpers.children import running, wait_for_end
from tests.helpers.runs import tiny_recipe


@contextlib.contextmanager
def started(count: int, target: Callable[..., object], *arguments: object) -> Iterator[list[BaseProcess]]:
    """Processes that call ``target`` with the environment variables of torchrun; they are killed at the end."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(running(call_as, rank, count, port, target, *arguments)) for rank in range(count)]


def together(count: int, target: Callable[..., object], *arguments: object) -> list[int]:
    """Call ``target`` in several processes, and return their exit statuses."""
    with started(count, target, *arguments) as processes:
        return [wait_for_end(process) for process in processes]


def call_as(rank: int, count: int, port: int, target: Callable[..., object], *arguments: object) -> None:
    """Call ``target`` as one of several processes."""
    torch.set_num_threads(1)
    names = {"RANK": rank, "WORLD_SIZE": count, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", **{name: str(value) for name, value in names.items()}}
    target(*arguments)


def train(
    recipe: Path, data: Path, folder: Path, event: str = "", at: int = 0, rank: int = 0, restarts: bool = False
) -> None:
    """Train with the losses of every step in the table of metrics.

    Each process writes its weights to ``FOLDER-RANK.pt`` at the end. The exit status is 130 after an interrupt, 3 if
    another process has ended, and 2 after another error, which is written to ``FOLDER-RANK.txt``.

    Args:
        recipe: the recipe file
        data: the prepared data
        folder: the folder of the run
        event: a signal, or "damage" (an error), or "recipe" (a learning rate of its own, from the start), or empty
        at: the step before which it happens
        rank: the process to which it happens
        restarts: restart dead codes, as trainings do
    """
    for name in ("SIGINT", "SIGHUP", "SIGTERM", "SIGUSR1"):
        signal.signal(signal.Signals[name], signal.SIG_DFL)
    own = int(os.environ.get("RANK", "0"))
    module.LOG_EVERY = 1
    if not restarts:
        _restart_nothing()
    checkpointing.CHECKPOINT_INTERVAL_S = 1e9
    step, end = module.CodecModule.training_step, module.CodecModule.on_train_end

    def training_step(self: module.CodecModule, *given: Any) -> None:
        if event and own == rank and self.state.step == at:
            if event == "damage":
                raise UserError("damaged")
            os.kill(os.getpid(), signal.Signals[event])
        step(self, *given)

    def on_train_end(self: module.CodecModule) -> None:
        torch.save(self.state_dict(), folder.with_name(f"{folder.name}-{own}.pt"))
        end(self)

    module.CodecModule.training_step, module.CodecModule.on_train_end = training_step, on_train_end  # type: ignore
    try:
        options = trainer.TrainingOptions(fit_tables=False)
        words = ["--optim.lr=0.1"] if event == "recipe" and own == rank else []
        trainer.train(read_recipe(str(recipe), words), data, folder, quiet=True, options=options)
    except KeyboardInterrupt:
        sys.exit(130)
    except UserError as error:
        folder.with_name(f"{folder.name}-{own}.txt").write_text(str(error))
        sys.exit(3 if isinstance(error, OtherProcessEnded) else 2)


def _restart_nothing() -> None:
    quantizer = rvq.ResidualVQ
    quantizer.update_codebooks = functools.partialmethod(quantizer.update_codebooks, threshold=0.0)  # type: ignore


@dataclass(frozen=True)
class Plan:
    """A training of :func:`train_in_turn`."""

    name: str
    """Name of the folder of the run."""
    data: str
    """Folder or URL of the data."""
    overrides: tuple[str, ...]
    """Settings of the tiny recipe."""
    fault: str = ""
    """What is wrong in every process but the first: "clock" (it runs a thousand times as fast) or "waveform" (it is not
    finite, from step 4 on)."""


def train_in_turn(folder: Path, cache: Path, plans: Sequence[Plan]) -> None:
    """Train several recipes one after the other in the same processes, with the losses of every step.

    Each process writes how they ended to ``NAME-RANK.txt``: steps and reason, or the error.

    Args:
        folder: folder of the runs
        cache: folder of the cache of shards
        plans: the trainings
    """
    os.environ |= {"LATHE_CACHE": str(cache), "LATHE_CACHE_GB": "0.001"}
    module.LOG_EVERY = 1
    _restart_nothing()
    folder.mkdir(exist_ok=True)
    options = trainer.TrainingOptions(fit_tables=False, keep_audio_samples=False)
    with joined_processes() as processes:
        trainer.joined_processes = lambda: contextlib.nullcontext(processes)
        for plan in plans:
            with pytest.MonkeyPatch.context() as patch:
                if not processes.is_leader and plan.fault:
                    _FAULTS[plan.fault](patch)
                recipe, run = tiny_recipe(*plan.overrides), folder / plan.name
                try:
                    ended = trainer.train(recipe, parse_location(plan.data), run, quiet=True, options=options)
                    said = f"{ended.steps} {ended.stopped}"
                except UserError as error:
                    said = str(error)
            (folder / f"{plan.name}-{processes.rank}.txt").write_text(said)


def _spoil_clock(patch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(monotonic=lambda: 1000 * time.monotonic())
    patch.setattr(time_limit, "time", clock)


def _spoil_waveform(patch: pytest.MonkeyPatch) -> None:
    step = module.CodecModule.training_step

    def training_step(self: module.CodecModule, batch: CountedBatch, index: int) -> None:
        if self.state.step >= 4:
            batch.waveform[0, 0, 5] = torch.nan
        step(self, batch, index)

    patch.setattr(module.CodecModule, "training_step", training_step)


_FAULTS = {"clock": _spoil_clock, "waveform": _spoil_waveform}


def steps_in_double(folder: Path, count: int, *overrides: str) -> None:
    """Train three steps in float64 on noise, with dead-code restarts unless ``train.accumulate`` is set.

    Each process writes ``COUNT-RANK.pt``.

    Args:
        folder: folder of the results
        count: number of processes
        overrides: settings of the tiny recipe
    """
    single = torch.Tensor.float
    # the codec computes latents in float32, whatever its weights
    torch.Tensor.float = lambda tensor: tensor if tensor.dtype == torch.float64 else single(tensor)  # type: ignore
    recipe = tiny_recipe("--losses={l1: 1.0, mdct_l1: 1.0}", "--codec.quantizer.frame_weights=learned", *overrides)
    noise = 0.1 * torch.randn(
        3, recipe.data.batch_size, 1, recipe.crop_samples, generator=torch.Generator().manual_seed(0)
    )
    with joined_processes() as processes:
        trained = new_module(recipe, processes=processes).double()
        if recipe.train.accumulate == 1:  # with parts, the order of the vectors depends on the number of processes
            trained.codec.quantizer.stages[0].usage[:] = 0.01  # to be restarted
        trained.share_batches()
        own, optimizers = own_numbers(recipe, processes), trained.configure_optimizers()
        step = TrainingStep(
            recipe, trained.codec, trained.average, trained.losses, None, optimizers, processes=processes
        )
        restarted = torch.zeros(())
        for number, batch in enumerate(noise.double()):
            generator = trained.generator_at(number)
            codebooks = trained.own_codebooks(generator).double()
            restarts = trained.codec.draw_restarts(generator).double()
            inputs = StepInputs(batch[own], codebooks, restarts, torch.tensor(0.1).double())
            result = step(inputs, StepKind(mel_scales=(0,)))
            restarted = restarted + result.statistics["restarted"]
        torch.save(trained.state_dict() | {"restarted": restarted}, folder / f"{count}-{processes.rank}.pt")


def check_arrays(data: Path, folder: Path) -> None:
    """Check the training arrays as a run does up to a validation; each process writes what it skips, to ``RANK.txt``.

    Args:
        data: the prepared data
        folder: folder of the text files
    """
    with joined_processes() as processes:
        split = open_split(data, "train", 16000, 1, max_damaged_share=0.9)
        check = ArrayCheck([split], processes)
        check.on_train_start()
        check.wait()
        check.on_validation_end()
        (folder / f"{processes.rank}.txt").write_text(" ".join(split.damaged))
