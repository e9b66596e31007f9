"""The picture of a search: quality against each thing that it costs, both arms in one plot."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from eval.metrics.registry import Metric, metric
from eval.pages.plots import literal
from eval.search.results import Row, SearchResult

Value = Callable[[Row], float]
PANELS: tuple[tuple[str, Value, bool], ...] = (
    ("real kbps", lambda row: row.kbps, True),
    ("encode speed, times the default's", lambda row: row.encode_ratio.median, False),
    ("decode speed, times the default's", lambda row: row.decode_ratio.median, False),
)
"""Label, value, and whether less is better."""
ARMS = (("genetic", "C0", "o"), ("random", "C1", "^"))


def draw(result: SearchResult, path: Path) -> None:
    """Quality on the half that reports, with the intervals of the front. Filled: on the rung of the front; pale: not
    trained as long. A line joins what no other of its arm beats in that panel."""
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    meant = metric(result.metric)
    shown = [row for row in result.rows if row.reported is not None]
    for number, (axes, (label, value, less)) in enumerate(zip(figure.subplots(1, 3, sharey=True), PANELS)):
        for arm, colour, marker in ARMS:
            _draw_arm(axes, result, [row for row in shown if _is_of(row, arm)], value, less, colour, marker, arm)
        default = [row for row in shown if row.default]
        axes.plot(
            [value(row) for row in default], [_quality(row) for row in default],
            "*", ms=15, color="k", mfc="gold", label="hand-written default", zorder=5,
        )  # fmt: skip
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        if number == 0:
            axes.set_ylabel(meant.axis_label)
            if shown:
                axes.legend(fontsize=8)
    figure.suptitle(f"{literal(result.title)}: both arms, {result.planned} candidates each")
    part = path.with_suffix(".part")
    figure.savefig(part, dpi=120, format="png")
    os.replace(part, path)


def _draw_arm(
    axes: Axes, result: SearchResult, rows: Sequence[Row], value: Value, less: bool, colour: str, marker: str, arm: str
) -> None:
    level = [row for row in rows if row.rung >= result.front_rung]
    below = [row for row in rows if row.rung < result.front_rung]
    axes.plot([value(row) for row in below], [_quality(row) for row in below], marker, color=colour, alpha=0.25, ms=4)
    axes.plot([value(row) for row in level], [_quality(row) for row in level], marker, color=colour, ms=6, label=arm)
    for row in level:
        if row.front and row.reported and row.reported.low is not None and row.reported.high is not None:
            axes.vlines(value(row), row.reported.low, row.reported.high, color=colour, alpha=0.4, lw=1)
    best = _unbeaten(level, value, less, metric(result.metric))
    axes.plot([value(row) for row in best], [_quality(row) for row in best], "-", color=colour, lw=1, alpha=0.6)


def _unbeaten(rows: Sequence[Row], value: Value, less: bool, quality: Metric) -> list[Row]:
    """From the cheapest on, each that is better than all cheaper ones."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: value(row) if less else -value(row)):
        if not best or quality.is_gain(_quality(row) - _quality(best[-1])):
            best.append(row)
    return best


def _quality(row: Row) -> float:
    assert row.reported is not None
    return row.reported.mean


def _is_of(row: Row, arm: str) -> bool:
    return any(name.startswith(arm) for name in row.names)
