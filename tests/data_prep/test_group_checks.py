"""Lists that contradict themselves, and speakers who may get into two splits: refused, or named even under --quiet.

What is true of the files is known to the tests alone: speaker ``n`` speaks in the files ``n/…``, whatever a list says.
"""

import csv
import json
import os
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

import pytest

from codec.errors import UserError
from data_prep.sources import find_audio
from tests.helpers.audio import write_noise
from tests.helpers.corpora import files_by_group, touch_files
from tests.helpers.preparation import read_manifest, rows_by_name, run_prepare, splits_by_group, write_table

SPEAKERS = ("ann", "ben", "cid", "dot", "eve", "fay")
TAKES = 3
HEADER = ["path", "speaker", "domain"]


@pytest.fixture
def talks(tmp_path: Path) -> Path:
    """Return a folder with three takes of six speakers in one folder."""
    for number, _ in enumerate(SPEAKERS):
        for take in range(TAKES):
            write_noise(tmp_path / f"talks/t{number}{take}.wav", seconds=0.6, seed=10 * number + take)
    return tmp_path / "talks"


def true_rows() -> list[list[object]]:
    return [[f"t{n}{take}.wav", name, "speech"] for n, name in enumerate(SPEAKERS) for take in range(TAKES)]


def write_list(folder: Path, rows: Sequence[list[object]], header: Sequence[str] = HEADER, name: str = "w.csv") -> Path:
    return write_table(folder / name, [list(header), *rows])


def prepared(source: Path, out: Path, **options: object) -> list[str]:
    """Prepare a source, and return the warnings."""
    summary = run_prepare(source, out, ratios="1:1:1", **options)
    assert all("\n" not in line for line in summary.warnings)
    return list(summary.warnings)


def crossing(out: Path) -> set[str]:
    """Return the true speakers whose used files are in several splits."""
    splits = defaultdict(set)
    for row in read_manifest(out):
        if row.used:
            splits[SPEAKERS[int(Path(row.path).name[1])]].add(row.split)
    return {name for name, places in splits.items() if len(places) > 1}


def refusal(run: Callable[[], object]) -> str:
    with pytest.raises(UserError) as refused:
        run()
    assert "\n" not in str(refused.value)
    return str(refused.value)


@pytest.mark.parametrize("second", ["t00.wav", "./t00.wav", "sub/../t00.wav", "ABSOLUTE"])
@pytest.mark.parametrize(("row", "words"), [(["ben", "speech"], ("ann", "ben")), (["ann", "music"], ("music",))])
def test_a_file_listed_in_two_ways_is_refused(talks: Path, second: str, row: list[str], words: tuple[str, ...]) -> None:
    path = str(talks / "t00.wav") if second == "ABSOLUTE" else second
    table = write_list(talks, [*true_rows(), [path, *row]])
    for source in (talks, table):
        line = refusal(lambda source=source: run_prepare(source, talks.parent / "out"))
        assert str(table) in line and "t00.wav" in line
        assert {"1", str(len(true_rows()) + 1)} <= set(re.findall(r"entry (\d+)", line))
        assert all(word in line for word in words)
    assert not (talks.parent / "out").exists()


def test_two_lists_that_disagree_about_a_file_are_refused(talks: Path) -> None:
    first = write_list(talks, true_rows()[:9], name="a.csv")
    second = write_list(talks, [["t00.wav", "zoe", "speech"], *true_rows()[9:]], name="b.csv")
    line = refusal(lambda: files_by_group(first, second))
    assert all(word in line for word in (str(first), str(second), "ann", "zoe", "t00.wav"))
    write_list(talks, true_rows()[9:], name="b.csv")
    members = files_by_group(first, second)[1]
    assert {name: len(files) for name, files in members.items()} == dict.fromkeys(SPEAKERS, TAKES)


@pytest.mark.parametrize("seed", range(40))
def test_random_lists_are_refused_exactly_if_a_file_has_two_speakers(tmp_path: Path, seed: int) -> None:
    random = Random(seed)
    names = [f"f{number}.wav" for number in range(4)]
    touch_files(tmp_path, names)
    rows = [[random.choice(names), random.choice(["", "ann", random.choice(["ann", "ben"])])] for _ in range(8)]
    first = write_list(tmp_path, rows[:4], header=HEADER[:2], name="a.csv")
    second = write_list(tmp_path, rows[4:], header=HEADER[:2], name="b.csv")
    stated = {name: {who for path, who in rows if path == name} - {""} for name, _ in rows}
    if any(len(who) > 1 for who in stated.values()):
        refusal(lambda: files_by_group(first, second))
        return
    members = files_by_group(first, second)[1]
    for speaker in ("ann", "ben"):
        assert set(members.get(speaker, [])) == {name for name, who in stated.items() if who == {speaker}}
    assert sorted(name for files in members.values() for name in files) == sorted(stated)


