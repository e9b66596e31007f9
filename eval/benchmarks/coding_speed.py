"""Times of coding, with all systems taking turns, so that what else the machine does falls on all alike."""

import copy
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from tqdm import tqdm

from codec import audio
from codec.coding.files import decode_file, encode_file
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from eval.systems.architectures import BEST, PLAIN, REFERENCE, System, count_parameters

BUDGET_S = 20.0
"""Slow systems get as few rounds as fit into this, per clip length; the reference and ours always get all."""
STREAM_SECONDS = 4.0


@dataclass(frozen=True)
class Spread:
    """Median, lowest and highest of the rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @staticmethod
    def of(values: Sequence[float]) -> "Spread":
        return Spread(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class Timing:
    """Times real time; ``*_ratio``: the same over the reference's in the same round and mode, where it ran."""

    name: str
    mode: str
    kbps: float
    parameters: int
    seconds: float
    encode: Spread
    decode: Spread
    encode_ratio: Spread | None
    decode_ratio: Spread | None


@dataclass(frozen=True)
class FileTiming:
    """Times real time from sound file to ``.nac`` and back, all included."""

    name: str
    seconds: float
    encode: Spread
    decode: Spread


@dataclass(frozen=True)
class StreamTiming:
    """One latent frame at a time: how long it lasts, and how long it takes."""

    name: str
    frame_ms: float
    encode_ms: Spread
    decode_ms: Spread

    @property
    def times_real_time(self) -> float:
        """Of coding and decoding together, on one thread."""
        return self.frame_ms / (self.encode_ms.median + self.decode_ms.median)


def own_systems(models: dict[str, Codec], compiled: bool) -> list[System]:
    """Ours run the same code in both modes, since what inference has to offer is always on; but for compilation."""
    systems = []
    for name, codec in models.items():
        config = codec.config
        for mode in (PLAIN, BEST):
            one = copy.deepcopy(codec) if compiled and mode == BEST else codec
            kbps, parts = config.kbps_per_codebook * config.quantizer.codebooks, (one.encoder, one.decoder)
            count = count_parameters(one)
            systems.append(System(name, mode, config.sample_rate, kbps, count, one.encode, one.decode, parts))
    return systems


def noise(seconds: float, sample_rate: int) -> Tensor:
    """Speed does not depend on the sound."""
    return 0.1 * torch.randn(1, 1, round(seconds * sample_rate), generator=torch.Generator().manual_seed(0))


def clock(run: Callable[[], object]) -> float:
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@torch.inference_mode()
def time_systems(
    systems: list[System],
    lengths: Sequence[float],
    rounds: int,
    unlimited: set[str],
    *,
    reference: str = REFERENCE,
    quiet: bool = False,
) -> list[Timing]:
    """``unlimited``: names of the systems that are timed in every round, however slow. ``reference``: the name of the
    one that ratios are to."""
    lengths = sorted(lengths)
    plan = {}
    for system in tqdm(systems, desc="warming up", unit="system", disable=quiet):
        probe = noise(1.0, system.sample_rate)
        system.decode(system.encode(probe))
        speed = 1.0 / clock(lambda system=system, probe=probe: system.decode(system.encode(probe)))  # type: ignore[misc]
        for seconds in lengths:
            fits = int(BUDGET_S * speed / seconds)
            fits = max(fits, 1) if seconds == lengths[0] else fits
            plan[system.name, system.mode, seconds] = rounds if system.name in unlimited else min(rounds, fits)
    times: dict[tuple[str, str, float, int], tuple[float, float]] = {}
    total = sum(2 * seconds * min(count, rounds) for (_, _, seconds), count in plan.items())
    layout = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    with tqdm(total=total, desc="encode, decode", bar_format=layout, disable=quiet) as bar:
        for round_ in range(rounds):
            for seconds in lengths:
                for system in systems:
                    key = (system.name, system.mode, seconds)
                    if round_ >= plan[key]:
                        continue
                    wave = noise(seconds, system.sample_rate)
                    started = time.perf_counter()
                    codes = system.encode(wave)
                    middle = time.perf_counter()
                    system.decode(codes)
                    times[(*key, round_)] = middle - started, time.perf_counter() - middle
                    bar.update(2 * seconds)
    return [
        _timing(system, seconds, times, reference)
        for seconds in lengths
        for system in systems
        if _rounds(system, seconds, times)
    ]


