"""Batches as their users type them: what is taken, where it goes, on how many processes, and what is told."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.inputs import FileKinds, find_inputs
from codec.batch.jobs import BatchOptions, Job, name_outputs, unique_jobs
from codec.batch.progress import BatchProgress
from codec.batch.runner import attempt
from codec.batch.tokenize import encode_tokens
from codec.cli import FAILED, main
from codec.coding.options import CodingOptions, DecodingOptions
from codec.coding.pipes import encode_stream
from codec.coding.report import BatchReport, Failure
from codec.coding.shards import read_array
from codec.coding.shards import read_shard as shard_contents
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder, load_model


def make(path: Path, seconds: float = 0.5, rate: int = 16000, channels: int = 1, gain: float = 0.1, **how) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(len(path.name)).uniform(-1, 1, (int(seconds * rate), channels))
    soundfile.write(path, gain * wave, rate, **how)
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- what is taken, and where it goes -----------------------------------------------------------


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


def test_files_that_differ_in_their_suffix_alone_keep_it(tmp_path, codec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("a.flac", "a.wav", "b.wav", "x/a.wav", "x/a.b.wav"), 1):
        make(Path("in") / name, number / 10)
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


def test_links_are_followed_alike_in_folders_lists_and_patterns(tree):
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


def test_what_is_not_read_is_named(tmp_path, model, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make(Path("in/x.wav"))
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


def test_inputs_that_name_nothing_are_one_line(tree):
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


# --- several processes ---------------------------------------------------------------------------


def test_processes_write_what_one_writes_and_report_the_same(tmp_path, codec, model):
    for number, rate in enumerate((16000, 8000, 44100)):
        make(tmp_path / f"in/{number}/{'a' * number}b.wav", 1.0 + number, rate, channels=1 + number)
    encode_batch([tmp_path / "in"], tmp_path / "nac", LoadedModel(codec))
    (tmp_path / "nac/1/bad.nac").write_text("no codes")
    alone = decode_batch([tmp_path / "nac"], tmp_path / "1", LoadedModel(codec))
    spread = decode_batch(
        [tmp_path / "nac"], tmp_path / "2", ModelFinder([model]), DecodingOptions(), BatchOptions(workers=2)
    )
    assert contents(tmp_path / "1") == contents(tmp_path / "2") and len(alone.reports) == 3
    assert [one.source for one in spread.reports] == [one.source for one in alone.reports]
    assert spread.failures == alone.failures and len(alone.failures) == 1
    assert replace(spread.summary, times_real_time=0.0) == replace(alone.summary, times_real_time=0.0)
    again = decode_batch(
        [tmp_path / "nac"], tmp_path / "2", ModelFinder([model]), DecodingOptions(), BatchOptions(workers=2)
    )
    assert (len(again.reports), len(again.skipped), len(again.failures)) == (0, 3, 1)


HANGS_S = 600
"""What takes longer than this never ends, on the slowest of machines."""


def children(process: int) -> list[int]:
    """Processes that it started and that have begun with the work they were started for."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_text()
        except OSError:
            continue
        if parent == process and "spawn_main" in command:
            found.append(int(place.name))
    return found


def until(true: Callable[[], object]) -> None:
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < HANGS_S
        time.sleep(0.01)