def test_a_rule_that_uses_another_column_decides_what_must_agree(talks: Path) -> None:
    rows = [[path, name, "x"] for path, name, _ in true_rows()] + [["t00.wav", "ben", "y"]]
    table = write_list(talks, rows, header=["path", "speaker", "Booth"])
    assert "x" in (line := refusal(lambda: files_by_group(table, rule="column:Booth"))) and "y" in line
    assert "ann" in refusal(lambda: files_by_group(table, rule="column:Speaker"))
    assert len(files_by_group(table, rule="file")[1]) == len(true_rows())


def test_repeated_rows_and_cells_in_two_rows_are_complete_together(talks: Path) -> None:
    rows = [["t00.wav", "", "speech"], *true_rows(), *true_rows()[:5], ["t01.wav", "ann", ""], ["t02.wav", "", ""]]
    write_list(talks, rows)
    assert prepared(talks, talks.parent / "out") == []
    assert {row.group for row in read_manifest(talks.parent / "out")} == set(SPEAKERS)
    assert {row.domain for row in read_manifest(talks.parent / "out")} == {"speech"}
    assert crossing(talks.parent / "out") == set()


@pytest.mark.parametrize("folder_first", [True, False])
def test_a_list_is_used_beside_the_folder_of_its_files(talks: Path, folder_first: bool) -> None:
    rows = [[f"talks/{path}", *cells] for path, *cells in true_rows()]
    table = write_list(talks.parent, rows)
    sources = (talks, table) if folder_first else (table, talks)
    content, members = files_by_group(*sources)
    assert {name: len(files) for name, files in members.items()} == dict.fromkeys(SPEAKERS, TAKES)
    assert {entry.domain for entry in content.entries} == {"speech"}


def test_rows_without_a_speaker_are_counted_and_named(talks: Path) -> None:
    rows = [[path, "" if path[2] == "2" else name, domain] for path, name, domain in true_rows()]
    table = write_list(talks, rows)
    (line,) = prepared(talks, talks.parent / "out")
    assert f"{table}: 6 of 18 files" in line and str(talks / "t02.wav") in line
    groups = {name: row.group for name, row in rows_by_name(talks.parent / "out").items()}
    assert groups["t02.wav"] == "t02.wav" and groups["t01.wav"] == groups["t00.wav"] == "ann"
    (line,) = prepared(talks, talks.parent / "by_column", group_by="column:speaker")
    assert "6 of 18 files" in line and str(talks / "t02.wav") in line


@pytest.mark.parametrize(
    ("header", "change", "label"),
    [
        (["path", "group", "speaker"], lambda n, name: [f"room {n % TAKES}", name], "speaker"),
        (["path", "group", "speaker"], lambda n, name: ["room" if n % TAKES else "", name], "speaker"),
        (["path", "speaker", "speaker_id"], lambda n, name: [f"{name} as {n}", name], "speaker_id"),
    ],
)
def test_speakers_of_a_column_that_another_overrides_are_named(
    talks: Path, header: list[str], change: Callable[[int, str], list[str]], label: str
) -> None:
    rows = [[path, *change(n, str(name))] for n, (path, name, _) in enumerate(true_rows())]
    write_list(talks, rows, header=header)
    (line,) = prepared(talks, talks.parent / "out")
    assert f"column:{label}" in line and "6 speakers" in line and "ann" in line
    assert prepared(talks, talks.parent / "advised", group_by=f"column:{label}") == []
    assert crossing(talks.parent / "advised") == set()


def test_columns_with_other_names_for_the_same_groups_are_no_reason_to_warn(talks: Path) -> None:
    rows = [[path, name, f"Ms {name}"] for path, name, _ in true_rows()]
    write_list(talks, rows, header=["path", "speaker_id", "speaker_name"])
    assert prepared(talks, talks.parent / "out") == []


@pytest.mark.parametrize("other", ["Ann", "ann ", "a\N{COMBINING RING ABOVE}nn"])
def test_names_of_speakers_that_differ_in_their_spelling(talks: Path, other: str) -> None:
    plain = "\N{LATIN SMALL LETTER A WITH RING ABOVE}nn" if "\N{COMBINING RING ABOVE}" in other else "ann"
    rows = [[path, (plain, other)[path == "t00.wav"] if name == "ann" else name] for path, name, _ in true_rows()]
    write_list(talks, rows, header=HEADER[:2])
    lines = prepared(talks, talks.parent / "out")
    assert len(lines) == (other.strip() != plain)
    assert all(repr(plain) in line and repr(other) in line for line in lines)


