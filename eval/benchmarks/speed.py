"""``codec speed``: every property of a codec that does not depend on its training, next to those of its peers."""

import copy
import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import codec as package
from codec.audio_codec import AudioCodec
from codec.config import CodecConfig, Recipe
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.decoder_precision import set_decoder_dtype
from codec.pretrained.checkpoint import load_codec, save_model
from codec.pretrained.export import GraphOptions, export_graphs
from codec.pretrained.model_folder import model_folder
from codec.pretrained.onnx_backend import with_graphs
from codec.pretrained.registry import built_in
from codec.recipe import read_recipe
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.benchmarks.build_process import BuildProcess, unpack_wheel
from eval.benchmarks.coding_speed import (
    CodingTiming,
    StreamTiming,
    array_subject,
    measure_seconds,
    noise_waveform,
    time_streams,
    time_systems,
)
from eval.benchmarks.file_speed import FileCoder, build_coder, opus_coder, opus_name, time_files
from eval.benchmarks.latency import measure_latency
from eval.benchmarks.memory import coding_peak_mb
from eval.benchmarks.profile import count_multiply_adds, measure_matrix_rate, profile_operations
from eval.benchmarks.results import ComputingWork, Machine, PeakMemory, SpeedResult, compare_speeds
from eval.benchmarks.training_speed import TimedSteps, build_steps, time_training
from eval.systems.architectures import REFERENCE, Peers, build_peers

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
        compiled: whether to compile the peers' networks, and to time the models compiled, too, by ``torch.compile``.
        onnx: whether to time streams in ONNX Runtime.
        against: wheel of another build in which models are timed beside this one; None: none.
        audio: sound file that is coded to files and back; None: none.
        kbps: bit rates in kbit/s of these files, beside all codes.
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
        if self.kbps and self.audio is None:
            raise UserError("--kbps is the bit rate of files; give a sound file with --audio")


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
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    with torch_threads(options.threads), ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        systems = [_load_system(name, folder / f"models/{number}") for number, name in enumerate(names)]
        models = {system.name: system.codec for system in systems}
        int8 = {f"{name}, int8": _with_int8_decoder(codec) for name, codec in models.items()}
        other = _start_other(options, stack, folder)
        peers = build_peers() if options.peers else Peers()
        timings = _time_arrays(systems, int8, other, peers, options)
        timings += _time_files(systems, other, peers, options, stack, folder)
        streams = _time_all_streams({**models, **int8}, models, options)
        latencies = {
            name: measure_latency(codec) for name, codec in ProgressBar(models.items(), desc="latency", unit="model")
        }
        rate = measure_matrix_rate()
        work = [one for name, codec in models.items() for one in _measure_work(name, codec, rate)]
        memory = [
            _measure_memory(system, options.memory_minutes)
            for system in ProgressBar(systems, desc="memory", unit="model")
        ]
        recipes = {system.name: system.recipe for system in systems}
        steps = build_steps(recipes, options.peers) if options.training else TimedSteps()
        training = time_training(steps.steps, options.rounds) if options.training else []
    references = {
        name: [REFERENCE, *([other.label(system.name)] if other else []), *map(opus_name, options.kbps)]
        for system in systems
        for name in (system.name, f"{system.name}, int8", f"{system.name}, compiled")
    }
    return SpeedResult(
        command=command,
        compiled=options.compiled,
        machine=_describe_machine(load, options.threads, rate),
        timings=timings,
        ratios=compare_speeds(timings, references),
        absent=peers.absent + steps.absent,
        streams=streams,
        reach=latencies,
        memory=memory,
        work=work,
        training=training,
    )


@dataclass(frozen=True)
class _System:
    """A model that is measured, or a recipe with random weights."""

    name: str
    recipe: Recipe
    codec: Codec
    folder: Path
    """Folder of the model, for commands."""
    trained: bool
    """Whether other builds may have the model, too."""


@dataclass(frozen=True)
class _OtherBuild:
    name: str
    process: BuildProcess

    def label(self, system: str) -> str:
        return f"{system}, {self.name}"


