"""Full disks and missing permissions."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest

from codec.cli import BAD_INPUT, FAILED
from codec.dataset.ledger import read_ledger
from codec.dataset.packed import packed_folder
from codec.pretrained.checkpoint import load_codec
from tests.helpers.command_line import sound
from tests.helpers.disk import at_most, contents


@pytest.mark.parametrize("size", [100, 3000, 100_000])
def test_prepare_on_a_full_disk_goes_on_when_there_is_room(codec, corpus, prepared, tmp_path, size):
    words = ["prepare", corpus, "--out", tmp_path, "-j", 1]
    with at_most(size):
        ran = codec(*words)
    assert str(tmp_path) in ran.complaint and "cannot write" in ran.complaint and not list(tmp_path.rglob("*.part"))
    assert codec(*words).status == 0
    packed, expected = (packed_folder(data, 16000, 1) for data in (tmp_path, prepared))
    for name in ("train.csv", "train-00000.npy", "test-00000.npy", "packed.json"):
        assert (packed / name).read_bytes() == (expected / name).read_bytes()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("size", [100, 3000, 150_000])
def test_train_on_a_full_disk_goes_on_when_there_is_room(codec, place, prepared, tmp_path, size):
    others_grow = shutil.ignore_patterns("candidates.jsonl")
    shutil.copytree(prepared, tmp_path / "data", ignore=others_grow)
    words = ["train", place / "tiny.yaml", "--data", tmp_path / "data", "--run", tmp_path / "run"]
    with at_most(size):
        ran = codec(*words)
    assert ran.status == BAD_INPUT and "File too large" in ran.complaint and str(tmp_path) in ran.complaint
    assert not list(tmp_path.rglob("*.part"))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    again = codec(*words)
    assert again.status == 0 and "stopped after 4 steps (all steps done)" in again.out
    with (tmp_path / "run/metrics.csv").open(newline="") as file:
        steps = [int(row["step"]) for row in csv.DictReader(file) if row["split"] == "val" and row["term"] == "mel"]
    assert steps == [1, 2, 3, 4] and load_codec(tmp_path / "run")


def test_a_run_whose_end_was_not_written_whole_ends_again(codec, place, prepared, tmp_path):
    words = ["train", place / "tiny.yaml", "--data", prepared, "--run", tmp_path]
    assert codec(*words).status == 0
    whole = json.loads((tmp_path / "run.json").read_text())
    (tmp_path / "run.json").write_text('{"steps": 4,')
    assert codec(*words).status == 0
    again = json.loads((tmp_path / "run.json").read_text())
    assert again["steps"] == 4 and again["best_validation_loss"] == whole["best_validation_loss"]


def test_encode_and_decode_on_a_full_disk_leave_nothing_half_written(codec, place, tmp_path):
    sound(tmp_path / "in/a.wav", 10.0)
    model = "--model", place / "model"
    with at_most(500):
        ran = codec("encode", tmp_path / "in", "--out", tmp_path / "nac", *model)
    assert ran.status == FAILED and "a.nac" in ran.complaint and not contents(tmp_path / "nac")
    assert codec("encode", tmp_path / "in", "--out", tmp_path / "nac", *model).status == 0
    with at_most(5000):
        ran = codec("decode", tmp_path / "nac", "--out", tmp_path / "wav", *model)
    assert ran.status == FAILED and "a.wav" in ran.complaint and not contents(tmp_path / "wav")
    assert codec("decode", tmp_path / "nac", "--out", tmp_path / "wav", *model).status == 0


@pytest.mark.usefixtures("memory_measured_once")
def test_evaluate_on_a_full_disk_keeps_the_ledger_whole(codec, place, prepared, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    shutil.copytree(place / "model", tmp_path / "run/model")
    shutil.copy(place / "tiny.yaml", tmp_path / "run/recipe.yaml")
    words = ["evaluate", tmp_path / "run", "--data", data, "--clips", 2, "-j", 1]
    with at_most(100):
        ran = codec(*words)
    assert "stays sealed" in ran.complaint and not contents(tmp_path / "run/evaluation").keys() - {".lock"}
    assert read_ledger(data) == []
    with at_most(20_000):
        ran = codec(*words)
    assert "cannot write" in ran.complaint and not contents(tmp_path / "run/evaluation").keys() - {".lock"}
    assert [entry.result for entry in read_ledger(data)] == [None]


@pytest.mark.parametrize("reader", ["full", "gone"])
def test_results_that_cannot_be_printed_are_no_traceback(place, reader):
    command = [sys.executable, "-m", "codec", "info", place / "good.nac"]
    if reader == "full":
        with open("/dev/full", "w") as out:
            done = subprocess.run(command, stdout=out, stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (BAD_INPUT, "codec: error: No space left on device\n")
    else:
        read_end, write_end = os.pipe()
        os.close(read_end)
        done = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True)
        os.close(write_end)
        assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
@pytest.mark.parametrize("command", ["prepare", "train", "encode", "decode"])
def test_read_only_output_is_one_line(codec, place, prepared, tmp_path, command):
    (tmp_path / "out").mkdir(mode=0o555)
    model = ["--out", tmp_path / "out", "--model", place / "model"]
    words = {
        "prepare": [place / "good.wav", "--out", tmp_path / "out"],
        "train": [place / "tiny.yaml", "--data", prepared, "--run", tmp_path / "out"],
        "encode": [place / "good.wav", *model],
        "decode": [place / "good.nac", *model],
    }
    assert str(tmp_path / "out") in codec(command, *words[command]).complaint


@pytest.mark.parametrize(
    "words, status", [("models", 0), ("info good.nac", 0), ("info nosuch", 1), ("encode -", BAD_INPUT)]
)
@pytest.mark.parametrize("closed", ["closed", "closed, like the others"])
def test_a_closed_output_is_no_traceback(place, words, status, closed):
    redirections = ">&-" if closed == "closed" else ">&- 2>&- <&-"
    script = f'exec "{sys.executable}" -m codec {words} {redirections}'
    done = subprocess.run(["sh", "-c", script], cwd=place, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert done.returncode == status and "Traceback" not in done.stderr
    assert bool(done.stderr) == bool(status and closed == "closed")