@pytest.mark.parametrize("elsewhere", [True, False])
def test_speakers_of_a_conversation_who_are_in_other_groups_are_named(talks: Path, elsewhere: bool) -> None:
    """A file of several speakers, with its segments in rows that have an offset, is no contradiction."""
    cells = [{"audio_filepath": path, "speaker": name, "offset": 0} for path, name, _ in true_rows()]
    guests = ("ann", "ben") if elsewhere else ("gus", "hal")
    cells[0] |= {"speaker": guests[0]}
    cells.append({**cells[0], "speaker": guests[1], "offset": 0.3})
    (talks / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in cells))
    lines = prepared(talks / "list.jsonl", talks.parent / "out")
    assert rows_by_name(talks.parent / "out")["t00.wav"].group == "t00.wav"
    assert len(lines) == elsewhere and all("2 speakers" in line and "ann" in line for line in lines)
    groups = files_by_group(talks / "list.jsonl", rule="column:speaker")[1]
    assert groups["t00.wav"] == ["t00.wav"]


def test_two_names_for_one_utterance_of_kaldi_are_refused(tmp_path: Path) -> None:
    touch_files(tmp_path, ["a.wav", "b.wav"])
    (tmp_path / "wav.scp").write_text("u1 a.wav\nu2 b.wav\nu3 a.wav\n")
    (tmp_path / "utt2spk").write_text("u1 ann\nu2 ann\nu3 ben\n")
    line = refusal(lambda: files_by_group(tmp_path))
    assert str(tmp_path / "wav.scp") in line and "ann" in line and "ben" in line


def test_the_same_samples_under_two_speakers_are_named(talks: Path) -> None:
    os.symlink("t00.wav", talks / "link.wav")
    write_list(talks, [*true_rows(), ["link.wav", "ben", "speech"]])
    (line,) = prepared(talks, talks.parent / "out")
    assert all(str(talks / name) in line for name in ("t00.wav", "link.wav"))
    used = [name for name, row in rows_by_name(talks.parent / "out").items() if row.used]
    assert len({"t00.wav", "link.wav"} & set(used)) == 1


def test_tables_that_are_not_used_are_named(talks: Path) -> None:
    table = write_list(talks, [["gone.wav", "zoe", "speech"], *true_rows()])
    assert find_audio([talks]).warnings == () and files_by_group(talks)[1]["ann"] == ["t00.wav", "t01.wav", "t02.wav"]
    above = write_list(talks.parent, [[f"talks/{row[0]}", *row[1:]] for row in true_rows()])
    table.unlink()
    (line,) = find_audio([talks]).warnings
    assert str(above) in line
    above.unlink()
    write_list(talks, [[f"wrong/{row[0]}", *row[1:]] for row in true_rows()])
    (line,) = find_audio([talks]).warnings
    assert str(table) in line
    for name in ("one.csv", "two.csv"):
        write_list(talks, true_rows(), name=name)
    (line,) = find_audio([talks]).warnings
    assert "one.csv" in line and "two.csv" in line and "w.csv" not in line
    assert find_audio([talks], plain=True).warnings == ()


@pytest.mark.parametrize("header", [[], ["id", "speaker", "domain"], ["path", "narrator", "kind"]])
def test_a_table_without_known_columns_is_named_if_it_names_files(talks: Path, header: list[str]) -> None:
    table = write_table(talks / "w.csv", [*[header] * bool(header), *true_rows()])
    write_table(talks / "weather.csv", [["day", "sky"], ["1", "fair"]])
    (line,) = find_audio([talks]).warnings
    assert str(table) in line
    table.unlink()
    assert find_audio([talks]).warnings == ()


