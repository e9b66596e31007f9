"""``codec speed``: measures everything about a codec that does not depend on its training, beside its peers."""

import os
import platform
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from codec.config import CodecConfig, Recipe
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec, save_model
from codec.pretrained.export import export_graphs
from codec.pretrained.model_folder import model_folder
from codec.pretrained.onnx_backend import with_graphs
from codec.recipe import read_recipe
from eval.benchmarks.coding_speed import clock, noise, own_systems, time_files, time_streams, time_systems
from eval.benchmarks.latency import measure_reach
from eval.benchmarks.memory import peak_mb
from eval.benchmarks.profile import matrix_rate, multiply_adds, operations
from eval.benchmarks.results import Machine, Memory, SpeedResult, Work
from eval.benchmarks.training_speed import Steps, build_steps, time_training
from eval.systems.architectures import BEST, REFERENCE, Peers, build_peers

DEFAULT_SYSTEMS = ("speech_24k", "speech_16k")
MEMORY_MINUTES = (1.0, 10.0)
PROFILE_SECONDS = 10.0


def speed(
    names: Sequence[str] = DEFAULT_SYSTEMS,
    *,
    peers: bool = False,
    seconds: Sequence[float] = (10.0, 60.0),
    rounds: int = 5,
    threads: int = 1,
    training: bool = False,
    compiled: bool = False,
    onnx: bool = False,
    memory_minutes: Sequence[float] = MEMORY_MINUTES,
    command: str = "codec speed",
) -> SpeedResult:
    """Measures recipes (by name or path, random weights) and models (folders), see ``codec speed --help``."""
    if not seconds or not all(0 < length < 86400 for length in seconds):
        raise UserError("--seconds must be above 0, and less than a day")
    if rounds < 1 or threads < 1:
        raise UserError("--rounds and --threads must be at least 1")
    recipes, models = {}, {}
    for name in names:
        recipes[name], models[name] = _build(name)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        found = build_peers() if peers else Peers()
        systems = own_systems(models, compiled) + found.systems
        if compiled:
            for system in systems:
                if system.mode == BEST:
                    for network in system.networks:
                        network.compile()
        unlimited = {*models, REFERENCE}
        timings = time_systems(systems, seconds, rounds, unlimited)
        files = time_files(models, seconds, rounds)
        with tempfile.TemporaryDirectory() as folder:
            graphs = {
                f"{name}, ONNX": _graphs(codec, Path(folder) / Path(name).name)
                for name, codec in models.items()
                if onnx
            }
            streams = time_streams({**models, **graphs}, rounds)
        reach = {name: measure_reach(codec) for name, codec in tqdm(models.items(), desc="latency", unit="model")}
        rate = matrix_rate()
        work = [one for name, codec in models.items() for one in _work(name, codec, rate)]
        memory = [
            _memory(name, codec, memory_minutes) for name, codec in tqdm(models.items(), desc="memory", unit="model")
        ]
        steps = build_steps(recipes, peers) if training else Steps()
        trained = time_training(steps.steps, rounds) if training else []
    finally:
        torch.set_num_threads(before)
    machine = Machine(
        _processor(), os.cpu_count() or 1, load, torch.__version__, platform.python_version(), threads, rate / 1e9
    )
    return SpeedResult(
        command, compiled, machine, timings, found.absent + steps.absent, files, streams, reach, memory, work, trained
    )


def _build(name: str) -> tuple[Recipe, Codec]:
    """A model from its folder, with the recipe's defaults around it; or a recipe's architecture, weights random."""
    if Path(name).is_dir():
        codec = load_codec(Path(name))
        written = model_folder(Path(name)).parent / "recipe.yaml"
        recipe = read_recipe(str(written)) if written.is_file() else Recipe()
        return replace(recipe, codec=codec.config), codec
    recipe = read_recipe(name)
    return recipe, untrained(recipe.codec)


def untrained(config: CodecConfig) -> Codec:
    """Speed does not depend on the weights: these are random, always the same."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        codec = Codec(config)
    return codec.eval().requires_grad_(False)


def _graphs(codec: Codec, folder: Path) -> Codec:
    """The same model in ONNX Runtime."""
    export_graphs(codec, folder, {})
    return with_graphs(codec, folder)


def _work(name: str, codec: Codec, rate: float) -> list[Work]:
    wave = noise(PROFILE_SECONDS, codec.config.sample_rate)
    codes = codec.encode(wave)

    def coded(direction: str, run: Callable[[], object]) -> Work:
        products = multiply_adds(run)
        taken = statistics.median(clock(run) for _ in range(5))
        return Work(name, direction, products / PROFILE_SECONDS / 1e9, products / taken / rate, operations(run))

    return [coded("encode", lambda: codec.encode(wave)), coded("decode", lambda: codec.decode(codes))]


def _memory(name: str, codec: Codec, minutes: Sequence[float]) -> Memory:
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), codec, {})
        peaks = [peak_mb(Path(folder), 60 * length, codec.config.sample_rate) for length in minutes]
    return Memory(name, list(minutes), peaks)


def _processor() -> str:
    """The processor's name, as the operating system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
