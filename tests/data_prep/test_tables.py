"""Lists and tables as other systems write them."""

import codecs
import csv
import gzip
import io
import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from codec.batch.inputs import read_text
from codec.dataset.location import list_clips, open_split
from codec.dataset.packed import packed_folder
from codec.errors import UserError
from data_prep.entries import AudioEntry
from data_prep.groups import Grouping, choose_grouping, group_entries
from data_prep.manifest import MANIFEST_NAME, PARQUET_NAME, read_rows, write_manifest
from data_prep.rows import ManifestRow, RowTable
from data_prep.sources import find_audio
from data_prep.split_ratios import SplitRatios
from data_prep.store import Store
from tests.helpers.audio import write_noise
from tests.helpers.preparation import read_manifest, rows_by_name, run_prepare
from tests.helpers.splits import MadeClip, split_clips

ROWS = [
    {"path": "a/ö, 1.wav", "speaker": "Zoë", "domain": "speech", "text": 'say "no"; or, yes'},
    {"path": "b/2.wav", "speaker": "Bob", "domain": "music", "text": "two\nlines"},
]


def table(delimiter: str) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return text.getvalue()


def listed(path: Path) -> list[AudioEntry]:
    return list(find_audio([path]).entries)


def described(path: Path) -> list[tuple[str, str, str]]:
    return [(entry.path.relative_to(path.parent).as_posix(), entry.group, entry.domain) for entry in listed(path)]


WANTED = [("a/ö, 1.wav", "Zoë", "speech"), ("b/2.wav", "Bob", "music")]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_table_of_any_separator_and_encoding(tmp_path: Path, delimiter: str, encoding: str) -> None:
    marks = {"utf-16-le": codecs.BOM_UTF16_LE, "utf-16-be": codecs.BOM_UTF16_BE}
    path = tmp_path / "list.csv"
    path.write_bytes(marks.get(encoding, b"") + table(delimiter).encode(encoding))
    assert described(path) == WANTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_json_lines(tmp_path: Path, encoding: str, end: str) -> None:
    text = end.join(json.dumps(row, ensure_ascii=False) for row in ROWS) + end
    (tmp_path / "list.jsonl").write_bytes(text.encode(encoding))
    assert described(tmp_path / "list.jsonl") == WANTED
    (tmp_path / "list.json").write_bytes(json.dumps(ROWS).encode(encoding))
    assert described(tmp_path / "list.json") == WANTED


def test_quotation_marks_in_a_tsv_are_letters(tmp_path: Path) -> None:
    """As Common Voice writes it: a quotation mark is a letter."""
    rows = 'path\tclient_id\tsentence\na.wav\tx\t"Open\nb.wav\ty\tnever closed\n'
    (tmp_path / "list.tsv").write_text(rows)
    assert [entry.group for entry in listed(tmp_path / "list.tsv")] == ["x", "y"]


def test_a_list_of_paths_with_a_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for encoding in ("utf-8-sig", "utf-16"):
        (tmp_path / "list.txt").write_bytes("a.wav\r\nb/c.wav\r\n".encode(encoding))
        entries = listed(tmp_path / "list.txt")
        assert entries[0].path.is_file() and entries[1].path == tmp_path / "b/c.wav"


def test_names_that_are_not_unicode_are_kept(tmp_path: Path) -> None:
    name = b"caf\xe9.wav"
    (tmp_path / "list.csv").write_bytes(b"path,group\n" + name + b",g\n")
    (entry,) = listed(tmp_path / "list.csv")
    assert bytes(entry.path).endswith(name)


def test_paths_from_windows(tmp_path: Path) -> None:
    (tmp_path / "wavs").mkdir()
    (tmp_path / "wavs/a.wav").touch()
    (tmp_path / "list.csv").write_text("path\nwavs\\a.wav\n")
    assert listed(tmp_path / "list.csv")[0].path.is_file()


