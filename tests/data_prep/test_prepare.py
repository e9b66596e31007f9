"""Whole preparations: repeated and killed runs, splits, notes and errors."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.config import TargetConfig
from codec.dataset import location
from codec.errors import UserError
from codec.runtime import process_pool
from data_prep import placement
from data_prep.group_rules import FOLDER
from data_prep.groups import Grouping, group_entries
from data_prep.rows import ABSENT_REASON
from data_prep.sources import find_audio
from tests.helpers.audio import write_audio, write_noise
from tests.helpers.disk import contents
from tests.helpers.preparation import (
    RATE,
    assert_packed_equals_sources,
    read_manifest,
    run_prepare,
    seconds_of_noise,
    splits_by_group,
    write_groups,
    write_table,
)

SCRIPT = (
    "import sys; from codec.cli import main\n"
    "main(['prepare', sys.argv[1], '--out', sys.argv[2], '--seed', sys.argv[3], '--rate', '24000', '-j', '1'])\n"
)


def test_a_second_run_changes_nothing_and_decodes_nothing(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio")
    run_prepare(audio_dir, tmp_path / "out")
    before = contents(tmp_path / "out")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.npy")}
    # Same size, same time, other content: read again, the second run would notice.
    clip = audio_dir / "speaker03/1.flac"
    stat = clip.stat()
    clip.write_bytes(bytes(stat.st_size))
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    run_prepare(audio_dir, tmp_path / "out")
    assert contents(tmp_path / "out") == before
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_groups_stay_when_files_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "SHARD_BYTES", 2 * RATE * 5)
    audio_dir, out = write_groups(tmp_path / "audio", groups=20), tmp_path / "out"
    run_prepare(audio_dir, out)
    before = splits_by_group(out)
    write_groups(tmp_path / "more", groups=30, clips=3)
    shutil.move(tmp_path / "more", audio_dir / "more")
    shutil.rmtree(audio_dir / "speaker05")
    run_prepare(audio_dir, out, ratios="6:2:2", seed=3)
    rows = read_manifest(out)
    after = {row.group: row.split for row in rows}
    assert {group: after[group] for group in before} == before
    gone = [row for row in rows if row.group == "speaker05"]
    assert [(row.status, row.reason) for row in gone] == [("excluded", ABSENT_REASON)] * 2
    assert {row.group for row in rows} >= {f"more/speaker{n:02d}" for n in range(20, 30)}
    assert len(list((out / "packed/16000x1").glob("train-*.npy"))) > 3
    assert_packed_equals_sources(out)
    # Files that return go back to their splits.
    shutil.move(audio_dir / "more", tmp_path / "more")
    write_groups(audio_dir, groups=20)
    run_prepare(audio_dir, out)
    again = splits_by_group(out)
    assert {group: again[group] for group in before} == before
    assert_packed_equals_sources(out)


@pytest.mark.usefixtures("interruptible")
def test_a_killed_run_continues(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=40, clips=3)
    run_prepare(audio_dir, tmp_path / "whole", sample_rate=24000, workers=1)
    script = (
        "import sys; from pathlib import Path; from data_prep.prepare import PrepareOptions, prepare\n"
        "prepare([Path(sys.argv[1])], Path(sys.argv[2]), PrepareOptions(sample_rate=24000, workers=1))\n"
    )
    out = tmp_path / "killed"

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", script, audio_dir, out], stderr=subprocess.DEVNULL)

    for signal_number, sign in ((signal.SIGKILL, "inventory.jsonl"), (signal.SIGINT, "manifest.csv")):
        process = start()
        while process.poll() is None and not ((out / sign).exists() and (out / sign).stat().st_size > 9000):
            time.sleep(0.005)
        process.send_signal(signal_number)
        process.wait()
    with (out / "inventory.jsonl").open("a") as journal:
        journal.write('{"v": 1, "path": "/cut')
    assert start().wait() == 0
    files, wanted = contents(out), contents(tmp_path / "whole")
    for name in files:
        if name.startswith("packed") or name == "manifest.csv":
            assert files[name] == wanted[name], name
    assert files.keys() == wanted.keys()


def test_several_processes_give_the_same_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=8)
    run_prepare(audio_dir, tmp_path / "one", sample_rate=24000, workers=1)
    monkeypatch.setattr(process_pool, "INLINE_S", 0.0)
    run_prepare(audio_dir, tmp_path / "two", sample_rate=24000, workers=2)
    one, two = contents(tmp_path / "one"), contents(tmp_path / "two")
    same: dict[str, bytes | None] = {"summary.json": None}  # which has the path of the output
    assert one | same == two | same


def test_summary_adds_up(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=30)
    target = TargetConfig(domains={"audio": 0.5, "music": 0.5}, level_dbfs=(-10.0, 0.0))
    summary = run_prepare(audio_dir, tmp_path / "out", target=target)
    saved = json.loads((tmp_path / "out/summary.json").read_text())
    assert saved["splits"][0]["clips"] == summary.splits[0].clips
    assert sum(split.clips for split in summary.splits) == 60
    assert sum(split.hours for split in summary.splits) == pytest.approx(60 / 3600)
    for split in summary.splits:
        # All clips are noise of -20 dBFS.
        assert sum(split.levels) == pytest.approx(1.0) and sum(split.levels[4:7]) == pytest.approx(1.0)
    assert summary.target is not None
    assert summary.target.domain_variation == pytest.approx(0.5)
    assert (summary.target.outside_level, summary.target.outside_noise, summary.target.outside) == (
        1.0,
        0.0,
        1.0,
    )


def test_domains_are_assigned_to_sources_and_to_folders_in_them(tmp_path: Path) -> None:
    """The later one holds, and a column of a list gives way; a folder without audio and an unknown word are errors."""
    audio_dir = write_groups(tmp_path / "audio", groups=4, clips=1)
    folders = sorted(path.name for path in audio_dir.iterdir())
    some = [("speech", ""), ("music", folders[0]), ("general", str(audio_dir / folders[1]))]
    found = {
        entry.relative.split("/")[0]: entry.domain
        for entry in find_audio([audio_dir], ["music", "speech"], some).entries
    }
    assert found == {folders[0]: "music", **dict.fromkeys(folders[2:], "speech")}
    listed = tmp_path / "list.csv"
    listed.write_text(f"Path;Domain\naudio/{folders[0]}/0.flac;music\n")
    domains = [[entry.domain for entry in find_audio([listed], [], given).entries] for given in ([], some[:1])]
    assert domains == [["music"], ["speech"]]
    for wrong in (("speech", "nowhere"), ("speech", folders[0][:-1]), ("speach", "")):
        with pytest.raises(UserError, match=f"--as {wrong[0]}"):
            find_audio([audio_dir], [], [wrong])
    (audio_dir / "speakers.csv").write_text(f"path,speaker\n{folders[0]}/0.flac,ann\n")
    with pytest.raises(UserError, match=r"does not name the files there.*speakers\.csv and their"):
        find_audio([audio_dir], [], [("music", folders[1])])
    second = audio_dir / folders[1]
    both = find_audio([audio_dir / "speakers.csv", second], [], [("music", str(second))])
    assert sorted(entry.domain for entry in both.entries) == ["audio", "music"]


@pytest.mark.parametrize(("above", "advised"), [("audio", True), ("Speech/audio", False)])
def test_clips_without_a_domain_lead_to_advice(tmp_path: Path, above: str, advised: bool) -> None:
    audio_dir = write_groups(tmp_path / above, groups=12)
    summary = run_prepare(audio_dir, tmp_path / "out")
    assert any("--as speech" in line for line in summary.advice) == advised
    assert set(summary.splits[0].domains) == {"audio" if advised else "speech"}


def test_a_manifest_decides_group_and_domain(tmp_path: Path) -> None:
    for number in range(6):
        write_noise(tmp_path / f"audio/old/{number}/a.wav", seed=number)
        write_noise(tmp_path / f"audio/new/{number}/a.wav", seed=100 + number)
    write_table(
        tmp_path / "audio/manifest.csv",
        [["path", "domain", "source", "group", "microphone"]]
        + [
            [f"{source}/{number}/a.wav", "speech" if number < 4 else "music", source, f"person {number}", number % 2]
            for source in ("old", "new")
            for number in range(6)
        ],
    )
    entries = find_audio([tmp_path / "audio"], ["speech"]).entries
    assert len(entries) == 8 and {entry.domain for entry in entries} == {"speech"}

    def groups(rule: str | None) -> set[str]:
        return {group for _, group in group_entries(entries, Grouping(rule, FOLDER))}

    assert groups(None) == {f"person {number}" for number in range(4)}
    assert groups("column:microphone") == {"0", "1"}
    assert groups("level:1") == {"old", "new"}
    run_prepare(tmp_path / "audio", tmp_path / "out")
    homes = {(row.group, row.split) for row in read_manifest(tmp_path / "out")}
    assert len(homes) == 6
    for rule, hint in (("column:nothing", "microphone"), ("regex:(", r"regex:\("), ("folders", "level:1")):
        with pytest.raises(UserError, match=hint):
            groups(rule)
    with pytest.raises(UserError, match="music, speech"):
        find_audio([tmp_path / "audio"], ["birds"])


def test_errors_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("text")
    write_audio(tmp_path / "silent/a.wav", np.zeros(RATE), RATE)
    write_groups(tmp_path / "good", groups=3)
    (tmp_path / "file").write_text("")
    cases = [
        ("absent", "out", {}, "absent"),
        ("empty", "out", {}, "empty"),
        ("texts", "out", {}, "texts"),
        ("silent", "out2", {}, "1 silent"),
        ("good", "file/out", {}, "file/out"),
        ("good", "out", {"ratios": "8:1"}, "train:val:test"),
        ("good", "out", {"group_by": "level:0"}, "level:1"),
    ]
    for source, out, options, message in cases:
        with pytest.raises(UserError, match=message) as error:
            run_prepare(tmp_path / source, tmp_path / out, **options)  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_split_that_would_be_empty_is_refused(tmp_path: Path) -> None:
    for number in range(8):
        write_audio(tmp_path / f"audio/{'ab'[number % 2]}/{number}.wav", seconds_of_noise(1.0, number), RATE)
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"8 files in 2 groups.*--group-by file.*--ratios 1:0:0") as refusal:
        run_prepare(tmp_path / "audio", out)
    assert "\n" not in str(refusal.value) and not out.exists()
    write_audio(tmp_path / "audio/c/silent.wav", np.zeros(RATE), RATE)  # a third group, until it is decoded
    with pytest.raises(UserError, match=r"8 usable.* 2 groups.*1 silent.*--group-by file"):
        run_prepare(tmp_path / "audio", out)
    assert not (out / "manifest.csv").exists() and not (out / "packed").exists()
    summary = run_prepare(tmp_path / "audio", out, group_by="file")
    assert all(split.clips for split in summary.splits) and sum(split.groups for split in summary.splits) == 8
    # The rule holds for later runs, and where two splits are wanted two groups are enough.
    write_audio(tmp_path / "audio/a/8.wav", seconds_of_noise(1.0, 8), RATE)
    assert sum(split.groups for split in run_prepare(tmp_path / "audio", out).splits) == 9
    two = run_prepare(tmp_path / "audio", tmp_path / "two", ratios="1:1:0")
    assert [split.groups for split in two.splits] == [1, 1, 0]


def test_one_folder_of_files_has_three_splits_and_a_note(tmp_path: Path) -> None:
    for number in range(40):
        write_audio(tmp_path / f"x/wavs/u{number:02d}.wav", seconds_of_noise(0.6, number), RATE)
    for source in ("x", "x/wavs"):
        lines: list[str] = []
        summary = run_prepare(tmp_path / source, tmp_path / source[2:], lines.append)
        assert [split.groups > 0 for split in summary.splits] == [True] * 3
        assert sum(split.groups for split in summary.splits) == 40
        assert len(lines) == 1 and tuple(lines) == summary.notes


def test_unclear_groups_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    for speaker in range(4):
        for book in range(2):
            write_audio(tmp_path / f"x/spk{speaker}/book{book}/a.wav", seconds_of_noise(0.6, 10 * speaker + book), RATE)
    with pytest.raises(UserError, match="level:1"):
        run_prepare(tmp_path / "x", tmp_path / "out")
    assert not (tmp_path / "out").exists()
    run_prepare(tmp_path / "x", tmp_path / "out", group_by="level:1")
    before = {(row.group, row.split) for row in read_manifest(tmp_path / "out")}
    assert len(before) == 4
    run_prepare(tmp_path / "x", tmp_path / "out")  # is not asked again
    assert {(row.group, row.split) for row in read_manifest(tmp_path / "out")} == before


def test_an_output_below_the_source_is_no_corpus(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=6)
    for _ in range(2):
        lines: list[str] = []
        summary = run_prepare(audio_dir, audio_dir / "data", lines.append)
        assert (summary.files, summary.excluded) == (12, {}) and not any("manifest" in line for line in lines)


def test_other_files_are_counted_by_kind(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=5)
    for name in ("a.txt", "b.txt", "c.pdf", "d"):
        (audio_dir / name).write_text("x")
    lines: list[str] = []
    summary = run_prepare(audio_dir, tmp_path / "out", lines.append)
    assert summary.left_out == {".txt": 2, ".pdf": 1, "": 1}
    assert len(lines) == 1 and "2 .txt" in lines[0]


def test_only_one_process_at_a_time_writes_an_output(tmp_path: Path) -> None:
    """The second ends with a message that names the first, unless that has finished; arrays and tables agree."""
    audio_dir, out = write_groups(tmp_path / "audio", groups=30, clips=3), tmp_path / "out"
    processes = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, audio_dir, out, str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    errors = [process.communicate()[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 0], [0, 2]), errors
    if codes == [0, 2]:
        first, second = sorted(processes, key=lambda process: process.returncode)
        assert f"process {first.pid} " in errors[processes.index(second)]
    assert not list(out.rglob("*.part"))
    for name in ("train", "val"):
        split = location.open_split(out, name, 24000, 1)  # type: ignore[arg-type]
        split.verify()
        for i, clip in enumerate(split.clips):
            wanted = audio.resample(audio.read(clip.path).samples, RATE, 24000)
            np.testing.assert_allclose(split.waveform(i), wanted, atol=1.01 / 65536)


@pytest.mark.parametrize("cut", ["half", "line", "all", "letter"])
def test_a_truncated_manifest_is_refused(tmp_path: Path, cut: str) -> None:
    audio_dir, out = write_groups(tmp_path / "audio"), tmp_path / "out"
    assert run_prepare(audio_dir, out).rows == 24
    assert json.loads((out / "summary.json").read_text())["rows"] == 24
    manifest = out / "manifest.csv"
    text = manifest.read_text()
    lines = text.splitlines(keepends=True)
    manifest.write_text(
        {"half": "".join(lines[: len(lines) // 2]), "line": "".join(lines[:-1]), "letter": text[:-1], "all": ""}[cut]
    )
    if cut == "all":
        manifest.unlink()
    with pytest.raises(UserError, match=r"manifest\.csv") as refusal:
        run_prepare(audio_dir, out)
    assert "\n" not in str(refusal.value)
    manifest.write_text(text)
    run_prepare(audio_dir, out)


def test_sources_licences_and_languages_reach_the_packed_tables(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=12, clips=1)
    rows: list[list[object]] = [["path", "group", "source", "license", "lang"]]
    for number in range(12):
        source, language = ("news", "de") if number % 2 else ("talks", "")
        rows.append([f"speaker{number:02d}/0.flac", f"speaker{number:02d}", source, "CC0 1.0", language])
    write_table(audio_dir / "list.csv", rows)
    out = tmp_path / "out"
    run_prepare(audio_dir / "list.csv", out)
    shards = {path: path.stat().st_mtime_ns for path in out.rglob("*.npy")}
    # The same folder as an earlier version wrote it: without the columns in either table.
    manifest, table = out / "manifest.csv", out / "packed/16000x1/train.csv"
    for path, kept in ((manifest, 18), (table, 12)):
        path.write_text("".join(",".join(line.split(",")[:kept]) + "\n" for line in path.read_text().splitlines()))
    assert [clip.source for clip in location.open_split(out, "train", RATE, 1).clips] == [""] * 10
    summary = run_prepare(audio_dir / "list.csv", out)
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    for split in summary.splits:
        assert sum(split.sources.values()) == pytest.approx(3600 * split.hours)
    wanted = {str(audio_dir / str(row[0])): (row[2], row[3], row[4]) for row in rows[1:]}
    clips = location.open_split(out, "train", RATE, 1).clips
    assert {str(clip.path): (clip.source, clip.licence, clip.language) for clip in clips}.items() <= wanted.items()
    sources = location.open_split(out, "train", RATE, 1).sources
    assert [(known.source, known.licences, known.languages) for known in sources] == [
        ("news", ["CC0 1.0"], ["de"]), ("talks", ["CC0 1.0"], [])
    ]  # fmt: skip
    assert sum(known.frames for known in sources) == sum(clip.frames for clip in clips)
