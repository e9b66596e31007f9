"""Results of ``codec speed`` as dataclasses, which give ``--json``, and tables of these results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from eval.benchmarks.coding_speed import BUDGET_S, FILE, CodingTiming, StreamTiming, TimingQuantiles
from eval.benchmarks.file_speed import HEAD_S
from eval.benchmarks.latency import LatencyMeasurement
from eval.benchmarks.profile import LINEAR_INPUTS, LINEAR_OUTPUTS, LINEAR_ROWS, Operation
from eval.benchmarks.training_speed import BATCH, CROP_S, TrainingSpeed
from eval.pages.text_table import Table


@dataclass(frozen=True)
class Machine:
    """The machine on which everything was measured."""

    processor: str
    cores: int
    load_average: float
    """Load average of the last minute. Above the number of idle cores, other programs disturbed the measurement."""
    torch: str
    python: str
    threads: int
    gmac_per_s: float
    """10⁹ multiply-adds per second in a float32 linear layer."""

    def text(self) -> str:
        """Return all of it in one line.

        Returns:
            One line of text.
        """
        return (
            f"{self.processor}, {self.cores} cores, torch {self.torch}, Python {self.python}, {self.threads} thread"
            f"{'s' if self.threads > 1 else ''}, float32; load average before the run {self.load_average:.1f}; a linear"
            f" layer {LINEAR_ROWS} x {LINEAR_INPUTS} x {LINEAR_OUTPUTS} runs at {self.gmac_per_s:.1f} GMAC/s"
        )


@dataclass(frozen=True)
class ComputingWork:
    """Computing work for one second of audio, and the operations that take most of the time."""

    name: str
    direction: str
    """``encode`` or ``decode``."""
    gmac_per_audio_s: float
    share_of_machine: float
    """Multiply-adds per second relative to the machine's rate for a linear layer."""
    operations: list[Operation]


@dataclass(frozen=True)
class PeakMemory:
    """Peak resident memory of coding a file, for each duration in ``minutes``."""

    name: str
    minutes: list[float]
    peak_mb: list[float]


@dataclass(frozen=True)
class SpeedRatio:
    """Speed of a system relative to another in the same rounds."""

    timing: CodingTiming
    relative_to: str
    encode: TimingQuantiles
    decode: TimingQuantiles


@dataclass(frozen=True)
class SpeedResult:
    """All measurements of ``codec speed``."""

    command: str
    """Makes the same measurements."""
    compiled: bool
    machine: Machine
    timings: list[CodingTiming]
    ratios: list[SpeedRatio]
    absent: list[str]
    """A line for each peer that could not be timed."""
    streams: list[StreamTiming]
    reach: dict[str, LatencyMeasurement]
    memory: list[PeakMemory]
    work: list[ComputingWork]
    training: list[TrainingSpeed]

    def tables(self) -> list[Table]:
        """Return every table of the page.

        Returns:
            Tables in the order of the page.
        """
        return [
            _coding_table(self.timings, self.compiled),
            *([_ratio_table(self.ratios)] if self.ratios else []),
            _stream_table(self.streams),
            _latency_table(self.reach),
            _memory_table(self.memory),
            _work_table(self.work),
            _operation_table(self.work),
            *([_training_table(self.training)] if self.training else []),
        ]

    def text(self) -> str:
        """Return the tables for the screen.

        Returns:
            Several lines of text.
        """
        parts = [self.machine.text(), *self.absent]
        parts += [f"\n{table.title}: {table.note}\n{table.text()}" for table in self.tables()]
        return "\n".join(parts)

    def markdown(self) -> str:
        """Return the tables as a page in Markdown.

        Returns:
            The page, with the command that makes it.
        """
        parts = [
            "# Speed",
            f"Written by\n\n```sh\n{self.command}\n```",
            f"{self.machine.text()}.",
            *([f"Not timed: {'; '.join(self.absent)}."] if self.absent else []),
            *(f"## {table.title}\n\n{table.note}\n\n{table.markdown()}" for table in self.tables()),
        ]
        return "\n\n".join(parts) + "\n"


