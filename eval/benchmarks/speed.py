"""``codec speed``: every property of a codec that does not depend on its training, next to those of its peers."""

import copy
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from tqdm import tqdm

from codec.config import CodecConfig, Recipe
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.decoder_precision import set_decoder_dtype
from codec.pretrained.checkpoint import load_codec, save_model
from codec.pretrained.export import export_graphs
from codec.pretrained.model_folder import model_folder
from codec.pretrained.onnx_backend import with_graphs
from codec.recipe import read_recipe
from codec.runtime.torch_threads import torch_threads
from eval.benchmarks.coding_speed import (
    StreamTiming,
    SystemTiming,
    measure_seconds,
    noise_waveform,
    own_systems,
    time_files,
    time_streams,
    time_systems,
)
from eval.benchmarks.command_speed import CommandTiming, time_commands
from eval.benchmarks.latency import measure_latency
from eval.benchmarks.memory import coding_peak_mb
from eval.benchmarks.profile import count_multiply_adds, measure_matrix_rate, profile_operations
from eval.benchmarks.results import ComputingWork, Machine, PeakMemory, SpeedResult
from eval.benchmarks.training_speed import TimedSteps, build_steps, time_training
from eval.systems.architectures import BEST, REFERENCE, Peers, SpeedSubject, build_peers

DEFAULT_SYSTEMS = ("speech_24k", "speech_16k")
PROFILE_SECONDS = 10.0


@dataclass(frozen=True)
class SpeedOptions:
    """Options of ``codec speed``.

    Args:
        peers: whether to time the installed peers.
        seconds: durations of the clips that are timed.
        rounds: how often each system codes each clip.
        threads: CPU threads of PyTorch; streams and memory use one in any case.
        training: whether to time training steps.
        compiled: whether the networks of the mode ``best`` are compiled by ``torch.compile``.
        onnx: whether to time streams in ONNX Runtime.
        against: wheel of another build whose commands are timed beside those of this one; None: none.
        audio: sound file that the commands code.
        kbps: bit rates in kbit/s of the commands, beside all codes.
        memory_minutes: durations of the files whose peak memory is measured.
    """

    peers: bool = False
    seconds: Sequence[float] = (10.0, 60.0)
    rounds: int = 5
    threads: int = 1
    training: bool = False
    compiled: bool = False
    onnx: bool = False
    against: Path | None = None
    audio: Path | None = None
    kbps: Sequence[float] = ()
    memory_minutes: Sequence[float] = (1.0, 10.0)

    def check(self) -> None:
        """Check the ranges of the options.

        Raises:
            UserError: a duration or count is out of range.
        """
        if not self.seconds or not all(0 < length < 86400 for length in self.seconds):
            raise UserError("--seconds must be above 0 and less than a day (86400)")
        if self.rounds < 1 or self.threads < 1:
            raise UserError("--rounds and --threads must be at least 1")
        if (self.against is None) != (self.audio is None):
            raise UserError("--against and --audio belong together: another build, and the sound that both builds code")
        if self.kbps and self.against is None:
            raise UserError("--kbps is for the commands of --against")


def run_speed_benchmark(
    names: Sequence[str] = DEFAULT_SYSTEMS, options: SpeedOptions | None = None, *, command: str = "codec speed"
) -> SpeedResult:
    """Measure speed, latency, memory and computing work of recipes and models.

    Args:
        names: recipes, by name or path, whose weights are random; or folders of models or runs.
        options: what is measured; None: the defaults.
        command: the command that makes the same measurements, for the page.

    Returns:
        All measurements.

    Raises:
        UserError: an option is out of range, or a recipe or model cannot be read.
    """
    options = options or SpeedOptions()
    options.check()
    recipes, models = {}, {}
    for name in names:
        recipes[name], models[name] = _build_model(name)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    int8 = {f"{name}, int8": _with_int8_decoder(codec) for name, codec in models.items()}
    timed = {**models, **int8}
    with torch_threads(options.threads):
        peers = build_peers() if options.peers else Peers()
        systems = [*own_systems(models, options.compiled), *own_systems(int8, compiled=False), *peers.systems]
        timings = _time_coding(systems, {*timed, REFERENCE}, options)
        files = time_files(timed, options.seconds, options.rounds)
        streams = _time_all_streams(timed, models, options)
        latencies = {name: measure_latency(codec) for name, codec in tqdm(models.items(), desc="latency", unit="model")}
        rate = measure_matrix_rate()
        work = [one for name, codec in models.items() for one in _measure_work(name, codec, rate)]
        memory = [
            _measure_memory(name, codec, options.memory_minutes)
            for name, codec in tqdm(models.items(), desc="memory", unit="model")
        ]
        steps = build_steps(recipes, options.peers) if options.training else TimedSteps()
        training = time_training(steps.steps, options.rounds) if options.training else []
        commands = [one for name in names for one in _time_commands(name, options)]
    return SpeedResult(
        command=command,
        compiled=options.compiled,
        machine=_describe_machine(load, options.threads, rate),
        timings=timings,
        absent=peers.absent + steps.absent,
        files=files,
        commands=commands,
        streams=streams,
        reach=latencies,
        memory=memory,
        work=work,
        training=training,
    )


