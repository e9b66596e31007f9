"""What a search found as tables and text, for the screen, Markdown, CSV and the page."""

import csv
import io
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from codec.runtime.text import escape_invisible
from eval.evaluation.formatting import format_estimate, format_value
from eval.metrics.bootstrap import Estimate
from eval.metrics.registry import describe_editions, metric
from eval.pages.text_table import Table, csv_cell, markdown_text
from eval.search.results import SPEED_STEP, Row, SearchResult
from eval.search.verdict import verdict


def text(result: SearchResult) -> str:
    """For the screen."""
    return f"{_counts(result)}\n\n{front_table(result).text()}\n\n{verdict(result)}"


def front_table(result: SearchResult) -> Table:
    """The front, and the default where it is not on it."""
    meant = metric(result.metric)
    head = ["candidate", "real kbps", f"{meant.label} {meant.arrow}", "selected", "to default", "encode", "decode"]
    head += ["M parameters", "latency ms", *headings(result)]
    rows = [row for row in result.rows if row.front or row.default]
    return Table("Pareto front", "", head, [_cells(row, result) for row in rows])


def _cells(row: Row, result: SearchResult) -> list[str]:
    def number(found: Estimate | None) -> str:
        return "–" if found is None else format_estimate(result.metric, found)

    return [
        row.label + ("" if row.front else " (not on the front)"),
        f"{row.kbps:.2f}",
        number(row.reported) + (f", {row.failed} failed" if row.failed else ""),
        format_value(result.metric, row.selected),
        number(row.difference),
        f"{row.encode:.0f} ({row.encode_ratio.median:.2f})",
        f"{row.decode:.0f} ({row.decode_ratio.median:.2f})",
        f"{row.parameters / 1e6:.2f}",
        f"{row.latency_ms:.0f}",
        *(shown(row.settings[name]) for name in result.space),
    ]


def headings(result: SearchResult) -> list[str]:
    """What the settings are called where measurements stand beside them: the rate that is asked for is not the real
    one."""
    return [f"use.{name}" if result.kind == "operating" else name for name in result.space]


def shown(value: Any) -> str:
    """A setting in a table."""
    return f"{value:g}" if isinstance(value, float) else json.dumps(value) if not isinstance(value, str) else value


def _counts(result: SearchResult) -> str:
    judged = len(result.rows)
    drawn = ", ".join(f"{count} of {result.planned} {arm}" for arm, count in result.drawn.items())
    on_front = sum(row.front for row in result.rows)
    rung = f" on rung {result.front_rung + 1} of {len(result.budgets)}" if len(result.budgets) > 1 else ""
    return (
        f"{drawn}; {judged} judged, {len(result.failed)} failed, {result.refused} draws refused; {on_front} on the"
        f" front{rung}"
    )


def explanation(result: SearchResult) -> list[str]:
    """Paragraphs: what was searched, and how to read it."""
    meant = metric(result.metric)
    threads = "on one thread" if result.kind == "design" else "on as many threads as the settings say"
    bits = (
        "cross entropy of the codes under order-0 tables"
        if result.kind == "design"
        else "of real packets; use.… are the settings, such as use.kbps, what rate control was asked for"
    )
    what = f"the recipe {result.recipe}" if result.kind == "design" else f"the model {result.recipe}"
    arms = ", ".join(f"{count} from the {arm} arm" for arm, count in result.front_by_arm.items())
    rungs = f" Training up to the end of each rung: {', '.join(result.budgets)}." if result.budgets else ""
    return [
        f"A search that started from {what}, on the validation split of {result.data}. {_counts(result)}: {arms} (one"
        f" that both drew counts for both).{rungs}",
        f"{len(result.rows)} candidates were compared here, {result.candidates_on_validation} were ever on this split."
        f" Selected: {meant.label} on the half of the groups that chose. The column before it is that on the other"
        f" half, with 95 % t intervals over groups; to default: the difference there, paired by clip, each interval by"
        f" itself, while the verdict is corrected for the number of candidates. Failed: decodes that count with the"
        f" worst value.{_gap(result)}" + "".join(f" {line}." for line in describe_editions([result.metric])),
        f"real kbps: {bits}. Speeds: times real time {threads}; in brackets, how many times as fast as the default,"
        f" both by turns; what it says of the default itself is noise. Steps"
        f" of less than {SPEED_STEP - 1:.0%} make no candidate better.",
        verdict(result),
    ]


def markdown(result: SearchResult, command: str) -> str:
    """``command``: makes the search again, or goes on with it."""
    lines = [f"# {markdown_text(result.title)}", ""]
    for paragraph in explanation(result):
        lines += [markdown_text(paragraph), ""]
    lines += ["Made by", "", f"    {escape_invisible(command)}", "", "## Front", "", front_table(result).markdown()]
    if result.failed:
        lines += [
            "",
            "## Failed",
            "",
            *(f"- {markdown_text(f'{name}: {reason}')}" for name, reason in result.failed.items()),
        ]
    return "\n".join(lines) + "\n"


def _gap(result: SearchResult) -> str:
    if result.gap is None or result.gap_of_all is None:
        return ""
    worse = "below" if metric(result.metric).sign > 0 else "above"
    front_, all_, rest = (
        f"{format_value(result.metric, value)}"
        for value in (result.gap, result.gap_of_all, result.gap - result.gap_of_all)
    )
    return (
        f" From the half that chose to the half that reports the front's mean changes by {front_}, that of all"
        f" candidates on its rung by {all_}. What is left, {rest}, is what choosing flattered, if it is {worse} 0."
    )


def as_csv(result: SearchResult) -> str:
    """All candidates, a row each."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    head = ["key", "names", "front", "default", "rung", "seeds", "real_kbps", f"{result.metric}_selected"]
    head += [f"{result.metric}_reported", "low", "high", "failed", "encode", "decode", "encode_ratio", "decode_ratio"]
    table.writerow([*head, "parameters", "latency_ms", "memory_mb", *headings(result), "reason"])
    for row in result.rows:
        told: Mapping[str, Any] = {} if row.reported is None else asdict(row.reported)
        who = [row.key, ", ".join(row.names), row.front, row.default, row.rung, " ".join(map(str, row.seeds))]
        quality = [row.kbps, row.selected, *(told.get(name) for name in ("mean", "low", "high")), row.failed]
        speed = [row.encode, row.decode, row.encode_ratio.median, row.decode_ratio.median]
        size = [row.parameters, row.latency_ms, row.memory_mb]
        settings = [shown(row.settings[name]) for name in result.space]
        table.writerow([csv_cell(cell) for cell in (*who, *quality, *speed, *size, *settings, row.reason)])
    return text.getvalue()