def test_a_list_whose_speakers_have_a_column_of_another_name(talks: Path) -> None:
    table = write_list(talks, true_rows(), header=["path", "Narrator", "domain"])
    (line,) = prepared(table, talks.parent / "out")
    assert str(table) in line and "Narrator" in line and "column:NAME" in line
    assert prepared(table, talks.parent / "advised", group_by="column:Narrator") == []
    assert crossing(talks.parent / "advised") == set()
    write_list(talks, [[path, domain] for path, _, domain in true_rows()], header=["path", "domain"])
    assert prepared(table, talks.parent / "plain") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("w.csv", "path,speaker,Speaker\n{0},ann,ben\n"),
        ("w.csv", "path,text,speaker\n{0},yes, and no,ann\n"),
        ("w.tsv", "path\tpath\tspeaker\n{0}\t{0}\tann\n"),
        ("w.jsonl", '{{"path": "{0}", "speaker": "ann", "Speaker": "ben"}}\n'),
    ],
)
def test_columns_that_occur_twice_and_cells_beyond_the_header_are_refused(talks: Path, name: str, text: str) -> None:
    (talks / name).write_text(text.format("t00.wav"))
    assert str(talks / name) in refusal(lambda: find_audio([talks / name]))
    if not name.endswith("jsonl"):  # a folder is not grouped as if the table were not there
        assert str(talks / name) in refusal(lambda: find_audio([talks]))


def test_json_and_domains_may_be_written_in_capitals(talks: Path) -> None:
    cells = [{"Path": path, "SPEAKER": name, "Domain": f" {domain.upper()}"} for path, name, domain in true_rows()]  # type: ignore[attr-defined]
    (talks / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in cells))
    content, members = files_by_group(talks / "list.jsonl")
    assert set(members) == set(SPEAKERS) and {entry.domain for entry in content.entries} == {"speech"}


@pytest.mark.parametrize("whole", [False, True])
def test_a_changed_list_moves_nothing_to_another_split_however_often_it_runs(talks: Path, whole: bool) -> None:
    out = talks.parent / "out"
    write_list(talks, true_rows())
    assert prepared(talks, out) == []
    home = {name: row.split for name, row in rows_by_name(out).items()}
    ann = splits_by_group(out)["ann"]
    other = next(name for name, split in splits_by_group(out).items() if split != ann)
    moved = ["t00.wav", "t01.wav", "t02.wav"][: TAKES if whole else 1]
    write_list(talks, [[path, other if path in moved else name, domain] for path, name, domain in true_rows()])
    for _ in range(3):
        lines = prepared(talks, out)
        rows = rows_by_name(out)
        assert [name for name, row in rows.items() if not row.used] == moved
        assert {name: row.split for name, row in rows.items()} == home
        assert len(lines) == 1 and str(talks / "t00.wav") in lines[0]
    with (out / "manifest.csv").open() as file:
        splits = defaultdict(set)
        for row in csv.DictReader(file):
            splits[row["group"]].add(row["split"])
    assert all(len(places) == 1 for places in splits.values())
    write_list(talks, true_rows())
    assert prepared(talks, out) == [] and all(row.used for row in read_manifest(out))
    assert {name: row.split for name, row in rows_by_name(out).items()} == home


@pytest.mark.parametrize("seed", [3, 17, 23, 29, 51])
def test_no_order_of_changed_lists_moves_a_clip_or_divides_a_group(talks: Path, seed: int) -> None:
    """Names change, files come and go, and shorter files are excluded for a while."""
    random, home, out = Random(seed), dict[str, str](), talks.parent / "out"
    for number, path in enumerate(sorted(talks.glob("*.wav"))):
        write_noise(path, seconds=0.6 + 0.1 * (number % 2), seed=number)
    for run in range(6):
        rows = [[path, random.choice(SPEAKERS) if random.random() < 0.3 else name] for path, name, _ in true_rows()]
        write_list(talks, [row for row in rows if run == 0 or random.random() < 0.8], header=HEADER[:2])
        try:
            prepared(talks, out, min_seconds=random.choice([0.5, 0.65]))
        except UserError as error:  # by chance, no clip of a split is left
            assert "would be empty" in str(error)
            continue
        splits = defaultdict(set)
        for row in read_manifest(out):
            splits[row.group].add(row.split)
            assert not row.used or home.setdefault(row.sha256, row.split) == row.split
        assert all(len(places) == 1 for places in splits.values())


def test_a_clip_that_one_run_excludes_returns_to_its_split_under_any_name(talks: Path) -> None:
    out = talks.parent / "out"
    write_noise(talks / "t00.wav", seconds=0.7, seed=99)
    write_list(talks, true_rows())
    prepared(talks, out)
    home = {name: row.split for name, row in rows_by_name(out).items()}
    run_prepare(talks, out, ratios="0:0:1" if home["t00.wav"] == "test" else "1:0:0", min_seconds=0.65)
    write_list(talks, [[path, f"{name} again", domain] for path, name, domain in true_rows()])
    prepared(talks, out)
    assert {name: row.split for name, row in rows_by_name(out).items()} == home
