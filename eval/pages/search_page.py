"""The page of a search: one HTML file that loads nothing. Pointing at a candidate in the chart shows its settings."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval.evaluation.formatting import format_value
from eval.metrics.registry import metric
from eval.pages.page import as_json, write_page
from eval.pages.text_table import Table
from eval.search.chart import PANELS, draw_panels
from eval.search.results import CandidateRow, SearchResult
from eval.search.space import format_setting


@dataclass(frozen=True)
class SearchText:
    """The text of the page."""

    explanation: list[str]
    """Paragraphs."""
    front: Table


def write_search_page(result: SearchResult, path: Path, command: str, text: SearchText) -> None:
    """Write the page of a search.

    Args:
        result: results so far.
        path: file to write.
        command: command that makes the search again, or goes on with it.
        text: explanation and table.

    Raises:
        UserError: the file cannot be written.
    """
    charts = draw_panels(result)
    write_page(
        path,
        "search.html.j2",
        title=result.title,
        kind="search",
        made=result.made,
        result=result,
        command=command,
        explanation=text.explanation,
        table=text.front,
        charts=[(panel.name, panel.label, charts[panel.name]) for panel in PANELS],
        data=as_json({"points": [_describe_point(row, result) for row in result.rows if row.reported is not None]}),
    )


def _describe_point(row: CandidateRow, result: SearchResult) -> dict[str, Any]:
    assert row.reported is not None
    interval = ""
    if row.reported.low is not None and row.reported.high is not None:
        low, high = (format_value(result.metric, value) for value in (row.reported.low, row.reported.high))
        interval = f" ({low} to {high})"
    settings = zip(result.setting_headings, result.space)
    lines = [
        f"{metric(result.metric).label} {format_value(result.metric, row.reported.mean)}{interval}",
        f"{row.kbps:.2f} kbit/s, {row.encode:.0f} and {row.decode:.0f} × real time",
        f"{row.parameters / 1e6:.2f} M parameters, {row.latency_ms:.0f} ms",
        *(f"{heading}: {format_setting(row.settings[name])}" for heading, name in settings),
    ]
    return {"key": row.key, "name": row.label, "lines": lines}