def _build_model(name: str) -> tuple[Recipe, Codec]:
    """Return a model from its folder with the recipe of its run, or a recipe with a codec of random weights."""
    if Path(name).is_dir():
        codec = load_codec(Path(name))
        written = model_folder(Path(name)).parent / "recipe.yaml"
        recipe = read_recipe(str(written)) if written.is_file() else Recipe()
        return replace(recipe, codec=codec.config), codec
    recipe = read_recipe(name)
    return recipe, build_untrained(recipe.codec)


def build_untrained(config: CodecConfig) -> Codec:
    """Build a codec with random weights, on which its speed does not depend.

    Args:
        config: architecture.

    Returns:
        A codec in evaluation mode whose weights are the same in every call and need no gradient.
    """
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = Codec(config)
    return codec.eval().requires_grad_(False)


def _time_coding(systems: list[SpeedSubject], unlimited: set[str], options: SpeedOptions) -> list[SystemTiming]:
    if options.compiled:
        for system in systems:
            if system.mode == BEST:
                for network in system.networks:
                    network.compile()
    return time_systems(systems, options.seconds, options.rounds, unlimited)


def _time_commands(name: str, options: SpeedOptions) -> list[CommandTiming]:
    if options.against is None or options.audio is None:
        return []
    return time_commands(name, options.audio, options.against, options.kbps, options.rounds)


def _with_int8_decoder(codec: Codec) -> Codec:
    other = copy.deepcopy(codec)
    set_decoder_dtype(other, "int8")
    return other


def _time_all_streams(
    timed: Mapping[str, Codec], models: Mapping[str, Codec], options: SpeedOptions
) -> list[StreamTiming]:
    with tempfile.TemporaryDirectory() as folder:
        graphs = {}
        for name, codec in models.items() if options.onnx else ():
            export_graphs(codec, Path(folder) / Path(name).name, {})
            graphs[f"{name}, ONNX"] = with_graphs(codec, Path(folder) / Path(name).name)
        return time_streams({**timed, **graphs}, options.rounds)


def _measure_work(name: str, codec: Codec, rate: float) -> list[ComputingWork]:
    waveform = noise_waveform(PROFILE_SECONDS, codec.config.sample_rate)
    codes = codec.encode(waveform)

    def measure(direction: str, run: Callable[[], object]) -> ComputingWork:
        products = count_multiply_adds(run)
        taken = statistics.median(measure_seconds(run) for _ in range(5))
        gmacs = products / PROFILE_SECONDS / 1e9
        return ComputingWork(name, direction, gmacs, products / taken / rate, profile_operations(run))

    return [measure("encode", lambda: codec.encode(waveform)), measure("decode", lambda: codec.decode(codes))]


def _measure_memory(name: str, codec: Codec, minutes: Sequence[float]) -> PeakMemory:
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), codec, {})
        peaks = [coding_peak_mb(Path(folder), 60 * length, codec.config.sample_rate) for length in minutes]
    return PeakMemory(name, list(minutes), peaks)


def _describe_machine(load: float, threads: int, rate: float) -> Machine:
    cores = os.cpu_count() or 1
    return Machine(_processor(), cores, load, torch.__version__, platform.python_version(), threads, rate / 1e9)


def _processor() -> str:
    """Return the processor's name as given by the operating system."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
