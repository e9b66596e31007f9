"""The page of a search: one HTML file that loads nothing; a point shows its recipe."""

from pathlib import Path
from typing import Any

from eval.evaluation.formatting import format_value
from eval.metrics.registry import metric
from eval.pages.page import as_json, write_page
from eval.search.results import Row, SearchResult
from eval.search.tables import explanation, front_table, headings, shown


def write_search_page(result: SearchResult, path: Path, command: str) -> None:
    """``command``: makes the search again, or goes on with it."""
    meant = metric(result.metric)
    axes = {
        "kbps": "Real bit rate, kbit/s",
        "encode": "Encode speed, times real time",
        "decode": "Decode speed, times real time",
        "parameters": "Parameters",
        "latency_ms": "Latency, ms",
    }
    data = {
        "axes": axes,
        "quality": meant.axis_label,
        "points": [_point(row, result) for row in result.rows if row.reported is not None],
    }
    write_page(
        path,
        "search.html.j2",
        title=result.title,
        kind="search",
        made=result.made,
        result=result,
        command=command,
        explanation=explanation(result),
        table=front_table(result),
        data=as_json(data),
    )


def _point(row: Row, result: SearchResult) -> dict[str, Any]:
    assert row.reported is not None
    interval = ""
    if row.reported.low is not None and row.reported.high is not None:
        low, high = (format_value(result.metric, value) for value in (row.reported.low, row.reported.high))
        interval = f" ({low} to {high})"
    lines = [
        f"{metric(result.metric).label} {format_value(result.metric, row.reported.mean)}{interval}",
        f"{row.kbps:.2f} kbit/s, {row.encode:.0f} and {row.decode:.0f} × real time",
        f"{row.parameters / 1e6:.2f} M parameters, {row.latency_ms:.0f} ms",
        *(f"{heading}: {shown(row.settings[name])}" for heading, name in zip(headings(result), result.space)),
    ]
    return {
        "name": row.label,
        "lines": lines,
        "y": row.reported.mean,
        "kbps": row.kbps,
        "encode": row.encode,
        "decode": row.decode,
        "parameters": row.parameters,
        "latency_ms": row.latency_ms,
        "arm": row.names[0].split()[0],
        "front": row.front,
        "default": row.default,
        "pale": row.rung < result.front_rung,
    }
