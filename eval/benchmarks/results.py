"""What ``codec speed`` found, as small dataclasses, and the tables that show it."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.benchmarks.coding_speed import BUDGET_S, FileTiming, Spread, StreamTiming, Timing
from eval.benchmarks.latency import Reach
from eval.benchmarks.profile import INPUTS, OUTPUTS, ROWS, Operation
from eval.benchmarks.training_speed import BATCH, CROP_S, TrainingSpeed
from eval.pages.text_table import Table
from eval.systems.architectures import BEST, PLAIN, REFERENCE

TITLES = {
    PLAIN: "Plain PyTorch",
    BEST: "Each at its best",
}


@dataclass(frozen=True)
class Machine:
    processor: str
    cores: int
    load_average: float
    """Of the minute before: above the number of idle cores, something else ran beside us."""
    torch: str
    python: str
    threads: int
    gmac_per_s: float
    """Billions of multiply-adds per second in a float32 linear layer."""

    def text(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, torch {self.torch}, Python {self.python}, {self.threads} thread"
            f"{'s' if self.threads > 1 else ''}, float32; load average before the run {self.load_average:.1f}; a linear"
            f" layer {ROWS} x {INPUTS} x {OUTPUTS} runs at {self.gmac_per_s:.1f} GMAC/s"
        )


@dataclass(frozen=True)
class Work:
    """What coding a second of audio takes, and where the time goes.

    ``share_of_machine``: multiply-adds per second reached, over the machine's own rate."""

    name: str
    direction: str
    gmac_per_audio_s: float
    share_of_machine: float
    operations: list[Operation]


@dataclass(frozen=True)
class Memory:
    """Peak resident memory of coding and decoding files of so many minutes."""

    name: str
    minutes: list[float]
    peak_mb: list[float]


@dataclass(frozen=True)
class SpeedResult:
    command: str
    compiled: bool
    machine: Machine
    timings: list[Timing]
    absent: list[str]
    files: list[FileTiming]
    streams: list[StreamTiming]
    reach: dict[str, Reach]
    memory: list[Memory]
    work: list[Work]
    training: list[TrainingSpeed]

    def tables(self) -> list[Table]:
        timed = [_timings(self.timings, mode, self.compiled) for mode in (PLAIN, BEST)]
        found = [*timed, _files(self.files), _streams(self.streams), _reach(self.reach), _memory(self.memory)]
        return [
            *found,
            _work(self.work),
            _operations(self.work),
            *([_training(self.training)] if self.training else []),
        ]

    def text(self) -> str:
        parts = [self.machine.text(), *self.absent]
        parts += [f"\n{table.title}: {table.note}\n{table.text()}" for table in self.tables()]
        return "\n".join(parts)

    def markdown(self) -> str:
        parts = [
            "# Speed",
            f"Written by\n\n```sh\n{self.command}\n```",
            f"{self.machine.text()}.",
            *([f"Not timed: {'; '.join(self.absent)}."] if self.absent else []),
            *(f"## {table.title}\n\n{table.note}\n\n{table.markdown()}" for table in self.tables()),
        ]
        return "\n\n".join(parts) + "\n"


def spread(value: Spread | None, digits: int = 0) -> str:
    """Median (lowest–highest)."""
    if value is None:
        return "–"
    return f"{value.median:.{digits}f} ({value.low:.{digits}f}–{value.high:.{digits}f})"


def _timings(timings: Sequence[Timing], mode: str, compiled: bool) -> Table:
    shown = [timing for timing in timings if timing.mode == mode]
    with_reference = any(timing.name == REFERENCE for timing in shown)
    header = ["system", "kbit/s", "M parameters", "clip, s", "rounds", "encode, x real time", "decode, x real time"]
    how = (
        "Times real time, waveform to codes and back: median (lowest–highest) of the rounds. Random weights where only"
        " the architecture is given. Codebooks that are running means are not among the parameters."
    )
    if with_reference:
        header += ["encode ratio", "decode ratio"]
        how += (
            f" Ratios: times as fast as {REFERENCE}, in the same round. Peers other than that one get the rounds that"
            f" fit into {BUDGET_S:g} s; where none does, the clip is left out."
        )
    if mode == BEST:
        folded = "Weight normalisation of the peers is folded into their weights; ours is the same code as above"
        how = f"{folded}{'; networks of both are compiled' if compiled else ''}. {how}"
    rows = []
    for timing in shown:
        times = [spread(value, 1 if value.median < 20 else 0) for value in (timing.encode, timing.decode)]
        ratios = (
            [
                spread(value, 2 if value and value.median < 1 else 1)
                for value in (timing.encode_ratio, timing.decode_ratio)
            ]
            if with_reference
            else []
        )
        rate = f"{timing.kbps:.3g}" if timing.kbps else "–"
        size, clip = f"{timing.parameters / 1e6:.2f}", f"{timing.seconds:g}"
        rows.append([timing.name, rate, size, clip, str(timing.encode.rounds), *times, *ratios])
    return Table(TITLES[mode], how, header, rows)


