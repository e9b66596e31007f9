"""The result of an evaluation as text for the screen, and sentences that pages and tables share with it."""

from codec.dataset.ledger import describe_openings
from codec.runtime.text import escape_invisible
from eval.evaluation.formatting import (
    describe_failed,
    describe_missing,
    describe_samples,
    format_estimate,
    format_kbps,
    format_value,
)
from eval.evaluation.results import EvaluationResult, Row
from eval.metrics.confidence import MIN_GROUPS
from eval.metrics.registry import METRICS, describe_editions, metric
from eval.pages.text_table import Table
from eval.systems.system import BOUND

_COLUMNS = 100
"""Maximum width of tables in columns of a terminal."""


def format_evaluation(result: EvaluationResult) -> str:
    """Format a result for a terminal.

    Args:
        result: result of an evaluation.

    Returns:
        Several lines, without control characters.
    """
    encodes, decodes = result.encode_times_real_time, result.decode_times_real_time
    lines = [
        *_main_lines(result),
        *(line for other in result.rows[1:] for line in [_format_row(other)]),
        f"bit rate: {result.kbps:.2f} kbps in files; {result.nominal_kbps:.2f} nominal, {result.ideal_kbps:.2f} ideal",
        *_system_lines(result),
        *(f"{name}: absent: {why}" for name, why in result.absent_systems.items()),
        describe_history(result),
        *(_indented(gaps.text()) if (gaps := gap_table(result)) else []),
        f"encodes {encodes:.0f}×, decodes {decodes:.0f}× real time, on one thread",
        f"{result.diagnosis.verdict}: {result.diagnosis.reason}. {result.diagnosis.action}",
        f"report: {result.report}",
    ]
    return "\n".join(escape_invisible(line) for line in lines)


def describe_history(result: EvaluationResult) -> str:
    """Describe the earlier use of the clips: in training, in openings of the test split, and by other candidates.

    Args:
        result: result of an evaluation.

    Returns:
        Two or three sentences.
    """
    sentences = []
    kind = "test" if result.split == "test" else "validation"
    if result.trained_clips:
        sentences.append(
            f"{result.trained_clips} of the {result.clips_in_split} {kind} clips were used in training, so quality on"
            " new audio may be lower."
        )
    if result.split == "test":
        sentences.append(_describe_openings(result))
    else:
        sentences.append("These clips belong to the half of the validation groups not used for model selection.")
    runs = "1 run has" if result.candidates == 1 else f"{result.candidates} runs have"
    return " ".join([*sentences, f"{runs} been compared on the validation split so far."])


def _describe_openings(result: EvaluationResult) -> str:
    if not result.opened_before:
        return "This is the first evaluation on the test split."
    times = "once" if result.opened_before == 1 else f"{result.opened_before} times"
    details = f" ({describe_openings(result.openings)})" if result.openings else ""
    others = sum(result.trained.checksum not in entry.weights for entry in result.openings)
    strangers = f"; {others} of these openings were for other models" if others else ""
    return f"The test split was opened {times} before{details}{strangers}."


def gap_table(result: EvaluationResult) -> Table | None:
    """Tabulate the gap between the validation half of the report and the half for model selection.

    Args:
        result: result of an evaluation.

    Returns:
        The table; None on the test split, or if there are no clips for model selection.
    """
    if result.halves is None:
        return None
    selected = result.halves.selecting.metrics
    rows = [
        [metric(name).heading, format_value(name, selected[name].mean), format_estimate(name, found)]
        for name, found in result.halves.gap.items()
    ]
    return Table("", "", ["", "half for model selection", "gap to it"], rows)


def _main_lines(result: EvaluationResult) -> list[str]:
    row = result.main
    kind = "test" if result.split == "test" else "validation"
    heading = "mean and 95 % interval" if row.groups >= MIN_GROUPS else f"mean (under {MIN_GROUPS} groups: no interval)"
    measured = [
        [metric(name).heading, format_estimate(name, found), _format_noise(name, row)]
        for name, found in row.metrics.items()
    ]
    lines = [f"{row.clips} {kind} clips {row.name}, {row.groups} groups, {format_kbps(row.kbps)} measured"]
    lines += _indented(Table("", "", ["", heading, "matched noise"], measured).text())
    lines += [f"  {metric(name).label}: {why}" for name, why in result.absent.items()]
    notes = (*describe_editions(row.metrics), *describe_samples(row), *describe_missing(row))
    lines += [f"  {line}" for line in notes]
    if result.other_codes_mel:
        lines.append(f"  mel distance with another file's codes: {result.other_codes_mel.mean:.2f}")
    return lines


def _format_row(row: Row) -> str:
    line = f"{row.name}: {row.clips} clips, {format_kbps(row.kbps)}"
    if mel := row.metrics.get("mel"):
        line += f", mel distance {format_estimate('mel', mel)}"
    if noise := row.baseline.get("mel"):
        line += f" (matched noise: {format_value('mel', noise.mean)})"
    return line


def _system_lines(result: EvaluationResult) -> list[str]:
    """Return tables of means, a column for each system at each operating point, the main one first."""
    if not result.others:
        return []
    systems = [result.main, *result.others, *result.bounds]
    rates = ["unknown" if row.kbps is None else f"{row.kbps:.2f}" for row in (result.main, *result.others)]
    cells = [["real kbps", *rates, *(BOUND for _ in result.bounds)]]
    if any(row.container_kbps is not None for row in systems):
        around = (row.container_kbps for row in systems)
        cells.append(["container, kbps", *("–" if kbps is None else f"{kbps:.2f}" for kbps in around)])
    for entry in METRICS:
        if any(entry.name in row.metrics for row in systems):
            cells.append([entry.heading, *(_format_mean(entry.name, row) for row in systems)])
    table = Table("", "", ["", result.operating_point, *(row.name for row in systems[1:])], cells)
    lines = ["other systems on the same clips (means; results.md in the same folder has their intervals):"]
    for text in table.texts(_COLUMNS, kept=2):
        lines += [*_indented(text), ""]
    return lines[:-1] + [
        f"  {other.name}: {line}"
        for other in result.others
        for line in [*([other.note] if other.note else []), *describe_failed(other)]
    ]


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _format_mean(name: str, row: Row) -> str:
    if name not in row.metrics:
        return "–"
    failed = row.count_failed(name)
    return format_value(name, row.metrics[name].mean) + (f" ({failed} failed)" if failed else "")


def _format_noise(name: str, row: Row) -> str:
    return format_value(name, row.baseline[name].mean) if name in row.baseline else ""
