"""Names that hold markup, formulas or control characters are shown letter by letter in what an evaluation writes."""

import csv
import html
import re
from dataclasses import replace

import markdown
import pytest

from codec.runtime.text import escape_invisible, format_duration, markdown_text
from eval.evaluation.rate_distortion import SystemClips, rate_points
from eval.evaluation.rows import build_rows
from eval.evaluation.tables import evaluation_markdown, write_evaluation_tables
from eval.pages.rate_distortion_plot import rate_figures
from eval.pages.text_table import Table, csv_cell
from eval.systems.system import System
from tests.helpers.example_report import write_example_report

HOSTILE = [
    "=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "a|b", "*bold*", "_under_ snake_case __x__", "`code`",
    "[text](http://x)", "![i](j)", "[a][b]", "<script>alert(1)</script>", "&lt; &amp; &#60;", "back\\slash\\*",
    "# heading", "- item", "> quote", "x\ny", "\x1b[31mred\x1b[0m", "\u202egnp.exe",
    "half \udce9", "$\\foo$ and $x^$",
]  # fmt: skip


def rendered(source: str) -> str:
    """The text that a reader sees, by another implementation of Markdown."""
    return text_of(markdown.markdown(source, extensions=["tables"]))


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"<[^>]+>", "", page)).strip()


@pytest.mark.parametrize("name", HOSTILE)
def test_markdown_shows_a_name_letter_by_letter(name):
    seen = escape_invisible(name)
    assert rendered(f"before {markdown_text(name)} after") == f"before {seen} after"
    table = markdown.markdown(Table("", "", ["a", "b"], [[name, "1"]]).markdown(), extensions=["tables"])
    assert [text_of(cell) for cell in re.findall("<td.*?</td>", table)] == [seen, "1"]


def test_names_without_markup_are_left_as_they_are():
    for name in ("speech_16k_v2 at 5.9", "3.21 [3.00, 3.45]", "-1.25", "Opus 24", "größer", "+0.20 [0.10, 0.30] ▲"):
        assert markdown_text(name) == escape_invisible(name) == name


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_visible_has_no_characters_that_a_terminal_obeys(name):
    shown = escape_invisible(name)
    assert shown.isprintable() and escape_invisible(shown) == shown
    assert (shown == name) == name.isprintable()


def test_cells_that_a_spreadsheet_would_compute_are_text_and_numbers_stay_numbers():
    assert [csv_cell(value) for value in ("=1+1", "-x", "a=b", -1.5, 3, None, "")] == [
        "'=1+1", "'-x", "a=b", -1.5, 3, None, "",
    ]  # fmt: skip


def test_the_files_of_an_evaluation_show_hostile_names(tmp_path):
    result = write_example_report(tmp_path)
    clips = [replace(clip, path=name, group=name, domain=name) for clip, name in zip(result.clips, HOSTILE)]
    systems = [SystemClips(System(HOSTILE[0], HOSTILE[4]), clips)]
    named = replace(
        result, system=HOSTILE[18], run=HOSTILE[17], data=HOSTILE[11], command="codec \x1b[2J", clips=clips,
        rows=build_rows(clips), rates=rate_points(systems), absent_systems={HOSTILE[18]: HOSTILE[5]},
    )  # fmt: skip
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", named.text()) and "\\x1b[31mred" in named.text()
    page = evaluation_markdown(named)
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f]", page) and "<script>" not in page
    write_evaluation_tables(named, systems, tmp_path)
    for name in ("clips.csv", "rates.csv"):
        with (tmp_path / name).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        assert rows and {row["system"] for row in rows} == {f"'{HOSTILE[0]}"}
        assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "@", "+")]
    with (tmp_path / "clips.csv").open(newline="", encoding="utf-8") as file:
        assert [float(row["seconds"]) for row in csv.DictReader(file)] == [clip.seconds for clip in clips]
    points = [point for point in named.rates if point.domain == "all"]
    points += [replace(point, point="another") for point in points]  # two make a curve
    dollars = [replace(point, domain=HOSTILE[-1]) for point in points]
    assert "$x^$" in str(rate_figures(dollars)[0].svg)


def test_durations_have_two_units():
    assert [format_duration(s) for s in (4.4, 59.4, 75, 100, 3599, 3600, 11_100)] == [
        "4 s", "59 s", "75 s", "2 min", "1 h 0 min", "1 h 0 min", "3 h 5 min",
    ]  # fmt: skip