def _rounds(system: System, seconds: float, times: dict[tuple[str, str, float, int], tuple[float, float]]) -> list[int]:
    return [r for name, mode, length, r in times if (name, mode, length) == (system.name, system.mode, seconds)]


def _timing(
    system: System, seconds: float, times: dict[tuple[str, str, float, int], tuple[float, float]], name: str
) -> Timing:
    """``name``: the reference's."""
    rounds = _rounds(system, seconds, times)
    own = [times[system.name, system.mode, seconds, r] for r in rounds]
    reference = [times.get((name, system.mode, seconds, r)) for r in rounds]

    def ratio(which: int) -> Spread | None:
        ratios = [theirs[which] / ours[which] for ours, theirs in zip(own, reference) if theirs]
        return Spread.of(ratios) if ratios else None

    encode, decode = (Spread.of([seconds / pair[which] for pair in own]) for which in (0, 1))
    return Timing(system.name, system.mode, system.kbps, system.parameters, seconds, encode, decode, ratio(0), ratio(1))


def time_files(models: dict[str, Codec], lengths: Sequence[float], rounds: int) -> list[FileTiming]:
    times: dict[tuple[str, float], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources: dict[tuple[str, float], Path] = {}
        for model, codec in models.items():
            rate = codec.config.sample_rate
            for seconds in lengths:
                sources[model, seconds] = folder / f"{len(sources)}.wav"
                audio.write(sources[model, seconds], noise(seconds, rate)[0].numpy(), rate)
        loaded = {model: LoadedModel(codec) for model, codec in models.items()}
        for _ in tqdm(range(rounds), desc="files", unit="round"):
            for (model, seconds), source in sources.items():
                coded = folder / "coded.nac"
                encoded = encode_file(source, coded, loaded[model])
                decoded = decode_file(coded, folder / "decoded.wav", loaded[model])
                pair = seconds / encoded.elapsed_seconds, seconds / decoded.elapsed_seconds
                times.setdefault((model, seconds), []).append(pair)
    return [
        FileTiming(model, seconds, Spread.of([pair[0] for pair in pairs]), Spread.of([pair[1] for pair in pairs]))
        for (model, seconds), pairs in times.items()
    ]


def time_streams(models: dict[str, Codec], rounds: int, seconds: float = STREAM_SECONDS) -> list[StreamTiming]:
    """On one thread, whatever the others use. The first second of each stream is not counted."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    for _ in tqdm(range(rounds), desc="streams", unit="round"):
        for name, codec in models.items():
            encoder, decoder = codec.stream_encoder(block=1), codec.stream_decoder(block=1)
            pairs = []
            for frame in noise(seconds, codec.config.sample_rate).split(codec.config.latent_hop, 2):
                started = time.perf_counter()
                codes = encoder.push(frame).codes
                middle = time.perf_counter()
                decoder.push(codes)
                pairs.append((middle - started, time.perf_counter() - middle))
            counted = pairs[round(len(pairs) / seconds) if seconds > 1 else 0 :]
            times[name].append((statistics.median(p[0] for p in counted), statistics.median(p[1] for p in counted)))
    torch.set_num_threads(threads)
    return [
        StreamTiming(
            name,
            1000 * codec.config.latent_hop / codec.config.sample_rate,
            Spread.of([1000 * pair[0] for pair in times[name]]),
            Spread.of([1000 * pair[1] for pair in times[name]]),
        )
        for name, codec in models.items()
    ]