def format_quantiles(value: TimingQuantiles | None, digits: int = 0) -> str:
    """Format timing quantiles as "median (lowest–highest)".

    Args:
        value: quantiles, or None.
        digits: decimals.

    Returns:
        The text; a dash for None.

    >>> format_quantiles(TimingQuantiles(2.0, 1.0, 3.5, 5), 1)
    '2.0 (1.0–3.5)'
    """
    if value is None:
        return "–"
    return f"{value.median:.{digits}f} ({value.low:.{digits}f}–{value.high:.{digits}f})"


def compare_speeds(timings: Sequence[CodingTiming], references: Mapping[str, Sequence[str]]) -> list[SpeedRatio]:
    """Compare timings of the same audio: arrays, or files of the same bit rate.

    Args:
        timings: timings of all systems.
        references: names of the systems that a system is compared with, by its name.

    Returns:
        A ratio for each pair.
    """
    return [
        SpeedRatio(one, other.name, *one.ratios_to(other))
        for one in timings
        for other in timings
        if other.name in references.get(one.name, ())
        and (one.measured, one.seconds) == (other.measured, other.seconds)
        and (one.measured != FILE or one.kbps == other.kbps)
    ]


def _coding_table(timings: Sequence[CodingTiming], compiled: bool) -> Table:
    return Table(
        "Coding speed",
        "Seconds of audio per second of wall time: median (lowest–highest) of the rounds, in which all systems take"
        " turns. An array is coded in memory, from waveform to codes and back, by a model that is loaded; a file from a"
        f" sound file to a coded file and back, less the time for the first {HEAD_S:g} s of the audio, most of which is"
        " the start of a program or the loading of a model. The decoders of int8 decode the same codes. Weights are"
        " random if a recipe is given. The weight normalisation of the peers is folded into their weights"
        f"{' and their networks are compiled' if compiled else ''}; each gets as many rounds as fit into"
        f" {BUDGET_S:g} s, and if not even one fits, the clip length is left out. Codebooks that are moving averages"
        " are not counted among the parameters.",
        [
            "system",
            "coded",
            "kbit/s",
            "M parameters",
            "audio, s",
            "rounds",
            "encode, x real time",
            "decode, x real time",
        ],
        [
            [
                *_describe_timing(one),
                "–" if one.parameters is None else f"{one.parameters / 1e6:.2f}",
                f"{one.seconds:g}",
                str(one.encode.rounds),
                *(format_quantiles(value, 1 if value.median < 20 else 0) for value in (one.encode, one.decode)),
            ]
            for one in timings
        ],
    )


def _describe_timing(one: CodingTiming) -> list[str]:
    """Return the name, what is coded, and the bit rate."""
    rate = "all codes" if one.kbps is None else f"{one.kbps:.3g}" if one.kbps else "–"
    return [one.name, one.measured, rate]


def _ratio_table(ratios: Sequence[SpeedRatio]) -> Table:
    def ratio(value: TimingQuantiles) -> str:
        return format_quantiles(value, 2 if value.median < 10 else 1)

    return Table(
        "Ratios of speed",
        "Speed relative to another system in the same round: median (lowest–highest) of the rounds.",
        ["system", "coded", "kbit/s", "audio, s", "relative to", "encode", "decode"],
        [
            [
                *_describe_timing(one.timing),
                f"{one.timing.seconds:g}",
                one.relative_to,
                ratio(one.encode),
                ratio(one.decode),
            ]
            for one in ratios
        ],
    )


