"""Groups of plain folders: rules, and folders or names that can be read in two ways."""

import os
import re
import shlex
from pathlib import Path

import pytest

from codec.errors import UserError
from data_prep.group_rules import FOLDER
from data_prep.groups import Grouping, choose_grouping, group_entries
from data_prep.listing import Listing
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.sources import find_audio
from tests.helpers.audio import write_noise
from tests.helpers.corpora import files_by_group, touch_files
from tests.helpers.preparation import run_prepare, splits_by_group, write_table


def count_groups(entries: Listing, grouping: Grouping) -> int:
    return len({group for _, group in group_entries(entries, grouping)})


def test_plain_folders_group_by_folder_or_file(tmp_path: Path) -> None:
    names = ["speech/a/one/1.wav", "speech/a/one/2.wav", "speech/a/two/3.wav", "speech/4.wav", "speech/.hidden.wav"]
    touch_files(tmp_path, names)
    os.symlink(tmp_path / "speech/a", tmp_path / "speech/a/loop")
    entries = find_audio([tmp_path / "speech", tmp_path / "speech/a"]).entries
    assert sorted(entry.path.name for entry in entries) == ["1.wav", "2.wav", "3.wav", "4.wav"]
    assert {entry.domain for entry in entries} == {"speech"}

    def groups(rule: str | None) -> dict[str, str]:
        return {entry.path.name: group for entry, group in group_entries(entries, Grouping(rule, FOLDER))}

    assert groups(None) == {"1.wav": "a/one", "2.wav": "a/one", "3.wav": "a/two", "4.wav": "4.wav"}
    assert groups("level:1") == {"1.wav": "a", "2.wav": "a", "3.wav": "a", "4.wav": "4.wav"}
    assert groups(r"regex:(\d)\.wav") == {f"{n}.wav": str(n) for n in (1, 2, 3, 4)}


def test_nested_folders_need_a_rule(tmp_path: Path) -> None:
    touch_files(tmp_path, [f"speech/spk{s:02d}/book{b}/{u}.wav" for s in range(20) for b in range(4) for u in range(3)])
    with pytest.raises(UserError, match=r"--group-by level:2.*--group-by folder") as question:
        files_by_group(tmp_path)
    assert "\n" not in str(question.value)
    by_speaker = files_by_group(tmp_path, rule="level:2")[1]
    assert len(by_speaker) == 20 and {len(members) for members in by_speaker.values()} == {12}
    assert len(files_by_group(tmp_path, rule="folder")[1]) == 80


def test_the_offered_rule_keeps_speakers_of_two_subsets_together(tmp_path: Path) -> None:
    touch_files(
        tmp_path, [f"{part}/spk{s}/book{b}/a.wav" for part in ("train", "test") for s in range(5) for b in range(2)]
    )
    with pytest.raises(UserError) as question:
        files_by_group(tmp_path)
    words = shlex.split(str(question.value).replace(";", " "))
    by_speaker = files_by_group(tmp_path, rule=words[words.index("--group-by") + 1])[1]
    assert {name: len(members) for name, members in by_speaker.items()} == {f"spk{s}": 4 for s in range(5)}


def test_a_table_beside_nested_folders_keeps_its_groups(tmp_path: Path) -> None:
    touch_files(tmp_path, [f"words/spk{s}/{u}.wav" for s in range(4) for u in range(3)] + ["tapes/spk9/a.wav"])
    touch_files(tmp_path, [f"talks/{n}.wav" for n in range(6)] + ["talks/lost.wav"])
    write_table(tmp_path / "talks/who.csv", [["path", "speaker"], *([f"{n}.wav", f"p{n % 2}"] for n in range(6))])
    with pytest.raises(UserError, match=r"--group-by rest:level:1.*--group-by rest:folder"):
        files_by_group(tmp_path)
    content = find_audio([tmp_path])
    assert (content.corpora[0].unlisted, Path(content.corpora[0].first_unlisted).name) == (1, "lost.wav")
    members = files_by_group(tmp_path, rule="rest:folder")[1]
    assert {name: len(files) for name, files in members.items() if name.startswith("p")} == {"p0": 3, "p1": 3}
    assert len(members) == 4 + 1 + 2
    assert len(files_by_group(tmp_path, rule="rest:level:1")[1]) == 2 + 2
    with pytest.raises(UserError, match="rest:folder"):
        files_by_group(tmp_path, rule="rest:time")


@pytest.mark.parametrize(
    "names",
    [
        [f"spk{n}/{u}.wav" for n in range(5) for u in range(3)],
        [f"corpus/spk{n}/wav/{u}.wav" for n in range(5) for u in range(3)],  # containers and a common folder
        [f"{part}/spk{n}/{u}.wav" for part in ("train", "test") for n in range(5) for u in range(3)],
        [f"speech/spk{n}/a.wav" for n in range(3)] + [f"music/song{n}/a.wav" for n in range(2)],
        [f"spk{n}/only/a.wav" for n in range(5)],  # either way divides the files alike
    ],
)
def test_folders_of_speakers_need_no_rule(tmp_path: Path, names: list[str]) -> None:
    assert len(files_by_group(touch_files(tmp_path, names))[1]) == 5


@pytest.mark.parametrize("start", ["", "wavs"])
def test_files_in_one_folder_are_groups_of_their_own(tmp_path: Path, start: str) -> None:
    touch_files(tmp_path, [f"wavs/u{n:02d}.wav" for n in range(40)])
    entries = find_audio([tmp_path / start]).entries
    choice = choose_grouping(entries, None)
    assert count_groups(entries, choice) == 40
    assert len(choice.notes) == 1 and "40 files" in choice.notes[0]