def test_a_file_in_two_groups_is_a_group_of_its_own(tmp_path: Path) -> None:
    lines = [{"audio_filepath": "a.wav", "offset": n, "speaker": who} for n, who in enumerate("xyx")]
    lines += [{"audio_filepath": "b.wav", "offset": n, "speaker": "x"} for n in range(2)]
    (tmp_path / "list.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert [entry.group for entry in listed(tmp_path / "list.jsonl")] == ["a.wav", "x"]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("nul.csv", b"path,group\na\0.wav,x\n"),
        ("utf16-without-a-mark.csv", "path,group\na.wav,x\n".encode("utf-16-le")),
        ("nul.jsonl", b'{"path": "a\0.wav"}\n'),
        ("nul.txt", b"a.wav\n\0\n"),
        ("half.csv", codecs.BOM_UTF16_LE + b"p\0a"),
        ("wav.scp", b"u1 a\0.wav\n"),
        ("columns.csv", b"name,size\na.wav,3\n"),
        ("empty.csv", b""),
        ("header.csv", b"path,group\n"),
        ("deep.jsonl", b"[" * 100_000),
        ("deep2.jsonl", b'{"a":' * 100_000),
        ("digits.jsonl", b'{"path": ' + b"1" * 5000 + b"}"),
        ("cell.csv", b"path\n" + b"a" * 200_000 + b"\n"),
        ("cut.jsonl.gz", gzip.compress(b'{"path": "a.wav"}\n' * 999, mtime=0)[:40]),
        ("no.jsonl.gz", b"no gzip"),
        ("number.jsonl", b"17\n"),
        ("numbers.json", b"[17]"),
    ],
)
def test_a_list_that_cannot_be_read_is_an_error_of_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as refusal:
        find_audio([tmp_path / name])
    assert "\n" not in str(refusal.value) and str(tmp_path / name) in str(refusal.value)
    assert len(str(refusal.value)) < 600


def test_a_manifest_with_nul_in_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    (tmp_path / "manifest.csv").write_bytes("path\na.wav\n".encode("utf-16-le"))
    with pytest.raises(UserError, match=r"manifest\.csv"):
        find_audio([tmp_path])