def _files(files: Sequence[FileTiming]) -> Table:
    return Table(
        "Files",
        "Times real time from sound file to .nac file and back: reading, entropy coding, checksums, writing.",
        ["system", "clip, s", "encode, x real time", "decode, x real time"],
        [[one.name, f"{one.seconds:g}", spread(one.encode), spread(one.decode)] for one in files],
    )


def _streams(streams: Sequence[StreamTiming]) -> Table:
    return Table(
        "One frame at a time",
        "A stream of single latent frames on one thread: median of the frames, then median (lowest–highest) of rounds.",
        ["system", "frame lasts, ms", "encode, ms", "decode, ms", "both, x real time"],
        [
            [
                one.name,
                f"{one.frame_ms:.1f}",
                spread(one.encode_ms, 2),
                spread(one.decode_ms, 2),
                f"{one.times_real_time:.1f}",
            ]
            for one in streams
        ],
    )


def _reach(reach: dict[str, Reach]) -> Table:
    return Table(
        "Latency and receptive field",
        "Milliseconds. Measured by changing the input at several places and finding the first output sample that"
        " changes, without and with the quantizer; and by changing one frame of codes and finding the last. At other"
        " sample rates the resampler adds its own delay.",
        [
            "system",
            "latency stated",
            "latency measured",
            "with quantizer",
            "receptive field stated",
            "receptive field measured",
        ],
        [
            [
                name,
                *(
                    f"{value:.2f}"
                    for value in (
                        one.stated_latency_ms,
                        one.latency_ms,
                        one.coded_latency_ms,
                        one.stated_receptive_field_ms,
                        one.receptive_field_ms,
                    )
                ),
            ]
            for name, one in reach.items()
        ],
    )


def _memory(memory: Sequence[Memory]) -> Table:
    minutes = memory[0].minutes if memory else []
    return Table(
        "Memory",
        "Peak resident memory, in MB, of a process that codes and decodes a file of that length (Python and torch"
        " included).",
        ["system", *(f"{length:g} min" for length in minutes)],
        [[one.name, *(f"{peak:.0f}" for peak in one.peak_mb)] for one in memory],
    )


def _work(work: Sequence[Work]) -> Table:
    return Table(
        "Multiply-adds",
        "Of matrix products and convolutions, per second of audio, and the rate at which they were done over the"
        " machine's own for a linear layer.",
        ["system", "GMAC per second of audio", "% of the machine's rate"],
        [
            [f"{one.name}, {one.direction}", f"{one.gmac_per_audio_s:.3f}", f"{100 * one.share_of_machine:.0f}"]
            for one in work
        ],
    )


def _operations(work: Sequence[Work]) -> Table:
    most = max((len(one.operations) for one in work), default=0)
    return Table(
        "Where the time goes",
        "Share of the time by operation, most first; number of calls for 10 s of audio.",
        ["system", *(str(place + 1) for place in range(most))],
        [
            [f"{one.name}, {one.direction}"]
            + [f"{operation.name} {100 * operation.share:.0f}% ({operation.calls})" for operation in one.operations]
            + ["–"] * (most - len(one.operations))
            for one in work
        ],
    )


def _training(training: Sequence[TrainingSpeed]) -> Table:
    def ratio(one: TrainingSpeed) -> str:
        judged = one.discriminator_parameters > 0
        theirs = [
            other.audio_s.median
            for other in training
            if other.name.startswith("EnCodec") and (other.discriminator_parameters > 0) == judged
        ]
        return f"{one.audio_s.median / theirs[0]:.2g}" if theirs else "–"

    return Table(
        "Training",
        f"Seconds of audio per second of wall time of a whole training step: batch {BATCH}, crops of {CROP_S:g} s."
        " Ratio to EnCodec 24 kHz without or with discriminator; discriminators learn in every step. Peers: L1 and"
        " seven-scale mel as ours compute them, and with a discriminator its hinge and feature losses.",
        ["system", "losses", "M parameters", "M discriminator", "rounds", "s/s", "ratio"],
        [
            [
                one.name,
                one.step,
                f"{one.parameters / 1e6:.2f}",
                f"{one.discriminator_parameters / 1e6:.2f}" if one.discriminator_parameters else "–",
                str(one.audio_s.rounds),
                spread(one.audio_s, 2),
                ratio(one),
            ]
            for one in training
        ],
    )