@pytest.fixture(params=["-j 2"])
def busy(request, tmp_path, model, interruptible):
    """``codec encode`` of two long files and two short ones, when it writes one of the long ones."""
    for name in ("a", "bb"):
        (tmp_path / "in").mkdir(exist_ok=True)
        soundfile.write(tmp_path / f"in/{name}.wav", np.zeros(600 * 16000, np.int16), 16000)
    make(tmp_path / "in/ccc.wav")
    make(tmp_path / "in/dddd.wav", 2.0, 44100, 2)
    words = ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", model, "--json", *request.param.split()]
    process = subprocess.Popen(
        [sys.executable, "-m", "codec", *map(str, words)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        until(lambda: process.poll() is not None or begun(tmp_path / "out"))
        yield process
    finally:
        process.kill()
        process.communicate()


def begun(folder: Path) -> list[tuple[str, int]]:
    """Names of the files that are being written, and the processes that write them."""
    parts = [path.name.split(".") for path in folder.glob(".*.part")]
    return [(name, int(process)) for _, name, _, process, _ in parts]


@pytest.mark.parametrize(
    ("busy", "number", "kill"),
    [
        ("-j 1", signal.SIGTERM, os.kill),
        ("-j 2", signal.SIGTERM, os.kill),
        ("-j 2", signal.SIGINT, os.killpg),
        ("--batch 3", signal.SIGTERM, os.kill),
        ("--batch 2", signal.SIGINT, os.killpg),
    ],
    indirect=["busy"],
)
def test_interrupts_end_all_files_at_once_and_leave_nothing_half_written(busy, tmp_path, number, kill):
    workers = children(busy.pid)
    kill(busy.pid, number)
    out, complaints = busy.communicate(timeout=60)
    assert busy.returncode == 130 and out == "" and "Traceback" not in complaints
    assert re.findall("codec: error: (.*)", complaints) == ["interrupted; run the same command again to go on"]
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not begun(tmp_path / "out") and not {"a.nac", "bb.nac"} & contents(tmp_path / "out").keys()


def test_processes_leave_interrupts_to_their_parent(busy):
    """A terminal sends Ctrl-C to all of them."""
    workers = children(busy.pid)
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker, signal.SIGINT)
    out, complaints = busy.communicate(timeout=HANGS_S)
    assert busy.returncode == 0 and len(json.loads(out)["done"]) == 4 and "Traceback" not in complaints


def test_a_process_that_is_killed_costs_its_file_alone(busy, tmp_path, codec):
    (source, process), *_ = begun(tmp_path / "out")
    assert process in children(busy.pid)
    os.kill(process, signal.SIGKILL)
    out, complaints = busy.communicate(timeout=HANGS_S)
    told = json.loads(out)
    assert busy.returncode == 1 and [Path(one["source"]).stem for one in told["failed"]] == [source]
    assert told["failed"][0]["reason"] in complaints and "signal 9" in told["failed"][0]["reason"]
    (tmp_path / f"in/{source}.wav").unlink()
    assert not encode_batch([tmp_path / "in"], tmp_path / "alone", LoadedModel(codec)).failures
    assert contents(tmp_path / "out") == contents(tmp_path / "alone") and len(told["done"]) == 3


def test_processes_end_and_clean_up_when_their_parent_is_killed(busy, tmp_path):
    workers = children(busy.pid)
    os.kill(busy.pid, signal.SIGKILL)
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
    assert not begun(tmp_path / "out")


def test_two_commands_on_one_folder_do_not_harm_each_other(tmp_path, model, codec):
    for number in range(6):
        make(tmp_path / f"in/{'a' * number}b.wav", 2.0, channels=1 + number % 2)
    words = ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", model]
    both = [
        subprocess.Popen(
            [sys.executable, "-m", "codec", *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        for _ in range(2)
    ]
    complaints = [one.communicate()[1].decode() for one in both]
    assert [one.returncode for one in both] == [0, 0] and "error" not in "".join(complaints)
    assert len(encode_batch([tmp_path / "in"], tmp_path / "alone", LoadedModel(codec)).reports) == 6
    assert contents(tmp_path / "out") == contents(tmp_path / "alone")


def test_parts_of_killed_processes_are_removed(tmp_path, codec):
    make(tmp_path / "in/a.wav")
    (out := tmp_path / "out").mkdir()
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    old = [f".a.nac.{gone.pid}.part", f".a.nac.{os.getppid()}.part", f".b.nac.{gone.pid}.part", ".a.nac.x.part"]
    for name in old:
        (out / name).touch()
        os.utime(out / name, (1e9, 1e9))
    encode_batch([tmp_path / "in"], out, LoadedModel(codec))
    assert sorted(contents(out)) == sorted([*old[1:], "a.nac"])
    (out / old[0]).touch()  # by a process of this number on another machine
    encode_batch([tmp_path / "in"], out, LoadedModel(codec))
    assert (out / old[0]).exists()


def test_companions_of_other_systems_are_passed_over(tmp_path, codec):
    """What macOS puts beside files on foreign disks looks like one of them by its suffix."""
    soundfile.write(tmp_path / "x.mp3", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    (tmp_path / "._x.mp3").write_bytes(bytes.fromhex("0005160700020000") + bytes(4088))
    for sources in ([tmp_path], [tmp_path / "x.mp3"]):
        batch = encode_batch(sources, tmp_path / "out", LoadedModel(codec), CodingOptions(), BatchOptions(force=True))
        assert [one.source.name for one in batch.reports] == ["x.mp3"] and not batch.failures
    (failure,) = encode_batch([tmp_path / "._x.mp3"], tmp_path / "out", LoadedModel(codec)).failures
    assert "no such file" not in failure.reason.lower()


def test_control_characters_of_names_do_not_reach_the_terminal(tmp_path, model, capsys):
    name = "bad\x1b]0;title\x07\nname\u202e.wav"
    (tmp_path / name).write_text("no sound")
    with pytest.raises(SystemExit):
        main(["encode", str(tmp_path), "--out", str(tmp_path / "out"), "--model", str(model)])
    _, complaints = capsys.readouterr()
    (line,) = [line for line in complaints.replace("\r", "\n").split("\n") if "error" in line]
    assert "bad\\x1b]0;title\\x07\\nname\\u202e.wav" in line and line.isprintable()


# --- what is there already ------------------------------------------------------------------------


def refused(batch: BatchReport) -> list[str]:
    assert not batch.reports and not batch.skipped
    assert all("--force" in one.reason for one in batch.failures)
    return [one.path.name for one in batch.failures]


def test_nothing_is_replaced_but_earlier_outputs(tmp_path, codec):
    """In a folder of sounds with their .nac files beside them, and where other sounds have the same names."""
    x, y = tmp_path / "x", tmp_path / "y"
    for name in ("a.wav", "b.wav"):
        make(x / name)
    assert len(encode_batch([x], x, LoadedModel(codec), CodingOptions(codebooks=2)).reports) == 2
    before = contents(x)
    for mtime in (1e9, 2e9):  # originals older and newer than what was made of them
        os.utime(x / "a.wav", (mtime, mtime))
        assert refused(decode_batch([x], x, LoadedModel(codec))) == ["a.nac", "b.nac"]
    assert contents(x) == before
    assert len(decode_batch([x], x, LoadedModel(codec), DecodingOptions(), BatchOptions(force=True)).reports) == 2
    assert len(decode_batch([x], x, LoadedModel(codec), bits="24").reports) == 2  # earlier outputs by now

    # by now the .nac files are the nearest to an original that there is
    assert refused(encode_batch([x], x, LoadedModel(codec), CodingOptions(codebooks=3))) == ["a.wav", "b.wav"]
    make(y / "a.wav", 0.7)
    assert refused(encode_batch([y / "a.wav"], x, LoadedModel(codec), CodingOptions(codebooks=2))) == ["a.wav"]
    assert all(contents(x)[name] == before[name] for name in ("a.nac", "b.nac"))
    make(y / "b.wav")
    (y / "b.nac").write_text("other work")
    assert refused(encode_batch([y / "b.wav"], y, LoadedModel(codec))) == ["b.wav"]
    (y / "a.nac").symlink_to("nowhere")
    assert refused(encode_batch([y / "a.wav"], y, LoadedModel(codec))) == ["a.wav"]
    assert (
        not encode_batch([y], y, LoadedModel(codec), CodingOptions(), BatchOptions(force=True)).failures
        and not (y / "a.nac").is_symlink()
    )


def test_a_single_file_becomes_the_file_that_out_names(tmp_path, codec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = make(Path("a.wav")), make(Path("b.wav"))
    encode_batch([a], Path("nac"), LoadedModel(codec))
    assert encode_batch([a], Path("new/one.nac"), LoadedModel(codec)).reports[0].target == Path("new/one.nac")
    assert contents(Path("new")) == {"one.nac": Path("nac/a.nac").read_bytes()}
    assert encode_batch([a], Path("new/one.nac"), LoadedModel(codec)).skipped
    assert refused(encode_batch([make(Path("c.wav"), 0.7)], Path("new/one.nac"), LoadedModel(codec))) == ["c.wav"]
    for suffix in (".wav", ".flac", ".ogg"):
        assert decode_batch([Path("new/one.nac")], Path(f"new/x{suffix}"), LoadedModel(codec)).reports
        assert decode_batch([Path("new/one.nac")], Path(f"new/x{suffix}"), LoadedModel(codec)).skipped
        assert soundfile.info(f"new/x{suffix}").format == suffix[1:].upper()
    assert refused(decode_batch([Path("new/one.nac")], a, LoadedModel(codec))) == ["one.nac"]
    before = contents(tmp_path)
    for run, what, out, more, says in (
        (encode_batch, [a, b], "two.nac", {}, "two.nac: one file, but 2 are to be written; name a folder"),
        (encode_batch, [a], "a.wav", {}, "a.wav: encode writes .nac files"),
        (decode_batch, [Path("nac"), Path("new")], "two.wav", {}, "two.wav: one file, but 2"),
        (decode_batch, [Path("new/one.nac")], "x.wav", {"suffix": ".flac"}, "--suffix .flac"),
        (decode_batch, [Path("new/one.nac")], "x.mp3", {}, "cannot decode to '.mp3'; use one of .wav"),
    ):
        with pytest.raises(UserError, match=says):
            run(what, Path(out), codec, **more)
    assert contents(tmp_path) == before
    Path("folder.nac").mkdir()
    assert encode_batch([a], Path("folder.nac"), LoadedModel(codec)).reports[0].target == Path("folder.nac/a.nac")
    assert encode_tokens([a], Path("tok"), LoadedModel(codec)).reports
    assert decode_batch([Path("tok")], Path("new/token.wav"), LoadedModel(codec)).reports[0].target == Path(
        "new/token.wav"
    )


# --- what goes in, and what comes out ------------------------------------------------------------

SOURCES = [
    *((".wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *((".flac", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
    *((".aiff", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    (".ogg", "VORBIS"),
    (".mp3", "MPEG_LAYER_III"),
]


def test_every_kind_of_source_is_coded_like_its_samples_in_float(tmp_path, codec):
    """One channel to eight (MP3 and Ogg: two), at rates that are no one's own."""
    for number, (suffix, subtype) in enumerate(SOURCES):
        channels = 1 + number % (2 if suffix in (".mp3", ".ogg") else 8)
        source = make(tmp_path / f"in/{suffix[1:]}_{subtype}{suffix}", 0.3, 22050, channels, subtype=subtype)
        samples = soundfile.read(source, dtype="float32", always_2d=True)[0]
        source = tmp_path / f"float/{source.stem}.wav"
        source.parent.mkdir(exist_ok=True)
        soundfile.write(source, samples, 22050, subtype="FLOAT")
    assert not encode_batch([tmp_path / "in"], tmp_path / "nac", LoadedModel(codec)).failures
    assert not encode_batch([tmp_path / "float"], tmp_path / "expected", LoadedModel(codec)).failures
    assert contents(tmp_path / "nac") == contents(tmp_path / "expected")
    assert not decode_batch([tmp_path / "nac"], tmp_path / "out", LoadedModel(codec), suffix="flac").failures
    for path in (tmp_path / "float").iterdir():
        source, back = soundfile.info(path), soundfile.info(tmp_path / f"out/{path.stem}.flac")
        assert (back.frames, back.samplerate, back.channels) == (source.frames, 22050, source.channels)


@pytest.mark.parametrize(
    ("suffix", "bits", "subtype"),
    [
        *((".wav", None, "PCM_16"), (".wav", "16", "PCM_16"), (".wav", "24", "PCM_24"), (".wav", "32f", "FLOAT")),
        *((".flac", None, "PCM_16"), (".flac", "24", "PCM_24"), (".ogg", None, "VORBIS")),
    ],
)
def test_bits_of_the_output_and_peaks_beyond_full_scale(tmp_path, codec, suffix, bits, subtype):
    rate, loud = 16000, 4.0
    noise = np.convolve(np.random.default_rng(0).standard_normal(rate), np.hanning(99))
    soundfile.write(tmp_path / "a.wav", loud * noise / np.abs(noise).max(), rate, subtype="FLOAT")
    assert not encode_batch([tmp_path / "a.wav"], tmp_path, LoadedModel(codec)).failures
    decode_batch([tmp_path / "a.nac"], tmp_path / "float", LoadedModel(codec), bits="32f")
    truth, _ = soundfile.read(tmp_path / "float/a.wav")
    beyond = int((np.abs(truth) > 1).sum())

    batch = decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=bits)
    path = tmp_path / f"out/a{suffix}"
    assert soundfile.info(path).subtype == subtype
    back, _ = soundfile.read(path)
    if subtype == "FLOAT":
        assert batch.summary.clipped_samples == 0 and (back == truth).all()
    else:
        assert batch.summary.clipped_samples == beyond > 0
        assert f"{beyond:,} samples beyond full scale" in batch.summary.text()
        if suffix != ".ogg":  # clipped, not wrapped around
            step = 2.0 ** (1 - int(bits or 16))
            np.testing.assert_allclose(back, truth.clip(-1, 1 - step), atol=0.51 * step)
    assert decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=bits).skipped
    if suffix != ".ogg":
        other = "24" if bits != "24" else "16"
        assert decode_batch(
            [tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=other
        ).reports


def test_sound_above_the_band_of_the_model_is_told_of(tmp_path, model, capsys):
    time = np.arange(96000) / 48000
    low = 0.3 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "speech.wav", low, 48000)
    soundfile.write(tmp_path / "music.wav", low + 0.1 * np.sin(2 * np.pi * 12000 * time), 48000)
    for command in ("encode", "tokens"):
        words = [command, str(tmp_path), "--out", str(tmp_path / command), "--model", str(model)]
        with pytest.raises(SystemExit) as ended:
            main([*words, "--json"])
        told = json.loads(capsys.readouterr().out)
        assert ended.value.code == 0 and told["summary"]["above_band"] == 1
        shares = {Path(one["source"]).stem: one["above_band_share"] for one in told["done"]}
        assert shares["music"] == pytest.approx(0.1, abs=0.002) and shares["speech"] < 1e-6
        with pytest.raises(SystemExit) as ended:
            main([*words, "--force"])
        assert ended.value.code == 0 and "1 file has sound above the band" in capsys.readouterr().out


def test_samples_of_sources_beyond_full_scale_are_counted(tmp_path, codec):
    wave = np.full(5000, 0.5, np.float32)
    wave[100:130], wave[200], wave[300] = -7.8, 1.0, -1.0
    soundfile.write(tmp_path / "loud.wav", wave, 16000, subtype="FLOAT")
    make(tmp_path / "good.wav")
    coded = encode_batch([tmp_path], tmp_path / "nac", LoadedModel(codec))
    assert [(report.source.name, report.over_full_scale) for report in coded.reports] == [
        ("good.wav", 0),
        ("loud.wav", 30),
    ]
    assert "30 samples" in coded.summary.text()
    assert encode_tokens([tmp_path / "loud.wav"], tmp_path / "tok", LoadedModel(codec)).summary.too_loud_samples == 30
    quiet = encode_batch([tmp_path / "good.wav"], tmp_path / "one", LoadedModel(codec))
    assert quiet.summary.too_loud_samples == 0 and "loud" not in quiet.summary.text()
    with (tmp_path / "loud.wav").open("rb") as source, (tmp_path / "live.nac").open("wb") as output:
        assert encode_stream(source, output, LoadedModel(codec)).over_full_scale == 30


@pytest.mark.parametrize(("suffix", "bits", "says"), [(".flac", "32f", ".wav"), (".ogg", "16", ".wav or .flac")])
def test_bits_that_a_format_cannot_hold_are_one_line(tmp_path, codec, suffix, bits, says):
    with pytest.raises(UserError, match=f"^{suffix} .*{bits} bits.* --suffix {says}"):
        decode_batch([tmp_path], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=bits)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "channels", "says"),
    [(0.0, 1, "FLAC cannot hold a sound without samples"), (0.1, 9, "FLAC holds at most 8 channels, not 9")],
)
def test_sounds_that_flac_cannot_hold_are_one_line(tmp_path, codec, seconds, channels, says):
    make(tmp_path / "a.wav", seconds, channels=channels)
    assert not encode_batch([tmp_path / "a.wav"], tmp_path, LoadedModel(codec)).failures
    (failure,) = decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=".flac").failures
    assert f"{says}; use --suffix .wav" in failure.reason and not contents(tmp_path / "out")
    for suffix in (".wav", ".ogg"):
        assert decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix).reports
        assert soundfile.info(tmp_path / f"out/a{suffix}").frames == 16000 * seconds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_files_are_coded_on_a_gpu(tmp_path, codec, model):
    for number, rate in enumerate((16000, 8000, 44100)):
        make(tmp_path / f"in/{number}.wav", 10.0 + number, rate, channels=1 + number)
    there = load_model(str(model), "cuda")
    for place, one, models in (
        ("cpu", LoadedModel(codec), ModelFinder([model])),
        ("gpu", there, ModelFinder([model], "cuda")),
    ):
        assert not encode_batch(
            [tmp_path / "in"],
            tmp_path / f"nac/{place}",
            one,
            CodingOptions(kbps=1),
            BatchOptions(concurrent_files=3),
        ).failures
        assert not encode_tokens(
            [tmp_path / "in"], tmp_path / f"tok/{place}", one, BatchOptions(concurrent_files=3)
        ).failures
        assert not decode_batch(
            [tmp_path / "nac/cpu"],
            tmp_path / f"wav/{place}",
            models,
            DecodingOptions(),
            BatchOptions(concurrent_files=3),
            bits="32f",
        ).failures
    for name in ("0", "1", "2"):
        shards = [shard_contents(path).samples for path in (tmp_path / "tok").rglob("*.tar")]
        codes = [read_array(sample) for samples in shards for sample in samples if sample.key == name]
        assert (codes[0] == codes[1]).mean() > 0.999
        waves = [soundfile.read(tmp_path / f"wav/{place}/{name}.wav")[0] for place in ("cpu", "gpu")]
        np.testing.assert_allclose(*waves, atol=1e-3)


# --- what is told ---------------------------------------------------------------------------------


def test_bit_rates_that_the_model_does_not_have_are_told_of_beforehand(tmp_path, codec):
    one, two, bad = make(tmp_path / "a.wav"), make(tmp_path / "b.wav", channels=2), tmp_path / "bad.wav"
    least, *_, most = LoadedModel(codec).expected_kbps(1)
    for sources, kbps, says in (
        ([one], 0.9 * least, f"--kbps {0.9 * least:g}"),
        ([one], 1.1 * least, ""),
        ([one, two], 0.9 * most, "below" if 0.9 * most < 2 * least else ""),
        ([two], 1.1 * most, ""),
        ([bad, two, one], 1.1 * most, f"{most:.2g} kbit/s for 1 channel; --kbps {1.1 * most:g}"),
        ([two], 2.2 * most, "kbit/s for 2 channels;"),
    ):
        said: list[str] = []
        encode_batch(
            sources,
            tmp_path / "out",
            LoadedModel(codec),
            CodingOptions(kbps=kbps),
            BatchOptions(force=True),
            note=said.append,
        )
        assert len(said) == bool(says) and says in "".join(said), (kbps, said)


def test_progress_is_right_where_lengths_were_not_stated_or_wrong(capsys):
    short, long = Job(Path("short"), Path("a")), Job(Path("long"), Path("b"))
    with BatchProgress("encode", {short: 1.0, long: 7200.0}) as bar:
        for job in (short, long):
            for _ in range(2):
                bar.advance(job, 36.0)
            bar.end(job)
    lines = [line for line in capsys.readouterr().err.replace("\r", "\n").splitlines() if "2 files" in line]
    assert "2/2 files, 0.04/0.04 h 100%" in lines[-1]
    with BatchProgress("encode", {short: 0.0}) as bar:
        bar.end(short)
    assert "1/1 files, 0.00/0.00 h 100%" in capsys.readouterr().err


@pytest.mark.parametrize("error", [MemoryError, RecursionError])
def test_a_file_that_takes_too_much_memory_costs_itself_alone(error):
    def work() -> None:
        raise error

    found = attempt(Path("x.wav"), work)
    assert isinstance(found, Failure) and found.reason.startswith("x.wav: ")


def test_summary_and_progress_bar_tell_what_the_files_say(tmp_path, model, monkeypatch, capsys):
    make(tmp_path / "in/a.wav", 18.0)
    make(tmp_path / "in/bb.wav", 18.0, 8000, 2)
    (tmp_path / "in/bad.wav").write_text("no sound")
    monkeypatch.chdir(tmp_path)

    def run(*more: str) -> tuple[str, str]:
        with pytest.raises(SystemExit) as ended:
            main(["encode", "in", "--out", "out", "--model", str(model), *more])
        assert ended.value.code == FAILED
        return capsys.readouterr()

    shown, bars = run()
    files = contents(tmp_path / "out")
    size = sum(map(len, files.values()))
    lines = dict(line.split(maxsplit=1) for line in shown.splitlines())
    assert lines["files"] == "2 done, 0 were there already, 1 failed"
    assert lines["audio"] == "0.010 hours" and lines["size"] == f"{size:,} bytes"
    assert lines["rate"].startswith(f"{8 * size / 36 / 1000:.2f} kbit/s, ")
    last = [line for line in bars.replace("\r", "\n").splitlines() if "%|" in line][-1]
    assert re.match(r"encode 3/3 files, 0\.01/0\.01 h 100%\|.*\| \[\d\d:\d\d<\d\d:\d\d, \d+ x real time\]", last), last

    told = json.loads(run("--force", "--json")[0])
    assert contents(tmp_path / "out") == files
    summary = told["summary"]
    assert (summary["done"], summary["skipped"], summary["failed"], summary["clipped_samples"]) == (2, 0, 1, 0)
    assert summary["hours"] == pytest.approx(0.01) and summary["bytes"] == size
    assert summary["kbps"] == pytest.approx(8 * size / 36 / 1000)
    assert 0 < summary["payload_kbps"] < summary["kbps"] and summary["times_real_time"] > 0
    assert sum(one["bytes"] for one in told["done"]) == size
    assert json.loads(run("--json")[0])["summary"]["skipped"] == 2