def test_utf32_is_not_taken_for_utf16(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("path".encode("utf-32"))
    assert read_text(tmp_path / "t", "list") == "path"


def test_time_is_proportional_to_the_number_of_rows(tmp_path: Path) -> None:
    def seconds(count: int) -> float:
        path = tmp_path / f"{count}.csv"
        path.write_text("path,group\n" + "".join(f"s{n % 999}/{n}.wav,s{n % 999}\n" for n in range(count)))
        started = time.perf_counter()
        entries = find_audio([path]).entries
        groups = group_entries(entries, choose_grouping(entries, None))
        clips = (MadeClip(str(e.path), group, e.domain, 3.0, e.relative) for e, group in groups)
        split_clips(clips, SplitRatios.parse("8:1:1"))
        return time.perf_counter() - started

    seconds(1000)
    assert seconds(20_000) < 40 * seconds(2000)  # a hundred times, were it quadratic


def test_files_that_a_list_names_but_that_do_not_exist_are_excluded(tmp_path: Path) -> None:
    write_noise(tmp_path / "a.wav")
    lines = [{"path": "a.wav", "group": 7}, {"path": "gone.wav", "group": 8}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    run_prepare(tmp_path / "list.jsonl", tmp_path / "out", ratios="1:0:0")
    rows = rows_by_name(tmp_path / "out")
    assert (rows["a.wav"].group, rows["a.wav"].status) == ("7", "ok")
    assert rows["gone.wav"].status == "excluded"
    (tmp_path / "bad.jsonl").write_text('{"path": "a.wav"}\n{')
    with pytest.raises(UserError, match="line 2"):
        find_audio([tmp_path / "bad.jsonl"])


def test_texts_reach_the_packed_clips_and_the_arrays_of_earlier_runs_stay(tmp_path: Path) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    for seed, name in enumerate("abc"):
        write_noise(source / f"{name}.wav", seed=seed)
    names = [{"path": f"{name}.wav", "speaker": name} for name in ("a", "b", "c")]
    (source / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in names))
    run_prepare(source / "list.jsonl", out, ratios="1:1:1")
    folder = packed_folder(out, 16000, 1)
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")}
    fingerprint = open_split(out, "val", 16000, 1).fingerprint
    texts = {"a": 'Say "no";\n or, yes', "b": "one word", "c": "übrigens"}
    rows = [{**row, "text": texts[row["speaker"]]} for row in names]
    (source / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    notes: list[str] = []
    run_prepare(source / "list.jsonl", out, notes.append, ratios="1:1:1")
    assert any(line.startswith("3 of 3 files have a text") for line in notes)
    clips = [clip for split in ("train", "val", "test") for clip in list_clips(out, split, 16000, 1)]  # type: ignore[arg-type]
    assert {clip.group: clip.text for clip in clips} == {**texts, "a": 'Say "no"; or, yes'}
    assert {row.group: row.text for row in read_manifest(out)} == {clip.group: clip.text for clip in clips}
    assert {path.name: path.stat().st_mtime_ns for path in folder.glob("*.npy")} == before
    assert open_split(out, "val", 16000, 1).fingerprint == fingerprint


def test_a_text_of_a_part_of_a_file_is_not_that_of_the_file(tmp_path: Path) -> None:
    rows = [
        {"audio_filepath": "whole.wav", "text": "all of it", "offset": 0.0},
        {"audio_filepath": "part.wav", "text": "the second half", "offset": 2.5},
        {"audio_filepath": "twice.wav", "text": "first"},
        {"audio_filepath": "twice.wav", "text": "second"},
        {"audio_filepath": "common.wav", "sentence": " of  Common Voice "},
    ]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = {entry.path.stem: entry.text for entry in listed(tmp_path / "list.jsonl")}
    assert found == {"whole": "all of it", "part": "", "twice": "", "common": "of Common Voice"}


def test_a_row_of_a_shorter_duration_gives_no_text_to_its_file(tmp_path: Path) -> None:
    durations = {"whole": 1.0, "rounded": "0.99", "part": 0.5, "longer": 1000, "words": "a second"}
    for seed, name in enumerate(durations):
        write_noise(tmp_path / f"{name}.wav", seconds=1.0, seed=seed)
    rows = [
        {"audio_filepath": f"{name}.wav", "text": name, "offset": 0.0, "duration": duration}
        for name, duration in durations.items()
    ]
    (tmp_path / "list.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    run_prepare(tmp_path / "list.jsonl", tmp_path / "out", ratios="1:0:0")
    texts = {name: row.text for name, row in rows_by_name(tmp_path / "out").items()}
    assert texts == {f"{name}.wav": "" if name == "part" else name for name in durations}


def test_a_benchmark_can_be_all_test(tmp_path: Path) -> None:
    source = tmp_path / "in"
    for seed, name in enumerate("ab"):
        write_noise(source / f"{name}/1.wav", seed=seed)
    run_prepare(source, tmp_path / "out", ratios="0:0:1")
    assert {row.split for row in read_manifest(tmp_path / "out")} == {"test"}
    with pytest.raises(UserError, match="0:0:0"):
        run_prepare(source, tmp_path / "other", ratios="0:0:0")


def test_lists_and_manifests_are_read_and_written_as_parquet(tmp_path: Path) -> None:
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    names, groups = ["a.wav", "b.wav"], ["ann", None]
    cells = {"path": names, "speaker": groups, "year": [1990, 1991], "vector": [[1.0], [2.0]]}
    parquet.write_table(pyarrow.table(cells), tmp_path / "list.parquet")
    first, second = listed(tmp_path / "list.parquet")
    assert (first.path, first.group, second.group) == (tmp_path / "a.wav", "ann", "")
    assert first.fields == {"path": "a.wav", "speaker": "ann", "year": "1990"}
    (tmp_path / "bad.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"bad\.parquet"):
        listed(tmp_path / "bad.parquet")
    row = ManifestRow("/\udcff.wav", "s", "speech", "g", "train", "ok", "", 1.5, 16000, 1, "WAV", -1, -2, -3, 4, "0")
    rows = RowTable(Store(), "rows")
    rows.add([row, replace(row, path="/z.wav")])
    write_manifest(tmp_path, rows, Grouping(None, "folder"), before=0)
    table = parquet.read_table(tmp_path / PARQUET_NAME).to_pylist()
    assert [line["path"] for line in table] == ["/z.wav", "/\\xff.wav"] and table[0]["seconds"] == 1.5
    assert [line.path for line in read_rows(tmp_path / MANIFEST_NAME)] == ["/z.wav", row.path]


def test_one_table_of_any_name_in_a_folder_is_its_list(tmp_path: Path) -> None:
    """With columns in capitals; two such tables, or one that names no file, are not taken for lists."""
    for name in ("1.wav", "2.wav", "3.wav"):
        write_noise(tmp_path / name)
    (tmp_path / "notes.csv").write_text("day,weather\n1,fair\n")
    (tmp_path / "speakers.csv").write_text("File Name;Speaker ID;Domain\n1.wav;anna;speech\n2.wav;ben;music\n")
    found = {entry.relative: (entry.group, entry.domain) for entry in listed(tmp_path)}
    assert found == {"1.wav": ("anna", "speech"), "2.wav": ("ben", "music")}
    (tmp_path / "more.tsv").write_text("path\tspeaker\n3.wav\tanna\n")
    assert {entry.group for entry in listed(tmp_path)} == {""}
    (tmp_path / "speakers.csv").unlink()
    (tmp_path / "more.tsv").write_text("path\tspeaker\nelsewhere.wav\tanna\n")
    assert len(listed(tmp_path)) == 3