@pytest.mark.parametrize(
    ("names", "groups"),
    [
        ([f"speaker{s}_{u}.wav" for s in range(4) for u in range(5)], 4),
        ([f"{s}-{b}-{u:04d}.flac" for s in (61, 121, 237) for b in (7, 8) for u in range(4)], 3),
        ([f"03-01-0{e}-01-{a:02d}.wav" for e in range(1, 4) for a in range(1, 6)], 3),
    ],
)
def test_names_with_a_common_part_need_a_rule(tmp_path: Path, names: list[str], groups: int) -> None:
    """Speakers whose folders were merged; the pattern that is offered makes one group of each."""
    touch_files(tmp_path, names)
    entries = find_audio([tmp_path]).entries
    with pytest.raises(UserError) as refusal:
        choose_grouping(entries, None)
    offered = re.search(r"--group-by '(regex:[^']+)'", str(refusal.value))
    assert offered and "\n" not in str(refusal.value)
    assert count_groups(entries, choose_grouping(entries, offered[1])) == groups
    assert count_groups(entries, choose_grouping(entries, "file")) == len(names)


@pytest.mark.parametrize("pattern", ["take_{:02d}.wav", "{:02d}_a.wav", "one word {:02d}.wav"])
def test_numbered_names_need_no_rule(tmp_path: Path, pattern: str) -> None:
    touch_files(tmp_path, [pattern.format(number) for number in range(12)])
    entries = find_audio([tmp_path]).entries
    assert count_groups(entries, choose_grouping(entries, None)) == 12


def test_a_level_deeper_than_any_folder_is_refused(tmp_path: Path) -> None:
    touch_files(tmp_path, [f"spk{s}/book{b}/{u}.wav" for s in range(3) for b in range(2) for u in range(2)])
    entries = find_audio([tmp_path]).entries
    assert count_groups(entries, choose_grouping(entries, "level:2")) == 6
    with pytest.raises(UserError, match="level:3"):
        count_groups(entries, choose_grouping(entries, "level:3"))


@pytest.mark.parametrize(
    "rule",
    [
        "rest:", "rest:foo", "rest:rest:folder", "rest:time", "rest:column:speaker", "rest:level:0", "rest:regex:(",
        "rest:regex:abc", "rest", "folder:x", "level:", "level:x", "level:0", "level:-1", "regex:", "regex:[",
        "column:", "speaker", "Folder",
    ],
)  # fmt: skip
@pytest.mark.parametrize("listed", [False, True])
def test_a_garbled_rule_is_one_line_with_the_words_of_the_user(tmp_path: Path, rule: str, listed: bool) -> None:
    """Also where a table gives every file a group, so that the rule would never be used."""
    names = [f"spk{n}/{take}.wav" for n in range(3) for take in range(2)]
    touch_files(tmp_path, names)
    if listed:
        write_table(tmp_path / "who.csv", [["path", "speaker"], *([name, name[:4]] for name in names)])
    with pytest.raises(UserError) as refusal:
        run_prepare(tmp_path, tmp_path / "out", group_by=rule)
    assert str(refusal.value).startswith(f"--group-by {rule} ") and "\n" not in str(refusal.value)
    assert str(refusal.value).count("--group-by") == 1 and not (tmp_path / "out").exists()


def test_a_rule_for_the_rest_is_refused_where_there_is_none(tmp_path: Path) -> None:
    """A table in the root of a source takes all of it; the sources that the refusal offers make the rule apply."""
    names = [f"talks/{n}.wav" for n in range(6)]
    for seed, name in enumerate(names):
        write_noise(tmp_path / name, seed=seed)
    table = write_table(tmp_path / "who.csv", [["path", "speaker"], *([name, f"p{name[6]}"] for name in names)])
    out = tmp_path.parent / f"{tmp_path.name} out"
    with pytest.raises(UserError, match="rest:folder"):
        run_prepare(tmp_path, out, group_by="rest:folder")
    for seed in range(4):
        write_noise(tmp_path / f"words/spk{seed % 2}/{seed}.wav", seed=100 + seed)
    with pytest.raises(UserError) as refusal:
        run_prepare(tmp_path, out, group_by="rest:folder")
    assert str(table) in str(refusal.value) and str(tmp_path / "words/spk0/0.wav") in str(refusal.value)
    assert not out.exists()
    options = PrepareOptions(sample_rate=16000, workers=1, ratios="1:1:1", group_by="rest:folder")
    prepare([table, tmp_path / "words"], out, options)
    assert set(splits_by_group(out)) == {f"p{n}" for n in range(6)} | {"spk0", "spk1"}
    run_prepare(table, out, ratios="1:1:1")  # the rule of the earlier run is not the user's of this one


def test_files_that_a_rule_does_not_name_are_named(tmp_path: Path) -> None:
    for number in range(6):
        write_noise(tmp_path / f"in/{'ab'[number % 2]}{number}_x.wav", seed=number)
    write_noise(tmp_path / "in/other.wav", seed=9)
    summary = run_prepare(tmp_path / "in", tmp_path / "out", ratios="1:1:1", group_by=r"regex:^.(\d)_")
    (line,) = summary.warnings
    assert "1 of 7 files" in line and str(tmp_path / "in/other.wav") in line
    assert run_prepare(tmp_path / "in", tmp_path / "all", ratios="1:1:1", group_by="file").warnings == ()
