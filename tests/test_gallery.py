"""The pictures of the documents: the curves are those of the tables, the pages those of the templates."""

import re
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
GALLERY = runpy.run_path(str(ROOT / "docs/gallery.py"))


def test_curves_are_those_of_the_tables():
    points = GALLERY["read_points"]((ROOT / "docs/results/speech_16k_v2.md").read_text(encoding="utf-8"))
    assert [len(points[name]) for name in ("speech_16k_v2", "Opus", "EnCodec")] == [3, 3, 3]
    rows = re.findall(r"^\| (speech_16k_v2|Opus) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|", README, re.MULTILINE)
    assert len(rows) == 5 and all(tuple(map(float, row[1:])) in points[row[0]] for row in rows)


def test_the_picture_shows_the_points():
    points = GALLERY["read_points"]((ROOT / "docs/results/speech_16k_v2.md").read_text(encoding="utf-8"))
    picture = (ROOT / "docs/curves.svg").read_text(encoding="utf-8")
    lines = re.findall(r'<path d="(M [^"]*)" clip-path[^>]*style="fill: none;[^"]*stroke: (#\w+)', picture)
    for metric in (1, 2):
        drawn, given = [], []
        for name, colour in GALLERY["SYSTEMS"].items():
            path = [path for path, stroke in lines if stroke == colour][metric - 1]
            drawn += [list(map(float, pair)) for pair in re.findall(r"[ML] ([\d.]+) ([\d.]+)", path)]
            given += [(np.log(point[0]), point[metric]) for point in points[name]]
        for axis in (0, 1):  # the scales are linear, so that drawn and given values lie on a line
            assert abs(np.corrcoef(np.array(drawn)[:, axis], np.array(given)[:, axis])[0, 1]) > 1 - 1e-9


@pytest.mark.parametrize("page", GALLERY["PAGES"])
def test_pictures_were_taken_of_the_pages_as_they_are(page):
    picture, template, _ = GALLERY["PAGES"][page]
    with Image.open(ROOT / "docs" / picture) as image:
        digest = image.text.get(GALLERY["OUTLINE"])
    again = f"the page has changed; take its picture again: python docs/gallery.py --{page} PAGE"
    assert digest == GALLERY["outline_digest"](template), again


@pytest.mark.parametrize(
    ("name", "old", "new", "changes"),
    [
        ("style.css", "font-size", "font-weight", True),
        ("report.html.j2", "<h2", "<h3", True),
        ("report.html.j2", "</h2>", " and more</h2>", True),
        ("parts.html.j2", '<div class="curves">', "<div>", True),
        ("parts.html.j2", "<th", "<td", False),  # in a macro of other pages
        ("health.html.j2", "<h2", "<h3", False),
        ("report.html.j2", "</p>", "Another sentence.</p>", False),
        ("report.js", "const", "let", False),
    ],
)
def test_the_digest_of_a_page_is_that_of_its_look(tmp_path, name, old, new, changes):
    folder = tmp_path / "templates"
    shutil.copytree(GALLERY["TEMPLATES"], folder)
    source = (folder / name).read_text(encoding="utf-8")
    assert old in source
    (folder / name).write_text(source.replace(old, new, 1), encoding="utf-8")
    digest = GALLERY["outline_digest"]
    assert (digest("report.html.j2", folder) != digest("report.html.j2")) == changes
