"""Draw the pictures of the documents again.

``python docs/gallery.py`` draws the curves of the built-in model from the tables of docs/results/speech_16k_v2.md.
``python docs/gallery.py --evaluation RUN/evaluation/report.html --health RUN/health/report.html --browser
http://localhost:8000`` takes pictures of pages that ``codec evaluate``, ``codec health`` and ``codec page`` wrote, too,
which needs Playwright and Chromium. Each picture holds the digest of the outline of its page; a test compares it with
the templates, so that a picture is taken again when its page looks different.
"""

import argparse
import hashlib
import re
import shutil
from collections.abc import Sequence
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
from jinja2 import Environment
from jinja2.meta import find_referenced_templates
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

DOCS = Path(__file__).resolve().parent
TEMPLATES = DOCS.parent / "eval" / "pages" / "templates"
RESULTS = DOCS / "results" / "speech_16k_v2.md"
CURVES = DOCS / "curves.svg"
SYSTEMS = {"speech_16k_v2": "#0a7d6c", "Opus": "#c2571a", "EnCodec": "#6a5acd"}
"""Colours, which can be told apart on white and in grey."""
LABELS = {"EnCodec": "EnCodec 24 kHz (published, other speech)"}
PAGES = {
    "evaluation": ("report.png", "report.html.j2", 2000),
    "health": ("health.png", "health.html.j2", 1600),
    "browser": ("browser.png", "nac_page.html.j2", 1000),
}
"""Picture, template and height in pixels of each page."""
PLAYED = "Number(document.querySelector('.position').value) > 2"
"""What is true once the first file of a page of ``codec page`` has played for two seconds."""
OUTLINE = "outline"
"""Name of the text in a picture that has the digest of its page."""
LABELLED = {"a", "b", "button", "dt", "h1", "h2", "h3", "label", "legend", "option", "summary", "th"}
"""Elements whose text is part of the outline."""

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


class _Outline(HTMLParser):
    """The elements of a template with their attributes, its statements, and the words of headings and labels."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append(f"<{tag} {attrs}>")
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in LABELLED:
            self.found += data.split()
        else:
            self.found += re.findall(r"{%.*?%}", data, re.DOTALL)


def outline_digest(template: str, folder: Path = TEMPLATES) -> str:
    """Compute a digest of what decides the look of a page: elements, their order, headings, labels and styles.

    Sentences, values, comments, programs and macros of other pages do not count, so that they need no new picture.

    Args:
        template: file name of the page's template.
        folder: folder of all templates.

    Returns:
        Hexadecimal digits.
    """
    sources, imported, left = dict[str, str](), dict[str, str](), [template]
    while left:
        name = left.pop()
        comment = r"/\*.*?\*/" if name.endswith(".css") else "{#.*?#}"
        sources[name] = re.sub(comment, "", (folder / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        imported |= {alias: file for file, alias in re.findall(r'{% import "(.*?)" as (\w+) %}', sources[name])}
        further = {other for other in find_referenced_templates(Environment().parse(sources[name])) if other}
        left += sorted(
            other for other in further - sources.keys() - set(imported.values()) if not other.endswith(".js")
        )
    page = "".join(sources.values())
    for alias, name in sorted(imported.items()):
        source = (folder / name).read_text(encoding="utf-8")
        sources[name] = _used_macros(source, set(re.findall(rf"\b{alias}\.(\w+)", page)))
    digest = hashlib.sha256()
    for name, source in sorted(sources.items()):
        parts = source.split() if name.endswith(".css") else _Outline(source).found
        digest.update("\n".join([name, *parts]).encode())
    return digest.hexdigest()[:16]


def _used_macros(source: str, used: set[str]) -> str:
    """Return the macros of a template that are used, and those that they use."""
    source = re.sub("{#.*?#}", "", source, flags=re.DOTALL)
    macros = {found[1]: found[0] for found in re.finditer(r"{% macro (\w+)\(.*?{%-? endmacro %}", source, re.DOTALL)}
    left, kept = sorted(used & macros.keys()), set[str]()
    while left:
        kept.add(name := left.pop())
        left += [other for other in macros if other not in kept and re.search(rf"\b{other}\(", macros[name])]
    return "\n".join(macros[name] for name in sorted(kept))


def take_picture(address: str, template: str, picture: Path, height: int) -> None:
    """Take a picture of the top of a page, 1,200 pixels wide.

    Args:
        address: URL of the page.
        template: file name of its template, whose digest the picture gets.
        picture: PNG file to write.
        height: height in pixels.
    """
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--hide-scrollbars"])
        try:
            window = browser.new_page(viewport={"width": 1200, "height": height})
            window.goto(address)
            window.wait_for_load_state("networkidle")
            if template == "nac_page.html.j2":
                window.locator(".play").first.click()
                window.wait_for_function(PLAYED, timeout=120_000)
            window.screenshot(path=picture)
        finally:
            browser.close()
    text = PngInfo()
    text.add_text(OUTLINE, outline_digest(template))
    with Image.open(picture) as image:
        image.quantize(64).save(picture, pnginfo=text, optimize=True)


def main(words: Sequence[str] | None = None) -> None:
    """Draw what is asked for.

    Args:
        words: arguments (default: those of the command).
    """
    parser = argparse.ArgumentParser(description="Draw the pictures of the documents again.")
    for name, (picture, _, _) in PAGES.items():
        parser.add_argument(f"--{name}", metavar="PAGE", help=f"file or http:// address, for docs/{picture}")
    arguments = parser.parse_args(words)
    draw_curves(read_points(RESULTS.read_text(encoding="utf-8")), CURVES)
    for name, (picture, template, height) in PAGES.items():
        if page := getattr(arguments, name):
            address = page if page.startswith("http") else Path(page).resolve().as_uri()
            take_picture(address, template, DOCS / picture, height)


if __name__ == "__main__":
    main()
