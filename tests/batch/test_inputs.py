"""The files that a batch takes, and the paths of their outputs."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.inputs import FileKinds, find_inputs
from codec.batch.jobs import BatchOptions, Job, name_outputs, unique_jobs
from codec.batch.tokenize import encode_tokens
from codec.cli import FAILED, main
from codec.coding.options import CodingOptions
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import load_model
from tests.helpers.coding import write_noise


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    for name in ("a.wav", "x/a.wav", "x/y/b.flac", "x/y/notes.txt", "x/.hidden.wav", "z/c[1].wav"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(*sources: str, **options) -> list[str]:
    found = find_inputs([Path(source) for source in sources], FileKinds("sound files", {".wav", ".flac"}), **options)
    jobs = unique_jobs(Job(path, Path("out", f"{place}.nac")) for path, place in name_outputs(found.files))
    assert all(job.source.is_file() for job in jobs)
    return sorted(str(job.target.relative_to("out")) for job in jobs)


@pytest.mark.parametrize(
    ("source", "targets"),
    [
        ("in", "a.nac x/a.nac x/y/b.nac z/c[1].nac"),
        ("in/x/y/notes.txt", "notes.nac"),
        ("in/*", "a.nac x/a.nac x/y/b.nac z/c[1].nac"),
        ("in/*.wav", "a.nac"),
        ("in/**/*.wav", "a.nac x/a.nac z/c[1].nac"),
        ("in/**", "a.nac x/a.nac x/y/b.nac z/c[1].nac"),
        ("in/[xz]/?.wav", "x/a.nac"),
        ("in/x/*/b.*", "y/b.nac"),
        ("in/z/c[1].wav", "c[1].nac"),
    ],
)
def test_files_folders_and_patterns_keep_the_tree(tree, source, targets):
    assert planned(source) == targets.split()
    assert planned(str(tree / source)) == targets.split()


def test_files_that_differ_only_in_their_suffix_keep_it(tmp_path, codec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.flac", "a.wav", "b.wav", "x/a.wav", "x/a.b.wav"), 1):
        write_noise(Path("in") / name, number / 10)
    for sources in (["in"], ["in", "in/a.wav", "in/../in/a.wav"]):
        assert planned(*sources) == "a.flac.nac a.wav.nac b.nac x/a.b.nac x/a.nac".split()
    assert not encode_batch([Path("in")], Path("nac"), LoadedModel(codec)).failures
    assert not decode_batch([Path("nac")], Path("out"), LoadedModel(codec)).failures
    assert not encode_tokens([Path("in")], Path("tok"), LoadedModel(codec)).failures
    assert not decode_batch([Path("tok")], Path("out2"), LoadedModel(codec)).failures
    for out in (Path("out"), Path("out2")):
        lengths = {str(path.relative_to(out)): soundfile.info(path).frames for path in out.rglob("*.wav")}
        assert lengths == {"a.flac.wav": 1600, "a.wav.wav": 3200, "b.wav": 4800, "x/a.wav": 6400, "x/a.b.wav": 8000}


@pytest.mark.parametrize(
    ("lines", "targets"),
    [
        ("in/x/a.wav\nin/x/y/b.flac\n", "a.nac y/b.nac"),
        ("in/a.wav\r\n\r\nin/x/a.wav\r\n", "a.nac x/a.nac"),
        ("{place}/in/a.wav\nin/x/y/", "a.nac x/y/b.nac"),
        ("in/x\nin/z/*.wav", "x/a.nac x/y/b.nac z/c[1].nac"),
        ("in/x/y/b.flac", "b.nac"),
    ],
)
def test_lists_keep_the_tree_that_their_lines_share(tree, lines, targets):
    Path("list").write_text(lines.format(place=tree), newline="")
    assert planned(lists=[Path("list")]) == targets.split()


def test_lists_of_other_systems_are_read(tree):
    for encoding in ("utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        mark = "\ufeff" if encoding[-3:] in ("-le", "-be") else ""
        Path("list").write_bytes((mark + "in/x/a.wav\r\nin/x/y/b.flac\r\n").encode(encoding))
        assert planned(lists=[Path("list")]) == ["a.nac", "y/b.nac"], encoding
    whole = Path("list").read_bytes()
    for wrong in (whole[:-1], "in/x/a.wav".encode("utf-16-le"), b"in/x/a.wav\0"):
        Path("list").write_bytes(wrong)
        with pytest.raises(UserError) as error:
            planned(lists=[Path("list")])
        assert str(error.value).startswith("list: ") and "\n" not in str(error.value)


def test_links_are_followed_in_folders_lists_and_patterns(tree):
    """Loops of links end, and a folder that is reached by two ways is taken once."""
    for link, to in (("in/x/up", "in"), ("in/up", "in"), ("in/b", "in/z"), ("in/far", "far"), ("in/z/far", "far")):
        (tree / link).symlink_to(tree / to)
    (tree / "far").mkdir()
    (tree / "far/d.wav").touch()
    every = ["a.nac", "far/d.nac", "x/a.nac", "x/y/b.nac", "z/c[1].nac"]
    Path("list").write_text("in\n")
    assert planned("in") == planned(lists=[Path("list")]) == planned("in/**") == planned("in/**/*.*") == every
    assert planned("in/*") == planned("in/[a-z]*") == every
    assert planned("**/d.wav") == ["far/d.nac"]
    assert planned("in/far") == planned("in/z/far/*") == ["d.nac"]


def test_files_left_out_are_counted(tmp_path, model, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    write_noise(Path("in/x.wav"))
    for name in ("notes.txt", "x/more.TXT", "cover.jpg", "README", "old.nac", "tokens-000000.tar", "._x.wav", ".b.txt"):
        Path("in/x").mkdir(exist_ok=True)
        (Path("in") / name).write_bytes(bytes.fromhex("00051607") + bytes(4096))
    Path("in/b.mp3").touch()

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words, "--model", str(model)])
        return ended.value.code, *capsys.readouterr()

    counts = {".txt": 2, "": 1, ".jpg": 1}
    for command in ("encode", "tokens"):
        status, told, complaints = run(command, "in", "--out", command, "--json")
        assert status == FAILED and complaints.count("in/b.mp3: ") == 1
        summary = json.loads(told)["summary"]
        assert (summary["done"], summary["failed"], summary["left_out"]) == (1, 1, counts)
        assert [one["source"] for one in json.loads(told)["failed"]] == ["in/b.mp3"]
    Path("in/b.mp3").unlink()
    status, told, _ = run("encode", "in/**", "in/x.wav", "--out", "encode")
    assert status == 0 and told.splitlines()[-1].startswith("others  4 files of other kinds were left out: 2 .txt, ")
    status, told, _ = run("encode", "in/*.wav", "--out", "encode")
    assert status == 0 and "left out" not in told
    status, told, _ = run("decode", "in", "encode", "--out", "in", "--json")
    assert json.loads(told)["summary"]["left_out"] == counts
    with pytest.raises(UserError, match=r"in/x: .*1 \.txt"):
        encode_batch([Path("in/x")], Path("none"), load_model(str(model)))


def test_inputs_without_files_are_refused(tree):
    Path("blank").write_text("\n \n")
    Path("wrong").write_text("in/*.ogg\n")
    for sources, lists, says in (
        ([], [], "--list"),
        (["in/*.mp3"], [], r"^in/\*.mp3: "),
        (["in/x/y/*.txt"], [], r"^in/x/y/\*.txt: "),
        ([], ["blank"], "^blank: "),
        ([], ["wrong"], r"^in/\*.ogg: "),
        ([], ["none"], "^none: "),
        (["in/x/a.wav"], ["wrong"], r"^in/\*.ogg: "),
        (["in/a.wav", "in/x/a.wav"], [], "in/a.wav and in/x/a.wav .* out/a.nac"),
    ):
        with pytest.raises(UserError, match=says) as error:
            planned(*sources, lists=[Path(path) for path in lists])
        assert "\n" not in str(error.value)


def test_metadata_files_of_other_systems_are_ignored(tmp_path, codec):
    """What macOS puts beside files on foreign disks looks like one of them by its suffix."""
    soundfile.write(tmp_path / "x.mp3", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    (tmp_path / "._x.mp3").write_bytes(bytes.fromhex("0005160700020000") + bytes(4088))
    for sources in ([tmp_path], [tmp_path / "x.mp3"]):
        batch = encode_batch(sources, tmp_path / "out", LoadedModel(codec), CodingOptions(), BatchOptions(force=True))
        assert [one.source.name for one in batch.reports] == ["x.mp3"] and not batch.failures
    (failure,) = encode_batch([tmp_path / "._x.mp3"], tmp_path / "out", LoadedModel(codec)).failures
    assert "no such file" not in failure.reason.lower()


def test_control_characters_in_names_are_escaped(tmp_path, model, capsys):
    name = "bad\x1b]0;title\x07\nname\u202e.wav"
    (tmp_path / name).write_text("no sound")
    with pytest.raises(SystemExit):
        main(["encode", str(tmp_path), "--out", str(tmp_path / "out"), "--model", str(model)])
    _, complaints = capsys.readouterr()
    (line,) = [line for line in complaints.replace("\r", "\n").split("\n") if "error" in line]
    assert "bad\\x1b]0;title\\x07\\nname\\u202e.wav" in line and line.isprintable()
