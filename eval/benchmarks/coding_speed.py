"""Encoding and decoding speed of several systems, which take turns so that other load on the machine affects them all.

A whole round is run over all systems before the next round begins; a ratio between two systems compares times of the
same round. Speed is in seconds of audio per second of wall time, without the start of programs and the loading of
models. :mod:`eval.benchmarks.file_speed` measures files in the same way.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.audio_codec import AudioCodec
from codec.model.codec import Codec
from codec.runtime.progress import ProgressBar
from codec.runtime.torch_threads import torch_threads
from eval.systems.architectures import SpeedSubject, count_module_parameters

BUDGET_S = 20.0
"""Time limit for a slow system, in seconds per clip length: it gets only as many rounds as fit into it."""
STREAM_SECONDS = 4.0

ARRAY, FILE = "array", "file"
"""What is timed: from waveform to codes and back in memory, or from a sound file to a coded file and back."""


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
class RoundTime:
    """What encoding and decoding took in one round."""

    number: int
    """Number of the round."""
    encode_s: float
    """Seconds."""
    decode_s: float
    """Seconds."""


@dataclass(frozen=True)
class CodingTiming:
    """Speed of one system on clips of one length."""

    name: str
    measured: str
    """:data:`ARRAY` or :data:`FILE`."""
    kbps: float | None
    """Bit rate in kbit/s that was asked for; None with all codes of a file; 0 of a system without codes."""
    parameters: int | None
    """Number of parameters; None of a system whose networks are not in this process."""
    seconds: float
    """Duration of the audio that is counted."""
    times: Sequence[RoundTime]
    encode: TimingQuantiles
    """Times real time."""
    decode: TimingQuantiles

    @staticmethod
    def of(
        name: str, measured: str, kbps: float | None, parameters: int | None, seconds: float, times: Sequence[RoundTime]
    ) -> "CodingTiming":
        """Summarise the times of rounds.

        Args:
            name: name of the system.
            measured: see the fields, as for the other arguments.
            kbps: bit rate in kbit/s.
            parameters: number of parameters.
            seconds: duration of the audio.
            times: at least one round.

        Returns:
            The timing.
        """
        encode = TimingQuantiles.of([seconds / one.encode_s for one in times])
        decode = TimingQuantiles.of([seconds / one.decode_s for one in times])
        return CodingTiming(name, measured, kbps, parameters, seconds, times, encode, decode)

    def ratios_to(self, other: "CodingTiming") -> tuple[TimingQuantiles, TimingQuantiles]:
        """Compare the speed with that of another system in the rounds in which both took part.

        Args:
            other: timing on the same audio.

        Returns:
            Ratios of the speeds of encoding and of decoding; above 1, this system is faster.
        """
        theirs = {one.number: one for one in other.times}
        pairs = [(one, theirs[one.number]) for one in self.times if one.number in theirs]
        encode = TimingQuantiles.of([their.encode_s / our.encode_s for our, their in pairs])
        decode = TimingQuantiles.of([their.decode_s / our.decode_s for our, their in pairs])
        return encode, decode


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


def array_subject(name: str, codec: AudioCodec) -> SpeedSubject:
    """Return one of our models as a system that codes arrays.

    Args:
        name: name of the system.
        codec: the model.

    Returns:
        The system, which codes with all codebooks.
    """
    network = codec.model.network
    config, rate = network.config, codec.sample_rate
    return SpeedSubject(
        name,
        rate,
        config.kbps_per_codebook * config.quantizer.codebooks,
        count_module_parameters(network),
        lambda waveform: codec.encode(waveform[0].numpy(), rate),
        codec.decode,
        (network.encoder, network.decoder),
    )


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
    systems: Sequence[SpeedSubject],
    lengths: Sequence[float],
    rounds: int,
    unlimited: set[str],
    *,
    quiet: bool = False,
) -> list[CodingTiming]:
    """Time the encoding and decoding of noise by several systems in turn.

    Args:
        systems: systems to time; each runs once before the measurement.
        lengths: durations of the clips in seconds.
        rounds: number of rounds.
        unlimited: names of the systems that take part in every round. Others stop when they have used
            :data:`BUDGET_S` seconds on a clip length.
        quiet: whether to hide the progress bars.

    Returns:
        One timing per system and length. A system that is too slow for a length has no entry for it; the shortest
        length is always timed.
    """
    lengths = sorted(lengths)
    planned = {
        (system.name, seconds): count
        for system in ProgressBar(systems, desc="warming up", unit="system", disable=quiet)
        for seconds, count in _plan_rounds(system, lengths, rounds, system.name in unlimited).items()
    }
    times: dict[tuple[str, float], list[RoundTime]] = {key: [] for key in planned}
    total = sum(2 * seconds * count for (_, seconds), count in planned.items())
    layout = "{desc} {percentage:3.0f}%|{bar}| [{elapsed}<{remaining}]"
    with ProgressBar(total=total, desc="encode, decode", bar_format=layout, disable=quiet) as bar:
        for number in range(rounds):
            for seconds in lengths:
                for system in systems:
                    if number < planned[system.name, seconds]:
                        times[system.name, seconds].append(_time_once(system, number, seconds))
                        bar.update(2 * seconds)
    return [
        CodingTiming.of(system.name, ARRAY, system.kbps, system.parameters, seconds, found)
        for seconds in lengths
        for system in systems
        if (found := times[system.name, seconds])
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


def _time_once(system: SpeedSubject, number: int, seconds: float) -> RoundTime:
    waveform = noise_waveform(seconds, system.sample_rate)
    started = time.perf_counter()
    codes = system.encode(waveform)
    middle = time.perf_counter()
    system.decode(codes)
    return RoundTime(number, middle - started, time.perf_counter() - middle)


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
        for _ in ProgressBar(range(rounds), desc="streams", unit="round"):
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
