"""The report of a search: text for the screen, Markdown, CSV, the page and the picture. Each file is written whole."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from codec.runtime.atomic_files import write_text
from codec.runtime.text import escape_invisible, markdown_text
from eval.evaluation.formatting import format_estimate, format_value
from eval.metrics.confidence import MIN_GROUPS, Estimate
from eval.metrics.registry import describe_editions, metric
from eval.pages.search_page import SearchText, write_search_page
from eval.pages.text_table import Table, csv_cell
from eval.search.chart import write_picture
from eval.search.objectives import SPEED_STEP
from eval.search.results import CandidateRow, SearchResult
from eval.search.space import format_setting
from eval.search.verdict import describe_verdict

FRONT_JSON = "front.json"


def write_tables(result: SearchResult, out: Path, command: str) -> None:
    """Write ``front.md``, ``front.csv`` and, last, ``front.json``.

    Args:
        result: results so far.
        out: folder to write to.
        command: command that makes the search again, or goes on with it.
    """
    write_text(out / "front.md", search_markdown(result, command) + "\n![front](front.png)\n")
    write_text(out / "front.csv", search_csv(result))
    write_text(out / FRONT_JSON, json.dumps(result.to_dict(), indent=1, default=str) + "\n")


def write_pictures(result: SearchResult, out: Path, command: str) -> None:
    """Write the page ``front.html`` and the picture ``front.png``.

    Args:
        result: results so far.
        out: folder to write to.
        command: command that makes the search again, or goes on with it.
    """
    write_picture(result, out / "front.png")
    write_search_page(result, out / "front.html", command, SearchText(explain_search(result), front_table(result)))


def search_text(result: SearchResult) -> str:
    """Return the counts, the front and the verdict for the screen.

    Args:
        result: results so far.

    Returns:
        Several lines.
    """
    return f"{_count_candidates(result)}\n\n{front_table(result).text()}\n\n{describe_verdict(result)}"


def front_table(result: SearchResult) -> Table:
    """Return the front as a table, with the default even if it is not on the front.

    Args:
        result: results so far.

    Returns:
        A row per candidate.
    """
    head = ["candidate", "real kbps", f"{metric(result.metric).label} {metric(result.metric).arrow}", "selected"]
    head += ["to default", "encode", "decode", "M parameters", "latency ms"]
    rows = [row for row in result.rows if row.front or row.default]
    return Table("Pareto front", "", head, [_cells(row, result) for row in rows])


def _cells(row: CandidateRow, result: SearchResult) -> list[str]:
    def format_mean(found: Estimate | None) -> str:
        return "–" if found is None else format_estimate(result.metric, found)

    return [
        row.label + ("" if row.front else " (not on the front)"),
        f"{row.kbps:.2f}",
        format_mean(row.reported) + (f", {row.failed} failed" if row.failed else ""),
        format_value(result.metric, row.selected),
        format_mean(row.difference),
        f"{row.encode:.0f} ({row.encode_ratio.median:.2f})",
        f"{row.decode:.0f} ({row.decode_ratio.median:.2f})",
        f"{row.parameters / 1e6:.2f}",
        f"{row.latency_ms:.0f}",
    ]


def _count_candidates(result: SearchResult) -> str:
    drawn = ", ".join(f"{count} of {result.planned} {sampler}" for sampler, count in result.drawn.items())
    on_front = sum(row.front for row in result.rows)
    rung = f" on rung {result.front_rung + 1} of {len(result.budgets)}" if len(result.budgets) > 1 else ""
    return (
        f"{drawn}; {len(result.rows)} scored, {len(result.failed)} failed, {result.refused} proposals pruned;"
        f" {on_front} on the front{rung}"
    )


def explain_search(result: SearchResult) -> list[str]:
    """Say what the search found, what was searched, and how to read the table.

    Args:
        result: results so far.

    Returns:
        Paragraphs.
    """
    start = f"the recipe {result.recipe}" if result.kind == "design" else f"the model {result.recipe}"
    samplers = ", ".join(f"{count} from the {sampler} sampler" for sampler, count in result.front_by_arm.items())
    rungs = f" Training up to the end of each rung: {', '.join(result.budgets)}." if result.budgets else ""
    return [
        describe_verdict(result),
        f"This search started from {start} and used the validation split of {result.data}. {_count_candidates(result)}:"
        f" {samplers} (a candidate that both proposed counts for both).{rungs}",
        *_explain_names(result),
        _explain_quality(result),
        _explain_costs(result),
    ]


def _explain_names(result: SearchResult) -> list[str]:
    default = next((row for row in result.rows if row.default), None)
    if default is None:
        return []
    settings = zip(result.setting_headings, (default.settings[name] for name in result.space))
    listed = ", ".join(f"{heading} {format_setting(value)}" for heading, value in settings)
    return [f"A candidate is called by the settings in which it differs from the default, which has {listed}."]


def _explain_quality(result: SearchResult) -> str:
    label = metric(result.metric).label
    return (
        f"{len(result.rows)} candidates were compared here; {result.candidates_on_validation} have ever been scored on"
        f" this split. {label} is given on the half of the groups not used for model selection, with 95 % t intervals"
        f" over groups (fewer than {MIN_GROUPS} have none), and in the column selected on the other half."
        f" To default is the difference to the default on the half of the report, paired by clip;"
        f" its interval is that of one comparison, while the verdict is corrected for the number of candidates."
        f" Failed clips count with the metric's worst value."
        + _describe_bias(result)
        + "".join(f" {line}." for line in describe_editions([result.metric]))
    )


def _explain_costs(result: SearchResult) -> str:
    if result.kind == "design":
        bits, threads = "the cross entropy of the codes under order-0 tables", "on one thread"
    else:
        bits, threads = "that of real packets", "on the number of threads in the settings"
    use = "" if result.kind == "design" else " Columns use.… are settings; use.kbps is the target of rate control."
    return (
        f"Real kbps is {bits}.{use} Speeds are times real time {threads}; in brackets is the speed relative to the"
        " default, measured in turn with it, so that the default's own ratio shows the noise. Differences in speed"
        f" below {SPEED_STEP - 1:.0%} do not count."
    )


def _describe_bias(result: SearchResult) -> str:
    """Describe how much selection has inflated the front, as estimated on the half of the report."""
    if result.gap is None or result.gap_of_all is None:
        return ""

    def describe_change(gap: float) -> str:
        return f"{'rises' if gap > 0 else 'drops'} by {format_value(result.metric, abs(gap))}"

    return (
        f" Selection bias: {metric(result.metric).label} of the selected front {describe_change(result.gap)} on"
        f" held-out groups, that of all candidates on its rung {describe_change(result.gap_of_all)}; the difference"
        f" ({format_value(result.metric, result.gap - result.gap_of_all)}) estimates how much selection inflated the"
        " front."
    )


def search_markdown(result: SearchResult, command: str) -> str:
    """Return the report in Markdown.

    Args:
        result: results so far.
        command: command that makes the search again, or goes on with it.

    Returns:
        The page.
    """
    lines = [f"# {markdown_text(result.title)}", ""]
    for paragraph in explain_search(result):
        lines += [markdown_text(paragraph), ""]
    lines += ["Made by", "", f"    {escape_invisible(command)}", "", "## Front", "", front_table(result).markdown()]
    if result.failed:
        failures = (f"- {markdown_text(f'{name}: {reason}')}" for name, reason in result.failed.items())
        lines += ["", "## Failed", "", *failures]
    return "\n".join(lines) + "\n"


def search_csv(result: SearchResult) -> str:
    """Return all scored candidates as CSV, a row each.

    Args:
        result: results so far.

    Returns:
        The file's content.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    head = ["key", "names", "front", "default", "rung", "seeds", "real_kbps", f"{result.metric}_selected"]
    head += [f"{result.metric}_reported", "low", "high", "failed", "encode", "decode", "encode_ratio", "decode_ratio"]
    table.writerow([*head, "parameters", "latency_ms", "memory_mb", *result.setting_headings, "reason", "name"])
    for row in result.rows:
        reported: Mapping[str, Any] = {} if row.reported is None else asdict(row.reported)
        who = [row.key, ", ".join(row.names), row.front, row.default, row.rung, " ".join(map(str, row.seeds))]
        quality = [row.kbps, row.selected, *(reported.get(name) for name in ("mean", "low", "high")), row.failed]
        speed = [row.encode, row.decode, row.encode_ratio.median, row.decode_ratio.median]
        size = [row.parameters, row.latency_ms, row.memory_mb]
        settings = [format_setting(row.settings[name]) for name in result.space]
        table.writerow([csv_cell(cell) for cell in (*who, *quality, *speed, *size, *settings, row.reason, row.label)])
    return text.getvalue()
