"""What a comparison found, as dataclasses (``comparison.json`` is exactly these), and tables."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eval.evaluation.candidate_scoring import METRICS
from eval.evaluation.codec_scores import CodecScores, average_seeds, count_failed_clips
from eval.evaluation.formatting import format_estimate, format_value
from eval.metrics.bootstrap import (
    Estimate,
    PairedDifference,
    describe_correction,
    estimate,
    paired_difference,
    significant_signs,
)
from eval.metrics.registry import describe_editions, metric
from eval.systems.complexity import Complexity


@dataclass(frozen=True)
class Run:
    """One finished training. ``audio_s``: seconds of audio it has learnt from."""

    folder: Path
    seed: int
    steps: int
    audio_s: float
    minutes: float
    stopped: str
    best_step: int
    judged: list[CodecScores]


@dataclass(frozen=True)
class Compared:
    """A candidate, with as many ``runs`` as are finished. ``state``: why there are none, or fewer than asked for."""

    name: str
    architecture: str
    width: int | None
    quantizer: str | None
    cost: Complexity | None
    losses: list[str]
    """What it was trained on."""
    state: str
    runs: list[Run]


@dataclass(frozen=True)
class Cell:
    """A metric of one candidate at one rate, each clip's value a mean over the seeds. ``difference``: to the first
    candidate, paired by clip; ``sign``: 1 where it is significantly above 0, -1 where below, corrected for all
    comparisons at that rate; ``failed``: clips of which a decode had the metric's worst value; ``undefined``: clips
    that the metric leaves out, whatever the candidate."""

    value: Estimate | None
    difference: PairedDifference | None
    trained_on: bool
    failed: int
    undefined: int
    sign: int = 0


@dataclass(frozen=True)
class RateRow:
    """A candidate at one rate; ``seeds``: seed to metric to mean."""

    candidate: str
    asked_kbps: float
    codebooks: int
    nominal_kbps: float
    kbps: float
    metrics: dict[str, Cell]
    seeds: dict[int, dict[str, float]]


@dataclass(frozen=True)
class Comparison:
    title: str
    command: str
    """Makes this comparison again, or goes on with it."""
    made: str
    budget: str
    data: str
    clips: int
    groups: int
    candidates_on_validation: int
    candidates: list[Compared]
    rates: list[RateRow]
    absent_metrics: dict[str, str]
    failed: bool
    """Whether a training ended in an error."""

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def text(self) -> str:
        return markdown(self)


def rate_rows(candidates: Sequence[Compared], rates: Sequence[float]) -> list[RateRow]:
    """Rate by rate, in the order of the candidates; the first of all is what the others are compared with."""
    rows = []
    for index, asked in enumerate(rates):
        at = {entry.name: [run.judged[index] for run in entry.runs] for entry in candidates if entry.runs}
        reference = at.get(candidates[0].name, [])
        here = []
        for entry in candidates:
            if not entry.runs:
                continue
            judged = at[entry.name]
            groups = {clip.clip_id: clip.group for clip in judged[0].clips}
            cells = {}
            for name in METRICS:
                values = average_seeds(judged, name)
                known = {clip: value for clip, value in values.items() if value is not None}
                if values:
                    other = average_seeds(reference, name) if entry is not candidates[0] else {}
                    cells[name] = Cell(
                        estimate(list(known.values()), [groups[clip] for clip in known]),
                        paired_difference(values, other, groups),
                        name in entry.losses,
                        count_failed_clips(judged, name),
                        len(values) - len(known),
                    )
            seeds = {run.seed: _means(run.judged[index]) for run in entry.runs}
            first = judged[0]
            kbps = sum(found.kbps for found in judged) / len(judged)
            here.append(RateRow(entry.name, asked, first.codebooks, first.nominal_kbps, kbps, cells, seeds))
        rows += _tested(here)
    return rows


def _tested(rows: Sequence[RateRow]) -> list[RateRow]:
    """With the sign of each difference that is significant, corrected for the number of all of them."""
    compared = [cell.difference for row in rows for cell in row.metrics.values() if cell.difference is not None]
    signs = iter(significant_signs(compared))
    return [
        replace(
            row,
            metrics={
                name: cell if cell.difference is None else replace(cell, sign=next(signs))
                for name, cell in row.metrics.items()
            },
        )
        for row in rows
    ]


def count_comparisons(rows: Sequence[RateRow]) -> int:
    """How many differences were tested."""
    cells = [cell for row in rows for cell in row.metrics.values()]
    return sum(cell.difference is not None and cell.difference.p is not None for cell in cells)


def _means(judged: CodecScores) -> dict[str, float]:
    found = {}
    for name in METRICS:
        values = [value for value in average_seeds([judged], name).values() if value is not None]
        if values:
            found[name] = sum(values) / len(values)
    return found


# --- as a page ----------------------------------------------------------------------------------------------


def markdown(found: Comparison) -> str:
    first = found.candidates[0].name
    lines = [
        f"# {found.title}",
        "",
        f"Validation split of `{found.data}`: {found.clips} clips of {found.groups} speakers or groups. Each candidate"
        f" trained for {found.budget} on the same packed data with the same loop. {found.candidates_on_validation} runs"
        " were ever compared on this validation split. Made by",
        "",
        f"    {found.command}",
        "",
        f"In brackets: the difference to {first}, paired by clip, and its 95 % t interval over speakers or groups, each"
        " by itself; ▲ better, ▼ worse, where the difference is significant after the correction that stands above the"
        " table. † is also a training loss of that row: do not rank by it. kbps: bits of the codes under order-0 tables"
        " fitted on training clips; nominal ones in brackets."
        + "".join(f" {line}." for line in describe_editions(METRICS)),
    ]
    labels = {name: metric(name) for name in METRICS}
    for asked in dict.fromkeys(row.asked_kbps for row in found.rates):
        rows = [row for row in found.rates if row.asked_kbps == asked]
        names = [name for name in METRICS if any(name in row.metrics for row in rows)]
        heads = [f"{labels[name].label} {labels[name].arrow}" for name in names]
        lines += ["", f"## About {asked:g} kbps", ""]
        if comparisons := count_comparisons(rows):
            lines += [f"▲, ▼: {describe_correction(comparisons)}.", ""]
        lines += _table(
            ["candidate", "codebooks", "kbps", *heads],
            [
                [row.candidate, str(row.codebooks), f"{row.kbps:.2f} ({row.nominal_kbps:.2f})"]
                + [_cell(name, row.metrics.get(name)) for name in names]
                for row in rows
            ],
        )
    lines += ["", "## What was trained", ""]
    heads = ["candidate", "architecture", "seeds", "M parameters", "GMAC/s (decoder)"]
    heads += ["steps", "audio heard", "minutes"]
    lines += _table(heads, [_trained(entry) for entry in found.candidates])
    lines += ["", "GMAC/s: multiply-adds per second of audio, encoding and decoding with all codebooks, in 10⁹."]
    repeated = [row for row in found.rates if len(row.seeds) > 1]
    if repeated:
        names = [name for name in METRICS if any(name in row.metrics for row in repeated)]
        lines += ["", "## Seed by seed", ""]
        lines += _table(
            ["candidate", "about kbps", "seed", *(labels[name].label for name in names)],
            [
                [row.candidate, f"{row.asked_kbps:g}", str(seed)]
                + [format_value(name, means[name]) if name in means else "–" for name in names]
                for row in repeated
                for seed, means in row.seeds.items()
            ],
        )
    notes = [f"- {entry.name}: {entry.state}" for entry in found.candidates if entry.state]
    notes += [f"- {labels[name].label}: {why}" for name, why in found.absent_metrics.items()]
    if notes:
        lines += ["", "## Missing", "", *notes]
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _cell(name: str, cell: Cell | None) -> str:
    if cell is None or cell.value is None:
        return "–"
    text = format_value(name, cell.value.mean) + (" †" if cell.trained_on else "")
    if cell.difference is not None:
        plus = "+" if cell.difference.mean >= 0 else ""
        text += f" ({plus}{format_estimate(name, cell.difference)}{_mark(name, cell.sign)})"
    text += f", {cell.failed} failed" if cell.failed else ""
    return text + (f", {cell.undefined} left out" if cell.undefined else "")


def _mark(name: str, sign: int) -> str:
    if sign == 0:
        return ""
    return " ▲" if metric(name).is_gain(sign) else " ▼"


def _trained(entry: Compared) -> list[str]:
    def each(values: Sequence[str]) -> str:
        return ", ".join(dict.fromkeys(values)) or "–"

    width = "" if entry.width is None else f", width {entry.width}, {entry.quantizer} quantizer"
    cost = entry.cost
    return [
        entry.name,
        entry.architecture + width,
        each([str(run.seed) for run in entry.runs]),
        "–" if cost is None else f"{cost.parameters / 1e6:.2f}",
        "–" if cost is None else f"{cost.gmacs:.3f} ({cost.decoder_gmacs:.3f})",
        each([f"{run.steps:,}" for run in entry.runs]),
        each([f"{run.audio_s / 60:,.1f} min" for run in entry.runs]),
        each([f"{run.minutes:.1f}" for run in entry.runs]),
    ]
