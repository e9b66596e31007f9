"""Kill a training at random moments until it has ended, and compare what it leaves with an unbroken run.

``python -m eval.benchmarks.survival --kills 30 --out FOLDER`` trains a tiny codec on sounds that it makes itself, with
discriminator, early stopping and dropout: once unbroken, then as often as it takes for that number of SIGKILLs, each
time from the last checkpoint. Weights, optimisers, models with their tables, and metrics must be equal bit by bit.
``--processes 2`` trains in two processes, which are killed together, and ``--streamed`` on data over HTTP.
"""

import argparse
import csv
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import torch

from codec import audio
from codec.dataset.ledger import FOLDER_VARIABLE as LEDGERS_VARIABLE
from codec.dataset.shard_cache import FOLDER_VARIABLE as CACHE_VARIABLE
from codec.errors import UserError
from codec.runtime.progress import ProgressBar
from eval.benchmarks.shard_streaming import serve_folder
from eval.pages.text_table import Table

OVERRIDES = (
    *("--codec.encoder.width=16", "--codec.encoder.depth=1", "--codec.encoder.dropout=0.1"),
    *("--codec.decoder.width=16", "--codec.decoder.depth=1", "--codec.decoder.dropout=0.1"),
    *("--codec.quantizer.codebooks=3", "--codec.quantizer.codebook_size=32", "--codec.quantizer.latent_dim=16"),
    *("--codec.quantizer.contexts=4", "--data.batch_size=2", "--data.crop_s=0.24", "--optim.warmup_steps=5"),
    *("--adversarial.weight=0.1", "--adversarial.width=4", "--adversarial.start_step=20"),
    *("--train.steps=160", "--train.validate_every=10", "--train.validation_clips=8", "--train.patience=12"),
)
"""A recipe whose steps take milliseconds, with everything that has a state."""

CLOCK_TERMS = ("audio_s_per_s", "minutes", "judging_s")
"""Metrics that depend on the clock."""

_BARS = {"training": "training or validation", "code statistics": "tables", "contexts of codes": "tables"}
"""Phases by the name of the progress bar that is shown."""
_STARTING, _SAVING = "start", "checkpoint or model being written"
_SPEAKERS, _CLIPS, _CLIP_S, _RATE = 12, 3, 4.0, 16_000


def make_sounds(folder: Path) -> None:
    """Write files of noise whose level and spectrum change, of several made-up speakers.

    Args:
        folder: folder to create.
    """
    generator = np.random.default_rng(0)
    for speaker in range(_SPEAKERS):
        (folder / f"speaker{speaker:02}").mkdir(parents=True)
        for clip in range(_CLIPS):
            count = int(_CLIP_S * _RATE)
            noise = generator.standard_normal(count)
            smooth = np.convolve(noise, np.hanning(4 + 4 * speaker), "same")
            envelope = 0.1 + np.abs(np.sin(np.arange(count) * (3 + clip) / _RATE))
            wave = (0.3 * smooth * envelope / np.abs(smooth).max()).astype(np.float32)
            audio.write(folder / f"speaker{speaker:02}/{clip}.wav", wave[None], _RATE)


def differences(one: Path, other: Path) -> list[str]:
    """Compare two finished runs.

    Args:
        one: folder of a run.
        other: folder of another.

    Returns:
        What differs: names of tensors, files and metrics; empty if nothing does.
    """
    states = [torch.load(run / "checkpoints/last.ckpt", map_location="cpu", weights_only=True) for run in (one, other)]
    found = []
    for part in ("step", "state_dict", "optimizer_states"):
        ours, theirs = (_leaves(state[part], part) for state in states)
        found += sorted(ours.keys() ^ theirs.keys())
        found += [name for name in ours.keys() & theirs.keys() if not _equal(ours[name], theirs[name])]
    weights = [(run / "model/model.safetensors").read_bytes() for run in (one, other)]
    if weights[0] != weights[1]:
        found.append("model/model.safetensors")
    metrics = [_read_metrics(run) for run in (one, other)]
    if metrics[0] != metrics[1]:
        found.append("metrics.csv")
    return found


def _leaves(value: object, name: str) -> dict[str, object]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {name: value}
    return {path: leaf for key, item in items for path, leaf in _leaves(item, f"{name}/{key}").items()}


def _equal(one: object, other: object) -> bool:
    return (
        torch.equal(one, other) if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor) else one == other
    )


def _read_metrics(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["term"] not in CLOCK_TERMS]


