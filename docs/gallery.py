"""Draw the pictures of the documents again.

``python docs/gallery.py`` draws the curves of the built-in model from the tables of docs/results/speech_16k_v2.md.
``python docs/gallery.py --evaluation RUN/evaluation/report.html --health RUN/health/report.html`` takes pictures of
pages that ``codec evaluate`` and ``codec health`` wrote from a real run, too, which needs Playwright and Chromium.
"""

import argparse
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

DOCS = Path(__file__).resolve().parent
RESULTS = DOCS / "results" / "speech_16k_v2.md"
CURVES = DOCS / "curves.svg"
SYSTEMS = {"speech_16k_v2": "#0a7d6c", "Opus": "#c2571a", "EnCodec": "#6a5acd"}
"""Colours, which can be told apart on white and in grey."""
LABELS = {"EnCodec": "EnCodec 24 kHz (published, other speech)"}
PAGES = {"evaluation": ("report.png", 2000), "health": ("health.png", 1600)}
"""Picture and height in pixels of each page."""

Point = tuple[float, float, float]
"""Bit rate in kbit/s, PESQ-WB and STOI."""


def read_points(markdown: str) -> dict[str, list[Point]]:
    """Read the points of all systems from the tables of a page of results.

    Args:
        markdown: text of the page; rows begin with the name of the system, and bit rate, PESQ-WB and STOI follow.

    Returns:
        Points of each system of :data:`SYSTEMS`, by bit rate.
    """
    number = r"\s*(\d+\.\d+)\s*\|"
    found: dict[str, list[Point]] = {name: [] for name in SYSTEMS}
    for name, *values in re.findall(rf"^\| ([\w]+)[^|]*\|{number}{number}{number}", markdown, re.MULTILINE):
        if name in found and float(values[2]) <= 1:
            kbps, pesq, stoi = map(float, values)
            found[name].append((kbps, pesq, stoi))
    return {name: sorted(points) for name, points in found.items()}


def draw_curves(points: dict[str, list[Point]], path: Path) -> None:
    """Draw PESQ-WB and STOI over the bit rate.

    Args:
        points: from :func:`read_points`.
        path: SVG file to write.
    """
    with matplotlib.rc_context({"svg.hashsalt": "curves", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(8.6, 3.2), layout="constrained", facecolor="white")
        for index, (axes, label) in enumerate(zip(figure.subplots(1, 2), ("PESQ-WB", "STOI")), 1):
            for name, colour in SYSTEMS.items():
                rates = [point[0] for point in points[name]]
                values = [point[index] for point in points[name]]
                style = ":" if name in LABELS else "-"
                axes.plot(rates, values, style, marker="o", ms=4, color=colour, label=LABELS.get(name, name))
            axes.set_xscale("log")
            axes.set_xticks([1.5, 3, 6, 12], ["1.5", "3", "6", "12"])
            axes.set_xticks([], minor=True)
            axes.set_xlabel("kbit/s")
            axes.set_title(label, fontsize=10)
            axes.grid(alpha=0.25)
            axes.spines[["top", "right"]].set_visible(False)
        figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3, frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None})


def take_picture(page: Path, picture: Path, height: int) -> None:
    """Take a picture of the top of a page, 1,200 pixels wide.

    Args:
        page: HTML file.
        picture: PNG file to write.
        height: height in pixels.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--hide-scrollbars"])
        try:
            window = browser.new_page(viewport={"width": 1200, "height": height})
            window.goto(page.resolve().as_uri())
            window.wait_for_load_state("networkidle")
            window.screenshot(path=picture)
        finally:
            browser.close()


def main(words: Sequence[str] | None = None) -> None:
    """Draw what is asked for.

    Args:
        words: arguments (default: those of the command).
    """
    parser = argparse.ArgumentParser(description="Draw the pictures of the documents again.")
    for name, (picture, _) in PAGES.items():
        parser.add_argument(f"--{name}", type=Path, help=f"page of a real run, for docs/{picture}")
    arguments = parser.parse_args(words)
    draw_curves(read_points(RESULTS.read_text(encoding="utf-8")), CURVES)
    for name, (picture, height) in PAGES.items():
        page: Path | None = getattr(arguments, name)
        if page:
            take_picture(page, DOCS / picture, height)


if __name__ == "__main__":
    main()
