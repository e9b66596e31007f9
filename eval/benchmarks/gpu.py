"""A GPU, tried in a given number of minutes: agreement with the CPU, speed, and a training for the rest of the time.

``python -m eval.benchmarks.gpu --minutes 15 --data DATA --out FOLDER`` writes ``gpu.json`` and ``gpu.md`` into FOLDER
as it goes, and needs no network. Beyond PyTorch and NumPy it needs what ``codec train`` and ``codec encode`` import:
constriction, jsonargparse, lightning, pyyaml, safetensors, soundfile, soxr, tinytag and tqdm; neither librosa, SciPy
nor Optuna. ``python -m eval.benchmarks.gpu_bundle`` gathers them with audio to train on. Without a GPU it runs on the
CPU, which shows that it works, and no more. The same command again measures again, and continues the training. EnCodec
(``pip install encodec==0.1.1``, in the folder of ``gpu_bundle``) and DAC (``pip install descript-audio-codec``, with
some eighty packages, so not there) are timed if they are installed.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from codec import audio
from codec.config import Recipe
from codec.errors import UserError
from codec.recipe import read_recipe
from codec.runtime.atomic_files import write_text
from codec.runtime.own_packages import put_first
from codec.training.data_module import CodecData
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from eval.benchmarks.checkpoint_parts import split_checkpoint
from eval.benchmarks.gpu_agreement import Agreement, measure_agreement
from eval.benchmarks.gpu_files import FileSpeed, time_files
from eval.benchmarks.gpu_training import (
    COMPILED,
    NotTimed,
    StepSetting,
    StepSpeed,
    settings,
    time_peers,
    time_steps,
)
from eval.benchmarks.timed_training import train_for
from eval.pages.text_table import Table

_MEASURING_S = 240.0
"""Longest time for everything but the training."""
_UNTIL_FILES, _UNTIL_STEPS = 0.4, 0.85
"""Shares of that time at which the files and the steps must be done; what a part leaves is for the next ones."""
_TARGET_AUDIO_S, _TARGET_ADVERSARIAL_S, _TARGET_RATIO, _TARGET_FILES = 5000, 2000, 20, 5000
"""Targets on one H100: seconds of audio per second without and with discriminator, speed relative to EnCodec's step,
and times real time of coding files."""


@dataclass(frozen=True)
class Device:
    """What everything was measured on."""

    name: str
    memory_gb: float
    pytorch: str
    cuda: str
    python: str
    numpy: str

    @classmethod
    def of(cls, device: torch.device) -> "Device":
        """Describe a device.

        Args:
            device: the device

        Returns:
            Its name and the versions of what runs on it.
        """
        versions = torch.__version__, torch.version.cuda or "none", platform.python_version(), np.__version__
        if device.type != "cuda":
            return cls(platform.processor() or platform.machine(), 0.0, *versions)
        properties = torch.cuda.get_device_properties(device)
        return cls(properties.name, properties.total_memory / 1e9, *versions)


@dataclass
class GpuResult:
    """All measurements; what has not been measured yet is empty."""

    command: str
    device: Device
    agreement: Agreement | None = None
    steps: list[StepSpeed] = field(default_factory=list)
    not_timed: list[NotTimed] = field(default_factory=list)
    files: list[FileSpeed] = field(default_factory=list)
    measured_s: float = 0.0
    training: str = ""

    def add(self, found: StepSpeed | FileSpeed | NotTimed) -> None:
        """Add a measurement.

        Args:
            found: the measurement, or why there is none
        """
        if isinstance(found, StepSpeed):
            self.steps.append(found)
        elif isinstance(found, FileSpeed):
            self.files.append(found)
        else:
            self.not_timed.append(found)

    def write(self, folder: Path) -> None:
        """Write the measurements as JSON and as tables.

        Args:
            folder: receives ``gpu.json`` and ``gpu.md``
        """
        write_text(folder / "gpu.json", json.dumps(asdict(self), indent=1) + "\n")
        write_text(folder / "gpu.md", self.text())

    def text(self) -> str:
        """Format the measurements.

        Returns:
            A page in Markdown.
        """
        device = self.device
        parts = [
            f"# {device.name}\n\n`{self.command}`",
            f"torch {device.pytorch}, CUDA {device.cuda}, Python {device.python}, NumPy {device.numpy},"
            f" {device.memory_gb:.0f} GB; measured in {self.measured_s:.0f} s",
        ]
        if self.agreement is not None:
            one = self.agreement
            verdict = "as required" if one.passed else "NOT AS REQUIRED"
            parts.append(
                f"Agreement with the CPU ({verdict}): {one.equal_codes:.4%} of codes are equal, losses differ by"
                f" {one.loss_difference:.1e}, waveforms by {-one.waveform_snr_db:.0f} dB, sizes of files by"
                f" {one.bytes_ratio - 1:+.3%}; files decoded on the other device differ by"
                f" {-one.exchanged_snr_db:.0f} dB."
            )
        if self.steps or self.not_timed:
            parts.append(self._step_table())
        if self.files:
            head = ["files at once", "encoding, x real time", "decoding, x real time"]
            rows = [[str(one.batch), f"{one.encode:.0f}", f"{one.decode:.0f}"] for one in self.files]
            parts.append(Table("", "", head, rows).markdown())
        if goals := self._goals():
            parts.append("\n".join(goals))
        if self.training:
            parts.append(self.training)
        return "\n\n".join(parts) + "\n"

    def _step_table(self) -> str:
        head = ["step", "crops", "precision", "mode", "discriminator", "steps/s", "s of audio per s", "GB"]
        rows = []
        for one in sorted(self.steps, key=lambda speed: (speed.name, -speed.audio_s_per_s)):
            kind = one.setting
            rows.append(
                [
                    *(one.name, str(kind.batch), kind.precision, kind.mode, "yes" if kind.adversarial else "no"),
                    *(f"{one.steps_per_s:.1f}", f"{one.audio_s_per_s:.0f}", f"{one.memory_gb:.1f}"),
                    *(f"{min(1.0, one.launch_share):.0%}", f"{one.matrix_share:.1%}"),
                ]
            )
        table = Table("", "", [*head, "launching", "of matrix rate"], rows)
        lines = [f"- {one.name}{_describe(one.setting)}: {one.reason}" for one in self.not_timed]
        return "\n".join([table.markdown(), "", *lines]).rstrip()

    def _goals(self) -> list[str]:
        def best(name: str, adversarial: bool) -> float:
            speeds = [s.audio_s_per_s for s in self.steps if s.name == name and s.setting.adversarial == adversarial]
            return max(speeds, default=0.0)

        goals = []
        if self.steps:
            goals.append(
                f"- without discriminator {best('Lathe', False):.0f} s of audio per s (goal {_TARGET_AUDIO_S})"
            )
            goals.append(f"- with discriminator {best('Lathe', True):.0f} (goal {_TARGET_ADVERSARIAL_S})")
        if peer := best("EnCodec 24 kHz", False):
            goals.append(f"- {best('Lathe', False) / peer:.1f} times EnCodec's own step (goal {_TARGET_RATIO})")
        if self.files:
            encode, decode = max(s.encode for s in self.files), max(s.decode for s in self.files)
            goals.append(f"- files: encoding {encode:.0f}, decoding {decode:.0f} x real time (goal {_TARGET_FILES})")
        return goals


def _describe(setting: StepSetting | None) -> str:
    if setting is None:
        return ""
    with_discriminator = ", with discriminator" if setting.adversarial else ""
    return f", {setting.batch} crops, {setting.precision}, {setting.mode}{with_discriminator}"


@dataclass(frozen=True)
class GpuOptions:
    """Sizes of the measurements."""

    minutes: float
    """Time for everything."""
    batches: tuple[int, ...] = (16, 64, 256)
    """Crops per step."""
    file_batches: tuple[int, ...] = (1, 16, 64)
    """Files that are coded at once."""
    files: int = 64
    """Number of files."""
    file_s: float = 15.0
    """Length of a file in seconds."""
    each_s: float = 1.0
    """Seconds for the timed steps of a setting."""


def run(
    recipe: Recipe, model: str, data: Path | None, out: Path, options: GpuOptions, device: torch.device, command: str
) -> GpuResult:
    """Measure, and train for the rest of the time.

    Args:
        recipe: the recipe of the steps and of the training
        model: name or folder of the model that codes
        data: prepared data, or a folder of audio files with a folder for each speaker, which is prepared in ``out``;
            None: noise is coded, and nothing is trained
        out: folder of the results and, in ``run``, of the training
        options: sizes
        device: the device
        command: the command, for the page

    Returns:
        The measurements, which are also written.

    Raises:
        UserError: the data does not fit the recipe.
    """
    started = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    if data is not None and not (data / "packed").is_dir():
        data = _prepared(data, out / "data", recipe)
    limit = min(_MEASURING_S, 60 * options.minutes / 2)

    def left(share: float) -> float:
        return share * limit - (time.monotonic() - started)

    result = GpuResult(command, Device.of(device))
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        waves = _waves(recipe, data, options)
        files = _write_files(waves, recipe.codec.sample_rate, folder / "files", options)
        batch = max(options.file_batches)
        crops = torch.from_numpy(waves[:4, None, : 4 * recipe.codec.sample_rate])
        result.agreement = measure_agreement(recipe, model, crops, files[:4], device, folder / "agreement", batch)
        result.write(out)
        for found in time_files(model, files, device, options.file_batches, left(_UNTIL_FILES)):
            result.add(found)
            result.write(out)
    for step in time_steps(recipe, device, settings(device, options.batches), left(_UNTIL_STEPS), options.each_s):
        result.add(step)
        result.write(out)
    middle = sorted(options.batches)[len(options.batches) // 2]
    for step in time_peers(recipe, device, middle, left(1.0), options.each_s):
        result.add(step)
        result.write(out)
    result.measured_s = time.monotonic() - started
    result.write(out)
    if data is not None:
        _train(recipe, data, out, options, device, result, 60 * options.minutes - (time.monotonic() - started))
    return result


def _prepared(audio_files: Path, folder: Path, recipe: Recipe) -> Path:
    """Prepare audio without the command, which asks for packages that evaluation needs."""
    rate, channels = recipe.codec.sample_rate, recipe.data.channels
    options = PrepareOptions(rate, channels, ratios="9:1:0", group_by="folder", workers=os.cpu_count() or 1)
    prepare([audio_files], folder, options)
    return folder


def _train(
    recipe: Recipe, data: Path, out: Path, options: GpuOptions, device: torch.device, result: GpuResult, left_s: float
) -> None:
    """Train for the rest of the time: go on, or begin in the fastest setting without compilation."""
    own = [one for one in result.steps if one.name == "Lathe" and one.setting.mode != COMPILED]
    own = [one for one in own if not one.setting.adversarial]
    if not own or left_s < 1:
        return
    best = max(own, key=lambda one: one.audio_s_per_s).setting
    fastest = replace(recipe.train, precision=best.precision, cuda_graph=device.type == "cuda")
    trained = replace(recipe, train=fastest, data=replace(recipe.data, batch_size=best.batch))
    ended = train_for(left_s, trained, data, out / "run")
    parts = split_checkpoint(out / "run" / "checkpoints" / "last.ckpt", out / "checkpoint")
    result.training = (
        f"Training: {ended.steps:,} steps in {ended.minutes:.1f} minutes, {ended.stopped}; the best validation loss was"
        f" {ended.best_validation_loss:.4f}. Curves, model and settings are in `run`. The checkpoint is in {len(parts)}"
        " parts in `checkpoint`, which `python -m eval.benchmarks.checkpoint_parts join` puts together."
    )
    result.write(out)


def _waves(recipe: Recipe, data: Path | None, options: GpuOptions) -> np.ndarray:
    """Return audio ``[files, samples]``: crops of the validation clips, or noise that rises and falls."""
    samples = round(options.file_s * recipe.codec.sample_rate)
    if data is not None:
        split = CodecData(data, recipe).val_crops.split
        pieces = [split.waveform(number % len(split.clips), 0, samples)[0] for number in range(options.files)]
        return np.stack([np.resize(piece, samples) for piece in pieces]).astype(np.float32)
    rng = np.random.default_rng(0)
    noise = 0.5 * rng.standard_normal((options.files, samples)) + 0.5 * np.sin(np.arange(samples) / 20)
    swell = np.abs(np.sin(np.arange(samples) / 4000 + rng.random((options.files, 1))))
    return (0.1 * noise * swell).astype(np.float32)


def _write_files(waves: np.ndarray, rate: int, folder: Path, options: GpuOptions) -> Sequence[Path]:
    folder.mkdir()
    paths = [folder / f"{number:04}.wav" for number in range(len(waves))]
    for path, wave in zip(paths, waves):
        audio.write(path, wave[None], rate)
    return paths


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m eval.benchmarks.gpu", description=__doc__.split("\n\n")[0])
    parser.add_argument("--minutes", type=float, required=True, help="time for everything, at least 2")
    parser.add_argument("--out", type=Path, required=True, help="folder of the results and of the training")
    parser.add_argument("--data", type=Path, help="prepared data or audio files (default: noise, no training)")
    parser.add_argument("--recipe", default="speech_16k", help="recipe of the steps (default: %(default)s)")
    parser.add_argument("--model", default="speech_16k_v2", help="model that codes (default: %(default)s)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    arguments = parser.parse_args()
    command = f"python -m eval.benchmarks.gpu {' '.join(sys.argv[1:])}"
    try:
        recipe, options = read_recipe(arguments.recipe), GpuOptions(arguments.minutes)
        device = torch.device(arguments.device)
        result = run(recipe, arguments.model, arguments.data, arguments.out, options, device, command)
    except UserError as error:
        sys.exit(f"error: {error}")
    print(result.text())
    if result.agreement is not None and not result.agreement.passed:
        sys.exit(1)


if __name__ == "__main__":
    put_first()
    _main()