class _Run:
    """One ``codec train``, with its output in a file."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], folder: Path, log: Path):
        self._folder, self._log = folder, log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def wait(self, seconds: float | None) -> bool:
        """Wait for the end, and return whether it has come; an error ends this program."""
        try:
            status = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        if status:
            raise UserError(f"the training ended with status {status}; see {self._log}")
        return True

    def wait_for_training(self) -> bool:
        """Wait until the first step or the end, and return whether it has ended."""
        while not self.wait(0.05):
            if self.phase() != _STARTING:
                return False
        return True

    def wait_for_saving(self) -> bool:
        """Wait until a checkpoint or a model is being written or the end, and return whether it has ended."""
        while not self.wait(0.001):
            if self._is_saving():
                return False
        return True

    def kill(self) -> str:
        """Kill the process and those that it started, and return the phase that it was in."""
        process = self._process.pid
        os.kill(process, signal.SIGSTOP)  # so that it starts no others meanwhile
        for group in (*_children(process), process):  # processes that train together have sessions of their own
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
        self._process.wait()
        return self.phase()

    def phase(self) -> str:
        """Return the phase that the process is in, or was killed in."""
        if self._is_saving():
            return _SAVING
        text = self._log.read_text(errors="replace")
        last = max(_BARS, key=text.rfind)
        return _BARS[last] if last in text else _STARTING

    def _is_saving(self) -> bool:
        return any(next((self._folder / name).glob("*.part"), None) for name in ("checkpoints", "model"))


def _children(process: int) -> list[int]:
    """Return the processes in sessions of their own that a process has started."""
    own = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return [child for child in map(int, own) if os.getsid(child) == child]


def survive(out: Path, kills: int, seed: int, *, streamed: bool = False, processes: int = 1) -> Table:
    """Train unbroken and broken, and compare.

    Args:
        out: folder for sounds, data, runs and logs, which must not exist.
        kills: number of times that all processes are killed.
        seed: seed of the moments.
        streamed: train on the data over HTTP instead of the local folder.
        processes: number of processes that train together.

    Returns:
        A row for each phase with the number of kills in it.

    Raises:
        UserError: a broken run differs from the unbroken one, a training failed, or ``out`` exists.
    """
    if out.exists():
        raise UserError(f"{out} exists; choose another folder")
    make_sounds(out / "sounds")
    command = [sys.executable, "-m", "codec"]
    prepare = [*command, "prepare", str(out / "sounds"), "--out", str(out / "data")]
    done = subprocess.run(prepare, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"codec prepare failed: {done.stderr.strip().splitlines()[-1]}")
    with ExitStack() as stack:
        data = stack.enter_context(serve_folder(out / "data"))[0] if streamed else str(out / "data")
        train = [*command, "train", "speech_16k", *OVERRIDES, "--devices", str(processes), "--data", data, "--run"]
        rounds, phases = _kill_until(train, out, kills, seed)
    where = "on data over HTTP, " * streamed + f"in {processes} processes each, " * (processes > 1)
    note = (
        f"{kills} kills of {rounds} runs; each run {where}ended with the weights, optimisers, model, tables and metrics"
        " of the unbroken one, bit by bit."
    )
    return Table("Survival", note, ["killed in", "kills"], [[name, str(count)] for name, count in phases.most_common()])


def _kill_until(train: Sequence[str], out: Path, kills: int, seed: int) -> tuple[int, Counter[str]]:
    """Train with a command that ends in ``--run``, and return the number of broken runs, and that of kills by phase."""
    environment = {CACHE_VARIABLE: str(out / "cache"), LEDGERS_VARIABLE: str(out / "ledgers")}

    def start(name: str) -> _Run:
        return _Run([*train, str(out / name)], environment, out / name, out / f"{name}.log")

    whole = start("unbroken")
    whole.wait_for_training()
    begun = time.monotonic()
    whole.wait(None)
    duration = time.monotonic() - begun

    moments, phases, rounds = random.Random(seed), Counter[str](), 0
    with ProgressBar(total=kills, desc="kills", unit="kill") as bar:
        while phases.total() < kills:
            rounds += 1
            folder, ended = out / f"broken{rounds}", False
            while not ended:
                run = start(folder.name)
                left = kills - phases.total()
                kind = moments.random() if left else 1.0
                # a quarter of the kills comes at any time, start included; the others while something is at stake, a
                # quarter of all after that as soon as a file is being written, which rarely happens by chance
                if kind < 1 / 4:
                    ended = run.wait(moments.uniform(0, duration))
                else:
                    ended = run.wait_for_training() or run.wait(moments.uniform(0, duration / 2) if left else None)
                    ended = ended or (kind < 1 / 2 and run.wait_for_saving())
                if not ended:
                    phases[run.kill()] += 1
                    bar.update()
            if found := differences(out / "unbroken", folder):
                raise UserError(
                    f"{folder} differs from {out / 'unbroken'}: {', '.join(found[:5])} ({len(found)} in all)"
                )
    return rounds, phases


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.survival", description="Kill trainings.")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="FOLDER", help="folder for data and runs; must not exist"
    )
    parser.add_argument("--kills", type=int, default=30, help="number of SIGKILLs (default: %(default)s)")
    parser.add_argument("--streamed", action="store_true", help="train on the data over HTTP from this machine")
    parser.add_argument("--processes", type=int, default=1, help="processes that train together (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (default: %(default)s)")
    arguments = parser.parse_args()
    try:
        table = survive(
            arguments.out,
            arguments.kills,
            arguments.seed,
            streamed=arguments.streamed,
            processes=arguments.processes,
        )
    except UserError as error:
        sys.exit(f"error: {error}")
    print(f"{table.title}: {table.note}\n{table.text()}")


if __name__ == "__main__":
    _main()
