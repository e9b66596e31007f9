"""Encoding and decoding speed of several systems, which take turns so that other load on the machine affects them all.

A whole round is run over all systems before the next round begins; a ratio between two systems compares times of the
same round.
"""

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
from codec.runtime.torch_threads import torch_threads
from eval.systems.architectures import BEST, PLAIN, REFERENCE, SpeedSubject, count_module_parameters

BUDGET_S = 20.0
"""Time limit for a slow system, in seconds per clip length: it gets only as many rounds as fit into it."""
STREAM_SECONDS = 4.0

_Times = dict[tuple[str, str, float], dict[int, tuple[float, float]]]
"""(name, mode, seconds of the clip): round: seconds that encoding and decoding took."""


@dataclass(frozen=True)
class TimingQuantiles:
    """Median, lowest and highest value of all rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @staticmethod
    def of(values: Sequence[float]) -> "TimingQuantiles":
        """Summarise one value per round.

        Args:
            values: at least one value.

        Returns:
            Their median, minimum, maximum and number.

        >>> TimingQuantiles.of([3.0, 1.0, 2.0])
        TimingQuantiles(median=2.0, low=1.0, high=3.0, rounds=3)
        """
        return TimingQuantiles(statistics.median(values), min(values), max(values), len(values))


@dataclass(frozen=True)
class SystemTiming:
    """Speed of one system on clips of one length, without files."""

    name: str
    mode: str
    """``plain`` or ``best``, see :mod:`eval.systems.architectures`."""
    kbps: float
    parameters: int
    seconds: float
    """Length of the clip."""
    encode: TimingQuantiles
    """Times real time."""
    decode: TimingQuantiles
    encode_ratio: TimingQuantiles | None
    """Speed relative to the reference system in the same round and mode; None if that was not timed."""
    decode_ratio: TimingQuantiles | None


@dataclass(frozen=True)
class FileTiming:
    """Speed from audio file to ``.nac`` file and back, in times real time."""

    name: str
    seconds: float
    encode: TimingQuantiles
    decode: TimingQuantiles


@dataclass(frozen=True)
class StreamTiming:
    """Time to encode and to decode one latent frame in a stream."""

    name: str
    frame_ms: float
    """Duration of a latent frame."""
    encode_ms: TimingQuantiles
    decode_ms: TimingQuantiles

    @property
    def times_real_time(self) -> float:
        """Speed of encoding and decoding together on one thread."""
        return self.frame_ms / (self.encode_ms.median + self.decode_ms.median)


def own_systems(models: dict[str, Codec], compiled: bool) -> list[SpeedSubject]:
    """Return each of our models in both modes.

    Both modes run the same code, because our models have no slower variant; only compilation makes a difference.

    Args:
        models: name to model.
        compiled: whether the networks of the mode ``best`` will be compiled; they are then copies.

    Returns:
        Two systems per model.
    """
    systems = []
    for name, codec in models.items():
        config = codec.config
        for mode in (PLAIN, BEST):
            one = copy.deepcopy(codec) if compiled and mode == BEST else codec
            kbps = config.kbps_per_codebook * config.quantizer.codebooks
            parts = (one.encoder, one.decoder) if compiled else ()
            count = count_module_parameters(one)
            systems.append(SpeedSubject(name, mode, config.sample_rate, kbps, count, one.encode, one.decode, parts))
    return systems


def noise_waveform(seconds: float, sample_rate: int) -> Tensor:
    """Return white noise; speed does not depend on the signal.

    Args:
        seconds: duration.
        sample_rate: sample rate in Hz.

    Returns:
        Waveform ``[1, 1, samples]``, the same in every call.

    >>> noise_waveform(0.5, 16000).shape
    torch.Size([1, 1, 8000])
    """
    return 0.1 * torch.randn(1, 1, round(seconds * sample_rate), generator=torch.Generator().manual_seed(0))


def measure_seconds(run: Callable[[], object]) -> float:
    """Return the wall time of one call in seconds.

    Args:
        run: function to call.

    Returns:
        Seconds.
    """
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


@torch.inference_mode()
def time_systems(
    systems: list[SpeedSubject],
    lengths: Sequence[float],
    rounds: int,
    unlimited: set[str],
    *,
    reference: str = REFERENCE,
    quiet: bool = False,
) -> list[SystemTiming]:
    """Time the encoding and decoding of noise by several systems in turn.

    Args:
        systems: systems to time; each runs once before the measurement.
        lengths: durations of the clips in seconds.
        rounds: number of rounds.
        unlimited: names of the systems that take part in every round. Others stop when they have used
            :data:`BUDGET_S` seconds on a clip length.
        reference: name of the system that ratios refer to.
        quiet: whether to hide the progress bars.

    Returns:
        One timing per system and length. A system that is too slow for a length has no entry for it; the shortest
        length is always timed.
    """
    lengths = sorted(lengths)
    planned = {
        (system.name, system.mode, seconds): count
        for system in tqdm(systems, desc="warming up", unit="system", disable=quiet)
        for seconds, count in _plan_rounds(system, lengths, rounds, system.name in unlimited).items()
    }
    times: _Times = {key: {} for key in planned}
    total = sum(2 * seconds * count for (_, _, seconds), count in planned.items())
    layout = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    with tqdm(total=total, desc="encode, decode", bar_format=layout, disable=quiet) as bar:
        for number in range(rounds):
            for seconds in lengths:
                for system in systems:
                    key = (system.name, system.mode, seconds)
                    if number < planned[key]:
                        times[key][number] = _time_once(system, seconds)
                        bar.update(2 * seconds)
    return [
        _summarise(system, seconds, times, reference)
        for seconds in lengths
        for system in systems
        if times[system.name, system.mode, seconds]
    ]


def _plan_rounds(system: SpeedSubject, lengths: Sequence[float], rounds: int, unlimited: bool) -> dict[float, int]:
    """Return the number of rounds for each length, from the time that a second of audio takes."""
    probe = noise_waveform(1.0, system.sample_rate)
    system.decode(system.encode(probe))
    speed = 1.0 / measure_seconds(lambda: system.decode(system.encode(probe)))
    planned = {}
    for seconds in lengths:
        fits = int(BUDGET_S * speed / seconds)
        fits = max(fits, 1) if seconds == lengths[0] else fits
        planned[seconds] = rounds if unlimited else min(rounds, fits)
    return planned


def _time_once(system: SpeedSubject, seconds: float) -> tuple[float, float]:
    waveform = noise_waveform(seconds, system.sample_rate)
    started = time.perf_counter()
    codes = system.encode(waveform)
    middle = time.perf_counter()
    system.decode(codes)
    return middle - started, time.perf_counter() - middle


def _summarise(system: SpeedSubject, seconds: float, times: _Times, reference: str) -> SystemTiming:
    ours = times[system.name, system.mode, seconds]
    theirs = times.get((reference, system.mode, seconds), {})

    def ratio(which: int) -> TimingQuantiles | None:
        ratios = [theirs[number][which] / pair[which] for number, pair in ours.items() if number in theirs]
        return TimingQuantiles.of(ratios) if ratios else None

    encode, decode = (TimingQuantiles.of([seconds / pair[which] for pair in ours.values()]) for which in (0, 1))
    return SystemTiming(
        system.name, system.mode, system.kbps, system.parameters, seconds, encode, decode, ratio(0), ratio(1)
    )


def time_files(models: dict[str, Codec], lengths: Sequence[float], rounds: int) -> list[FileTiming]:
    """Time the coding of WAV files of noise to ``.nac`` files and back.

    Args:
        models: name to model.
        lengths: durations of the files in seconds.
        rounds: how often each file is coded, in turn.

    Returns:
        One timing per model and length.
    """
    times: dict[tuple[str, float], list[tuple[float, float]]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sources: dict[tuple[str, float], Path] = {}
        for model, codec in models.items():
            rate = codec.config.sample_rate
            for seconds in lengths:
                sources[model, seconds] = folder / f"{len(sources)}.wav"
                audio.write(sources[model, seconds], noise_waveform(seconds, rate)[0].numpy(), rate)
        loaded = {model: LoadedModel(codec) for model, codec in models.items()}
        for _ in tqdm(range(rounds), desc="files", unit="round"):
            for (model, seconds), source in sources.items():
                coded = folder / "coded.nac"
                encoded = encode_file(source, coded, loaded[model])
                decoded = decode_file(coded, folder / "decoded.wav", loaded[model])
                pair = seconds / encoded.elapsed_seconds, seconds / decoded.elapsed_seconds
                times.setdefault((model, seconds), []).append(pair)
    return [
        FileTiming(model, seconds, *(TimingQuantiles.of([pair[which] for pair in pairs]) for which in (0, 1)))
        for (model, seconds), pairs in times.items()
    ]


def time_streams(models: dict[str, Codec], rounds: int, seconds: float = STREAM_SECONDS) -> list[StreamTiming]:
    """Time streams of single latent frames on one thread.

    Args:
        models: name to model.
        rounds: number of streams of each model.
        seconds: duration of a stream; its first second is not counted.

    Returns:
        One timing per model: quantiles over the rounds of each round's median frame.
    """
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in models}
    with torch_threads(1):
        for _ in tqdm(range(rounds), desc="streams", unit="round"):
            for name, codec in models.items():
                pairs = _time_frames(codec, seconds)
                counted = pairs[round(len(pairs) / seconds) if seconds > 1 else 0 :]
                times[name].append((statistics.median(p[0] for p in counted), statistics.median(p[1] for p in counted)))
    return [
        StreamTiming(
            name,
            1000 * codec.config.latent_hop / codec.config.sample_rate,
            *(TimingQuantiles.of([1000 * pair[which] for pair in times[name]]) for which in (0, 1)),
        )
        for name, codec in models.items()
    ]


def _time_frames(codec: Codec, seconds: float) -> list[tuple[float, float]]:
    """Return the seconds that encoding and decoding take, for each frame of a stream."""
    encoder, decoder = codec.stream_encoder(block=1), codec.stream_decoder(block=1)
    pairs = []
    for frame in noise_waveform(seconds, codec.config.sample_rate).split(codec.config.latent_hop, 2):
        block = frame.numpy()
        started = time.perf_counter()
        codes = encoder.push(block).codes
        middle = time.perf_counter()
        decoder.push(codes)
        pairs.append((middle - started, time.perf_counter() - middle))
    return pairs
