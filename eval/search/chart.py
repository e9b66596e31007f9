"""The chart of a search: quality against each cost, with the candidates of both samplers in one plot.

One function draws a panel, both for ``front.png`` and for the page, where it becomes SVG in the page's colours and each
candidate has an identifier, so that a script can show its settings.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codec.runtime.atomic_files import replacing
from eval.metrics.registry import metric
from eval.pages.plots import DECODED, INK, ORIGINAL, SERIES, literal, style, svg
from eval.search.results import CandidateRow, SearchResult


@dataclass(frozen=True)
class Panel:
    """Quality against one cost."""

    name: str
    label: str
    value: Callable[[CandidateRow], float]
    less_is_better: bool


PANELS = (
    Panel("kbps", "Real bit rate, kbit/s", lambda row: row.kbps, True),
    Panel("encode", "Encode speed relative to the default", lambda row: row.encode_ratio.median, False),
    Panel("decode", "Decode speed relative to the default", lambda row: row.decode_ratio.median, False),
    Panel("parameters", "Parameters, millions", lambda row: row.parameters / 1e6, True),
    Panel("latency_ms", "Latency, ms", lambda row: row.latency_ms, True),
)
_PICTURE_PANELS = PANELS[:3]


@dataclass(frozen=True)
class _Palette:
    samplers: dict[str, str]
    default: str
    edge: str


_MARKERS = {"genetic": "o", "random": "^"}
_PICTURE = _Palette({"genetic": "C0", "random": "C1"}, "gold", "k")
_PAGE = _Palette({"genetic": ORIGINAL, "random": DECODED}, SERIES[2], INK)


def write_picture(result: SearchResult, path: Path) -> None:
    """Write a PNG file with the panels of bit rate and speeds.

    Args:
        result: results of the search.
        path: file to write.
    """
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(_PICTURE_PANELS), sharey=True), _PICTURE_PANELS):
        _draw_panel(axes, result, panel, _PICTURE)
        axes.set_xlabel(panel.label)
        axes.grid(alpha=0.3)
        if panel is PANELS[0]:
            axes.set_ylabel(metric(result.metric).axis_label)
            if axes.get_legend_handles_labels()[1]:
                axes.legend(fontsize=8)
    figure.suptitle(f"{literal(result.title)}: {result.planned} candidates of each sampler")
    with replacing(path) as part:
        figure.savefig(part, dpi=120, format="png")


def draw_panels(result: SearchResult) -> dict[str, Markup]:
    """Draw every panel for the page.

    Args:
        result: results of the search.

    Returns:
        Name of the panel to SVG. Candidates have the identifiers ``NAME-SAMPLER-KEY`` and ``NAME-default-KEY``.
    """
    found = {}
    for panel in PANELS:
        figure = Figure(figsize=(7.5, 4.0))
        axes = figure.subplots(gridspec_kw={"left": 0.09, "right": 0.98, "bottom": 0.13, "top": 0.97})
        style(axes, panel.label, metric(result.metric).axis_label)
        _draw_panel(axes, result, panel, _PAGE)
        found[panel.name] = svg(figure, panel.name, f"{metric(result.metric).label} over {panel.label.lower()}")
    return found


def _draw_panel(axes: Axes, result: SearchResult, panel: Panel, palette: _Palette) -> None:
    """Draw the quality on the half of the report. Pale: candidates that were trained less than the front. Bars: the
    intervals of the front. Lines: the best candidates of each sampler as far as this panel shows. Outlined: front.
    """
    shown = [row for row in result.rows if row.reported is not None]
    for sampler, colour in palette.samplers.items():
        rows = [row for row in shown if row.is_from(sampler)]
        level = [row for row in rows if row.rung >= result.front_rung]
        for row in level:
            if row.front and row.reported and row.reported.low is not None and row.reported.high is not None:
                axes.vlines(panel.value(row), row.reported.low, row.reported.high, color=colour, alpha=0.4, lw=1)
        best = _find_unbeaten(level, panel, metric(result.metric).sign)
        axes.plot(
            [panel.value(row) for row in best], [_quality(row) for row in best], "-", color=colour, lw=1, alpha=0.6
        )
        for row in rows:
            pale = row.rung < result.front_rung
            marker: dict[str, Any] = {
                "marker": _MARKERS[sampler],
                "ms": 4 if pale else 6,
                "alpha": 0.25 if pale else 1.0,
                "ls": "",
            }
            edge: dict[str, Any] = {"mec": palette.edge if row.front else colour, "mew": 1 if row.front else 0}
            label = sampler if level and row is level[0] else None
            (point,) = axes.plot([panel.value(row)], [_quality(row)], color=colour, label=label, **marker, **edge)
            point.set_gid(f"{sampler}-{row.key}")
    for row in shown:
        if row.default:
            _draw_default(axes, row, panel, palette)


def _draw_default(axes: Axes, row: CandidateRow, panel: Panel, palette: _Palette) -> None:
    (point,) = axes.plot(
        [panel.value(row)], [_quality(row)], "*",
        ms=15, color=palette.edge, mfc=palette.default, label="hand-written default", zorder=5,
    )  # fmt: skip
    point.set_gid(f"default-{row.key}")


def _find_unbeaten(rows: Sequence[CandidateRow], panel: Panel, sign: int) -> list[CandidateRow]:
    """Return the candidates that are better than all cheaper ones, cheapest first."""
    best: list[CandidateRow] = []
    for row in sorted(rows, key=lambda row: panel.value(row) if panel.less_is_better else -panel.value(row)):
        if not best or sign * _quality(row) > sign * _quality(best[-1]):
            best.append(row)
    return best


def _quality(row: CandidateRow) -> float:
    assert row.reported is not None
    return row.reported.mean
