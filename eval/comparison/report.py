"""The report of a comparison in Markdown."""

from collections.abc import Sequence

from eval.comparison.results import (
    BoundRow,
    CandidateResult,
    ComparisonResult,
    MetricCell,
    RateRow,
    count_comparisons,
)
from eval.evaluation.candidate_scoring import COMPARISON_METRICS
from eval.evaluation.formatting import format_estimate, format_value
from eval.metrics.confidence import MIN_GROUPS, describe_correction
from eval.metrics.registry import describe_editions, metric


def comparison_markdown(result: ComparisonResult) -> str:
    """Return the report of a comparison.

    Args:
        result: results of the comparison.

    Returns:
        A page in Markdown.
    """
    lines = [f"# {result.title}", "", *_explain(result)]
    for asked in dict.fromkeys(row.asked_kbps for row in result.rates):
        lines += _rate_section(asked, [row for row in result.rates if row.asked_kbps == asked])
    lines += _bound_section(result.bounds)
    lines += ["", "## Training", ""]
    heads = ["candidate", "architecture", "seeds", "M parameters", "GMAC/s (decoder)"]
    heads += ["steps", "audio learnt from", "minutes"]
    lines += _table(heads, [_training_cells(candidate) for candidate in result.candidates])
    lines += ["", "GMAC/s: 10⁹ multiply-adds per second of audio to encode and decode with all codebooks."]
    lines += _seed_section([row for row in result.rates if len(row.seeds) > 1])
    notes = [f"- {candidate.name}: {candidate.state}" for candidate in result.candidates if candidate.state]
    notes += [f"- {metric(name).label}: {why}" for name, why in result.absent_metrics.items()]
    if notes:
        lines += ["", "## Missing", "", *notes]
    return "\n".join(lines) + "\n"


def _explain(result: ComparisonResult) -> list[str]:
    first = result.candidates[0].name
    return [
        f"Validation split of `{result.data}`: {result.clips} clips of {result.groups} speakers or groups. Each"
        f" candidate was trained for {result.budget} on the same packed data with the same training loop."
        f" {result.candidates_on_validation} runs have ever been compared on this validation split. Made by",
        "",
        f"    {result.command}",
        "",
        f"In brackets is the difference to {first}, paired by clip, with its 95 % t interval over speakers or groups,"
        f" each by itself (fewer than {MIN_GROUPS} groups have none); ▲ better and ▼ worse mark"
        " differences that are significant after the correction stated above the table. † marks a metric that"
        " is also a training loss of that row; do not rank by it. kbps is the cross entropy of the codes"
        " under order-0 tables fitted to training clips, with the nominal bit rate in brackets."
        + "".join(f" {line}." for line in describe_editions(COMPARISON_METRICS)),
    ]


def _rate_section(asked: float, rows: Sequence[RateRow]) -> list[str]:
    names = [name for name in COMPARISON_METRICS if any(name in row.metrics for row in rows)]
    lines = ["", f"## About {asked:g} kbps", ""]
    if comparisons := count_comparisons(rows):
        lines += [f"▲, ▼: {describe_correction(comparisons)}.", ""]
    heads = [f"{metric(name).label} {metric(name).arrow}" for name in names]
    cells = [
        [row.candidate, str(row.codebooks), f"{row.kbps:.2f} ({row.nominal_kbps:.2f})"]
        + [_format_cell(name, row.metrics.get(name)) for name in names]
        for row in rows
    ]
    return lines + _table(["candidate", "codebooks", "kbps", *heads], cells)


def _bound_section(rows: Sequence[BoundRow]) -> list[str]:
    """Return what limits the candidates of our architecture, whatever the bit rate."""
    if not rows:
        return []
    names = [name for name in COMPARISON_METRICS if any(name in row.metrics for row in rows)]
    cells = [
        [row.candidate, row.bound]
        + [format_estimate(name, row.metrics[name]) if name in row.metrics else "–" for name in names]
        for row in rows
    ]
    about = (
        "Without a bit rate: the decoder with continuous latents and, unless its skip paths were trained, the linear"
        " transform of the latent's dimension alone."
    )
    heads = [f"{metric(name).label} {metric(name).arrow}" for name in names]
    return ["", "## Bounds", "", about, "", *_table(["candidate", "bound", *heads], cells)]


def _seed_section(rows: Sequence[RateRow]) -> list[str]:
    """Return the means of each seed, for candidates with several."""
    if not rows:
        return []
    names = [name for name in COMPARISON_METRICS if any(name in row.metrics for row in rows)]
    cells = [
        [row.candidate, f"{row.asked_kbps:g}", str(seed)]
        + [format_value(name, means[name]) if name in means else "–" for name in names]
        for row in rows
        for seed, means in row.seeds.items()
    ]
    heads = ["candidate", "about kbps", "seed", *(metric(name).label for name in names)]
    return ["", "## Seeds", "", *_table(heads, cells)]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def _format_cell(name: str, cell: MetricCell | None) -> str:
    if cell is None or cell.value is None:
        return "–"
    text = format_value(name, cell.value.mean) + (" †" if cell.trained_on else "")
    if cell.difference is not None:
        plus = "+" if cell.difference.mean >= 0 else ""
        mark = {1: " ▲", -1: " ▼", 0: ""}[metric(name).sign * cell.sign]
        text += f" ({plus}{format_estimate(name, cell.difference)}{mark})"
    text += f", {cell.failed} failed" if cell.failed else ""
    return text + (f", {cell.undefined} undefined" if cell.undefined else "")


def _training_cells(candidate: CandidateResult) -> list[str]:
    def join(values: Sequence[str]) -> str:
        return ", ".join(dict.fromkeys(values)) or "–"

    width = "" if candidate.width is None else f", width {candidate.width}, {candidate.quantizer} quantizer"
    cost, runs = candidate.cost, candidate.runs
    return [
        candidate.name,
        candidate.architecture + width,
        join([str(run.seed) for run in runs]),
        "–" if cost is None else f"{cost.parameters / 1e6:.2f}",
        "–" if cost is None else f"{cost.gmacs:.3f} ({cost.decoder_gmacs:.3f})",
        join([f"{run.steps:,}" for run in runs]),
        join([f"{run.audio_s / 60:,.1f} min" for run in runs]),
        join([f"{run.minutes:.1f}" for run in runs]),
    ]
