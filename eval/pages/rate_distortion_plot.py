"""Rate–distortion curves as figures of a page: all systems in one plot; clips in distribution, clips out of it and each
domain have plots of their own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from eval.evaluation.rate_distortion import ALL
from eval.evaluation.results import Difference, RatePoint
from eval.metrics.registry import METRICS, metric
from eval.pages.plots import MUTED, SERIES, literal, style, svg

MARKERS = "osD^vP"
TICKS = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)


@dataclass(frozen=True)
class RateFigure:
    """The curves of one metric on some clips."""

    metric: str
    title: str
    """Names the clips."""
    svg: Markup


def series_colours(rates: Sequence[RatePoint]) -> dict[str, str]:
    """Assign a colour to each system.

    Args:
        rates: rates of all systems.

    Returns:
        Name of the system to a CSS variable of the page, in order of appearance.
    """
    names = dict.fromkeys(point.system for point in rates)
    return {name: f"var(--series-{i % len(SERIES) + 1})" for i, name in enumerate(names)}


@dataclass(frozen=True)
class ClipSubset:
    """Clips that have a plot of their own."""

    distribution: str
    domain: str

    def has(self, entry: RatePoint | Difference) -> bool:
        """Return whether a value is about these clips.

        Args:
            entry: a point or difference.

        Returns:
            True if distribution and domain are the same.
        """
        return (entry.distribution, entry.domain) == (self.distribution, self.domain)

    @property
    def title(self) -> str:
        """Name of the clips for a heading."""
        where = "in distribution" if self.distribution == "in" else "out of distribution"
        return f"{'all domains' if self.domain == ALL else self.domain}, {where}"


def shown_subsets(entries: Sequence[RatePoint] | Sequence[Difference]) -> list[ClipSubset]:
    """Return the sets of clips that have a plot: each distribution as a whole and by domain, if it has several.

    Args:
        entries: points or differences.

    Returns:
        The sets, in order of appearance.
    """
    cells = dict.fromkeys(ClipSubset(entry.distribution, entry.domain) for entry in entries)
    sizes = Counter(cell.distribution for cell in cells)
    return [cell for cell in cells if cell.domain != ALL or sizes[cell.distribution] > 2]


def rate_figures(rates: Sequence[RatePoint]) -> list[RateFigure]:
    """Draw the curves of each metric on each set of clips, where there are two points or more.

    Args:
        rates: points of all systems.

    Returns:
        The figures, metric by metric.
    """
    systems = list(series_colours(rates))
    found: list[RateFigure] = []
    for entry in METRICS:
        for cell in shown_subsets(rates):
            points = [point for point in rates if point.metric == entry.name and cell.has(point)]
            if len({point.identity for point in points}) > 1:
                figure = _figure(points, systems, f"rate-{len(found)}", cell.title)
                found.append(RateFigure(entry.name, cell.title, figure))
    return found


def _figure(points: Sequence[RatePoint], systems: Sequence[str], name: str, title: str) -> Markup:
    """Draw means with their intervals over the real bit rate; a system of unknown bit rate is a level line."""
    figure = Figure(figsize=(5.4, 3.3))
    axes = figure.subplots(gridspec_kw={"left": 0.12, "right": 0.98, "bottom": 0.15, "top": 0.92})
    for number, system in enumerate(systems):
        colour, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
        its = sorted((point for point in points if point.system == system and point.kbps), key=_kbps)
        x, y = [_kbps(point) for point in its], [point.mean for point in its]
        axes.plot(x, y, marker, ls="-", color=colour, lw=2.0 if number == 0 else 1.4, ms=5)
        for point in its:
            if point.low is not None and point.high is not None:
                axes.vlines(_kbps(point), point.low, point.high, color=colour, lw=1.2, alpha=0.55)
        for point in points:
            if point.system == system and not point.kbps:
                axes.axhline(point.mean, color=colour, lw=1.2, ls=(0, (2, 3)))
    meant = metric(points[0].metric)
    style(axes, "real bit rate, kbit/s", meant.axis_label)
    known = [_kbps(point) for point in points if point.kbps]
    if known:
        axes.set_xscale("log", base=2)
        low, high = min(known) / 1.15, max(known) * 1.15
        axes.set_xlim(low, high)
        axes.xaxis.set_major_locator(FixedLocator([tick for tick in TICKS if low < tick < high]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title(f"{literal(title)} · {_count_clips(points)}", loc="left", fontsize=10, color=MUTED)
    return svg(figure, name, f"{meant.label} over bit rate, {title}: {', '.join(systems)}")


def _kbps(point: RatePoint) -> float:
    assert point.kbps is not None
    return point.kbps


def _count_clips(points: Sequence[RatePoint]) -> str:
    """Return the number of clips of each system, as a range if it is not the same for all."""
    most: dict[str, int] = {}
    for point in points:
        most[point.system] = max(point.clips, most.get(point.system, 0))
    counts = sorted(set(most.values()))
    if len(counts) == 1:
        return f"{counts[0]} clips"
    return f"{counts[0]} to {counts[-1]} clips, depending on the system"
