"""Plots by Matplotlib as SVG elements of a page, which take the page's colours, in light and in dark.

They are drawn in placeholder colours, which become CSS variables of ``style.css``.
"""

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree import ElementTree

import matplotlib
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator

from codec.runtime.text import escape_invisible
from codec.training.metrics_log import Curve

_NAMES = ("ink", "muted", "rule", "original", "decoded", "faint", *(f"series-{number}" for number in range(1, 7)))
_VARIABLES = {f"#{number:02x}{number:02x}{number:02x}": f"var(--{name})" for number, name in enumerate(_NAMES, 1)}
INK, MUTED, RULE, ORIGINAL, DECODED, FAINT, *_SERIES = _VARIABLES
SERIES: Sequence[str] = tuple(_SERIES)
"""Colours of several systems in one plot, in this order; the first is ours."""
_NAMESPACE = re.compile(r"\{[^}]*\}")


def literal(name: str) -> str:
    """Escape a name, so that Matplotlib draws it letter by letter and no part of it as mathematics.

    Args:
        name: any text.

    Returns:
        Text for a label or title.
    """
    return escape_invisible(name).replace("$", r"\$")


def style(axes: Axes, x: str, y: str) -> None:
    """Label axes, and give lines and text the page's colours.

    Args:
        axes: axes to change.
        x: label of the x axis.
        y: label of the y axis.
    """
    axes.set_xlabel(x, color=MUTED, fontsize=10)
    axes.set_ylabel(y, color=MUTED, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(which="both", color=RULE, labelcolor=MUTED, labelsize=9)
    axes.grid(axis="y", color=RULE, lw=0.6)
    axes.set_axisbelow(True)


def legend_above(figure: Figure) -> None:
    """Put the legend in a line above the plot, where it hides nothing.

    Args:
        figure: figure to change.
    """
    figure.legend(
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        loc="outside upper left",
        ncols=4,
        handlelength=1.4,
        columnspacing=1.2,
    )


def svg(figure: Figure, name: str, about: str) -> Markup:
    """Draw a figure as an SVG element that is as wide as the element around it.

    Args:
        figure: drawn in the placeholder colours of this module.
        name: put before all identifiers, so that those of several figures on a page differ.
        about: description for readers who do not see the figure.

    Returns:
        The element. An artist with a ``gid`` has the identifier ``NAME-GID``.
    """
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ElementTree.fromstring(text.getvalue())
    for parent in list(root.iter()):
        for child in [child for child in parent if child.tag.endswith("}metadata")]:
            parent.remove(child)
    for element in root.iter():
        element.tag = _NAMESPACE.sub("", element.tag)
        attributes = {_NAMESPACE.sub("", key): _adapt(key, value, name) for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(attributes)
    for key in ("width", "height", "version"):
        root.attrib.pop(key, None)
    root.attrib |= {"role": "img", "aria-label": about}
    made = ElementTree.tostring(root, encoding="unicode", short_empty_elements=False)
    for placeholder, variable in _VARIABLES.items():
        made = made.replace(placeholder, variable)
    return Markup(made)


def _adapt(key: str, value: str, name: str) -> str:
    """Return the value of an attribute with the figure's own identifiers, and with the page's font."""
    if key == "id":
        return f"{name}-{value}"
    if key.endswith("href"):
        return value.replace("#", f"#{name}-")
    value = value.replace("url(#", f"url(#{name}-")
    return re.sub(r"font: ([^;]*?)([\d.]+px) [^;]*", r"font-size: \2; font-family: inherit", value)


def loss_curves_svg(
    curves: Mapping[tuple[str, str], Curve], term: str, label: str, since: int | None, baseline: float | None
) -> Markup:
    """Plot a term of the loss over steps, in training (fixed crops, evaluation mode) and in validation.

    Args:
        curves: split and term to curve.
        term: term of the loss.
        label: label of the y axis.
        since: first step of the verdict, which is marked; None: no mark.
        baseline: value of matched noise, drawn as a level line; None: no line.

    Returns:
        An SVG element.
    """
    figure = Figure(figsize=(5.4, 3.3), layout="constrained")
    axes = figure.subplots()
    marker = "o" if max(len(curve) for key, curve in curves.items() if key[1] == term) < 40 else ""
    raw = curves.get(("train", term))
    if raw:
        axes.plot(raw.steps, raw.values, color=FAINT, lw=0.8, label="training batches")
    for split, name, colour in (("train_fixed", "training", ORIGINAL), ("val", "validation", DECODED)):
        if curve := curves.get((split, term)):
            axes.plot(curve.steps, curve.values, color=colour, lw=1.8, marker=marker, ms=3.5, label=name)
    if baseline is not None:
        axes.axhline(baseline, color=MUTED, lw=1, ls=(0, (1, 2.5)), label="shaped noise")
    if since is not None:
        _mark_step(axes, since)
    low, high = axes.get_ylim()
    if low > 0 and high / low > 3:  # otherwise an untrained model's first value presses the end onto the axis
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_locator(NullLocator())
    style(axes, "step", label)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    legend_above(figure)
    return svg(figure, f"curve-{term}", f"{label} in training and validation over steps")


def _mark_step(axes: Axes, step: int) -> None:
    axes.axvline(step, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    axes.annotate(
        f"since step {step:,}", (step, 0), (4, 4), xycoords=("data", "axes fraction"), textcoords="offset points",
        va="bottom", color=MUTED, fontsize=9,
    )  # fmt: skip


@dataclass(frozen=True)
class Line:
    """Points of a line."""

    x: Sequence[float]
    y: Sequence[float]


def overlaid_curves_svg(validation: Mapping[str, Line], training: Mapping[str, Line], label: str, x: str) -> Markup:
    """Plot the same term of several runs.

    Args:
        validation: name of each run to its curve on validation crops.
        training: the same on fixed training crops, drawn thin and dashed; runs may be missing.
        label: label of the y axis.
        x: label of the x axis, a word.

    Returns:
        An SVG element.
    """
    figure = Figure(figsize=(5.4, 3.3), layout="constrained")
    axes = figure.subplots()
    for number, (name, curve) in enumerate(validation.items()):
        colour, marker = SERIES[number % len(SERIES)], "o" if len(curve.x) < 40 else ""
        axes.plot(curve.x, curve.y, color=colour, lw=1.8, marker=marker, ms=3.5, label=literal(name))
        if other := training.get(name):
            axes.plot(other.x, other.y, color=colour, lw=0.9, ls=(0, (4, 3)))
    style(axes, x, label)
    axes.xaxis.set_major_formatter("{x:,.0f}" if x == "step" else "{x:g}")
    legend_above(figure)
    return svg(figure, f"runs-{x}-{re.sub('[^a-z0-9]+', '-', label.lower())}", f"{label} of several runs over {x}s")
