"""Figures as SVG elements that take the page's colours, in light and in dark.

They are drawn in placeholder colours, each of which becomes a variable of ``style.css``.
"""

import io
import re
from collections.abc import Sequence

import matplotlib
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codec.runtime.text import escape_invisible

_NAMES = ("ink", "muted", "rule", "original", "decoded", "faint", *(f"series-{number}" for number in range(1, 7)))
_VARIABLES = {f"#{number:02x}{number:02x}{number:02x}": f"var(--{name})" for number, name in enumerate(_NAMES, 1)}
INK, MUTED, RULE, ORIGINAL, DECODED, FAINT, *_SERIES = _VARIABLES
SERIES: Sequence[str] = tuple(_SERIES)
"""For several things in one plot, in this order; the first is ours."""


def literal(name: str) -> str:
    """A name as matplotlib draws it letter by letter, not as mathematics between dollar signs."""
    return escape_invisible(name).replace("$", r"\$")


def style(axes: Axes, x: str, y: str) -> None:
    """Labels, and lines and text in the page's colours."""
    axes.set_xlabel(x, color=MUTED, fontsize=10)
    axes.set_ylabel(y, color=MUTED, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(RULE)
    axes.tick_params(which="both", color=RULE, labelcolor=MUTED, labelsize=9)
    axes.grid(axis="y", color=RULE, lw=0.6)
    axes.set_axisbelow(True)


def legend_above(figure: Figure) -> None:
    """The legend in a line above the plot, where it hides nothing."""
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
    """An SVG element, as wide as what it stands in; ``name`` keeps its identifiers apart from other figures', ``about``
    is read to those who do not see it."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    made = text.getvalue()[text.getvalue().index("<svg") :]
    made = re.sub(r"<metadata>.*?</metadata>", "", made, flags=re.DOTALL)
    made = re.sub(r'\s(xmlns(:xlink)?|version)="[^"]*"', "", made)
    made = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', made)
    made = re.sub(r'(xlink:)?href="#([^"]+)"', rf'href="#{name}-\2"', made)
    made = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", made)
    made = re.sub(r"font: ([^;]*?)([\d.]+px) [^;\"]*", r"font-size: \2; font-family: inherit", made)
    made = re.sub(r'^<svg width="[^"]*" height="[^"]*"|(?<=<svg) (?:width|height)="[^"]*"', "<svg", made)
    made = made.replace("<svg", f'<svg role="img" aria-label="{escape(about)}"', 1)
    for placeholder, variable in _VARIABLES.items():
        made = made.replace(placeholder, variable)
    return Markup(made)
