"""The pictures of the documents: the curves are those of the tables."""

import re
import runpy
from pathlib import Path

import numpy as np

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