def _stream_table(streams: Sequence[StreamTiming]) -> Table:
    return Table(
        "One frame at a time",
        "A stream of single latent frames on one thread: the median frame of each stream, as the median"
        " (lowest–highest) over the rounds.",
        ["system", "frame lasts, ms", "encode, ms", "decode, ms", "both, x real time"],
        [
            [
                one.name,
                f"{one.frame_ms:.1f}",
                format_quantiles(one.encode_ms, 2),
                format_quantiles(one.decode_ms, 2),
                f"{one.times_real_time:.1f}",
            ]
            for one in streams
        ],
    )


def _latency_table(latencies: dict[str, LatencyMeasurement]) -> Table:
    header = ["system", "latency stated", "latency measured", "with quantizer"]
    rows = []
    for name, one in latencies.items():
        latency = [one.stated_latency_ms, one.latency_ms, one.coded_latency_ms]
        field = [one.stated_receptive_field_ms, one.receptive_field_ms]
        rows.append([name, *(f"{value:.2f}" for value in latency + field)])
    return Table(
        "Latency and receptive field",
        "Milliseconds. Latency is measured by changing the input at several positions and finding the first output"
        " sample that changes, without and with the quantizer. The receptive field is measured by changing one frame of"
        " codes and finding the last sample that changes. At other sample rates the resampler adds its own delay.",
        [*header, "receptive field stated", "receptive field measured"],
        rows,
    )


def _memory_table(memory: Sequence[PeakMemory]) -> Table:
    minutes = memory[0].minutes if memory else []
    return Table(
        "Memory",
        "Peak resident memory, in MB, of a process that encodes and decodes a file of that length, Python and PyTorch"
        " included.",
        ["system", *(f"{length:g} min" for length in minutes)],
        [[one.name, *(f"{peak:.0f}" for peak in one.peak_mb)] for one in memory],
    )


def _work_table(work: Sequence[ComputingWork]) -> Table:
    return Table(
        "Multiply-adds",
        "Multiply-adds of matrix products and convolutions per second of audio, and their rate relative to the"
        " machine's rate for a linear layer.",
        ["system", "GMAC per second of audio", "% of the machine's rate"],
        [
            [f"{one.name}, {one.direction}", f"{one.gmac_per_audio_s:.3f}", f"{100 * one.share_of_machine:.0f}"]
            for one in work
        ],
    )


def _operation_table(work: Sequence[ComputingWork]) -> Table:
    most = max((len(one.operations) for one in work), default=0)
    return Table(
        "Where the time goes",
        "Share of the time of each operation, largest first, and its number of calls for 10 s of audio.",
        ["system", *(str(number + 1) for number in range(most))],
        [
            [f"{one.name}, {one.direction}"]
            + [f"{operation.name} {100 * operation.share:.0f}% ({operation.calls})" for operation in one.operations]
            + ["–"] * (most - len(one.operations))
            for one in work
        ],
    )


def _training_table(training: Sequence[TrainingSpeed]) -> Table:
    def ratio(one: TrainingSpeed) -> str:
        adversarial = one.discriminator_parameters > 0
        theirs = [
            other.audio_s.median
            for other in training
            if other.name.startswith("EnCodec") and (other.discriminator_parameters > 0) == adversarial
        ]
        return f"{one.audio_s.median / theirs[0]:.2g}" if theirs else "–"

    return Table(
        "Training",
        f"Seconds of audio per second of wall time of a whole training step, with batches of {BATCH} crops of"
        f" {CROP_S:g} s. The ratio is to EnCodec 24 kHz without or with a discriminator, which learns in every step."
        " Peers are trained with our L1 and seven-scale mel losses, and with a discriminator also with its hinge and"
        " feature losses.",
        ["system", "losses", "M parameters", "M discriminator", "rounds", "s/s", "ratio"],
        [
            [
                one.name,
                one.step,
                f"{one.parameters / 1e6:.2f}",
                f"{one.discriminator_parameters / 1e6:.2f}" if one.discriminator_parameters else "–",
                str(one.audio_s.rounds),
                format_quantiles(one.audio_s, 2),
                ratio(one),
            ]
            for one in training
        ],
    )