def _load_system(name: str, folder: Path) -> _System:
    """Load a model from its folder with the recipe of its run, or save random weights for a recipe in ``folder``."""
    found = built_in().get(name, Path(name))
    if found.is_dir():
        codec = load_codec(found)
        written = model_folder(found).parent / "recipe.yaml"
        recipe = read_recipe(str(written)) if written.is_file() else Recipe()
        return _System(name, replace(recipe, codec=codec.config), codec, found.resolve(), trained=True)
    recipe = read_recipe(name)
    codec = build_untrained(recipe.codec)
    folder.mkdir(parents=True)
    save_model(folder, codec, {})
    return _System(name, recipe, codec, folder, trained=False)


def _start_other(options: SpeedOptions, stack: ExitStack, folder: Path) -> _OtherBuild | None:
    if options.against is None:
        return None
    unpack_wheel(options.against, folder / "other")
    name = options.against.stem
    return _OtherBuild(name, stack.enter_context(BuildProcess(name, folder / "other", options.threads)))


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


def _time_arrays(
    systems: Sequence[_System],
    int8: Mapping[str, Codec],
    other: _OtherBuild | None,
    peers: Peers,
    options: SpeedOptions,
) -> list[CodingTiming]:
    timed = {**{system.name: system.codec for system in systems}, **int8}
    if options.compiled:
        copies = {f"{system.name}, compiled": copy.deepcopy(system.codec) for system in systems}
        networks = [network for subject in peers.systems for network in subject.networks]
        for network in [*networks, *(part for codec in copies.values() for part in (codec.encoder, codec.decoder))]:
            network.compile()
        timed |= copies
    subjects = [array_subject(name, AudioCodec(codec, threads=options.threads)) for name, codec in timed.items()]
    for system in systems:
        if other and system.trained:
            kbps = system.codec.config.kbps_per_codebook * system.codec.config.quantizer.codebooks
            label, longest = other.label(system.name), max(options.seconds)
            subjects.append(other.process.subject(label, str(system.folder), kbps, longest))
    unlimited = {subject.name for subject in subjects} | {REFERENCE}
    return time_systems([*subjects, *peers.systems], options.seconds, options.rounds, unlimited)


def _time_files(
    systems: Sequence[_System],
    other: _OtherBuild | None,
    peers: Peers,
    options: SpeedOptions,
    stack: ExitStack,
    folder: Path,
) -> list[CodingTiming]:
    if options.audio is None:
        return []
    own = BuildProcess("this build", Path(package.__file__).parent.parent, options.threads)
    stack.enter_context(own)
    threads = ["--threads", str(options.threads)]
    coders: list[FileCoder] = []
    for kbps in (None, *options.kbps):
        for system in systems:
            model = str(system.folder)
            coders.append(build_coder(own, system.name, model, kbps, threads))
            int8 = ["--dtype", "int8"]
            coders.append(build_coder(own, f"{system.name}, int8", model, kbps, threads, int8))
            if other and system.trained:
                coders.append(build_coder(other.process, other.label(system.name), model, kbps, threads))
        if options.peers and kbps is not None:
            if opus := opus_coder(kbps):
                coders.append(opus)
            elif (reason := "libopus: there is no ffmpeg with libopus") not in peers.absent:
                peers.absent.append(reason)
    return time_files(coders, options.audio, options.rounds, folder)


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
            place = Path(folder) / Path(name).name
            export_graphs(codec, place, {}, graphs=GraphOptions(dtypes=("int8",), single_frames=True))
            graphs[f"{name}, ONNX"] = with_graphs(codec, place)
            graphs[f"{name}, ONNX, int8"] = with_graphs(codec, place, dtype="int8")
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


def _measure_memory(system: _System, minutes: Sequence[float]) -> PeakMemory:
    rate = system.codec.config.sample_rate
    peaks = [coding_peak_mb(system.folder, 60 * length, rate) for length in minutes]
    return PeakMemory(system.name, list(minutes), peaks)


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
