"""The command line as its users meet it: what it imports, what it says, and what it does with bad input."""

import csv
import io
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from safetensors.torch import load_file, save_file

from codec.cli import BAD_INPUT, FAILED, INTERRUPTED, main
from codec.cli.common import describe_losses
from codec.dataset.ledger import count_candidates, read_ledger
from codec.dataset.packed import packed_folder
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.registry import DEFAULT_MODEL
from codec.recipe import read_recipe, write_recipe
from codec.runtime import signals
from codec.runtime.file_lock import LOCK_FILE
from tests.helpers.tiny import TINY, tiny_model

COMMANDS = (
    *("quickstart", "prepare", "train", "encode", "decode", "info", "models", "export", "evaluate", "speed", "compare"),
    "search",
)
SHORT = [*TINY, "--train.steps=4", "--train.validate_every=2"]
HEAVY = "torch torchaudio lightning optuna matplotlib librosa scipy numpy soundfile soxr auraloss jinja2 tensorboard"


@dataclass(frozen=True)
class Ran:
    status: int
    out: str
    err: str

    @property
    def complaints(self) -> list[str]:
        """What stands on the error output beside progress bars and notes: lines that begin with ``codec: error:``."""
        lines = [line for line in self.err.splitlines() if line.strip() and "%|" not in line]
        lines = [line for line in lines if not line.startswith("codec: note: ")]
        assert all(line.startswith("codec: error: ") for line in lines), self.err
        return [line.removeprefix("codec: error: ") for line in lines]

    @property
    def complaint(self) -> str:
        assert len(self.complaints) == 1 and self.status != 0, self
        return self.complaints[0]


@pytest.fixture
def codec(capsys) -> Callable[..., Ran]:
    def run(*words: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, *capsys.readouterr())

    return run


def python(script: str, *words: object, **options) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", script, *map(str, words)], text=True, capture_output=True, **options)


def sound(path: Path, seconds: float = 1.0, rate: int = 16000, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.random.default_rng(seed).standard_normal(int(seconds * rate)), rate)
    return path


def broken(folder: Path) -> list[str]:
    """One file of each kind of damage."""
    whole = sound(folder / "whole.wav", 2.0, seed=99).read_bytes()
    (folder / "whole.wav").unlink()
    (folder / "cut.wav").write_bytes(whole[:20000])
    (folder / "noise.flac").write_bytes(np.random.default_rng(0).bytes(5000))
    (folder / "nothing.wav").touch()
    soundfile.write(folder / "nan.wav", np.where(np.arange(9000) == 7000, np.nan, 0.1), 16000, subtype="FLOAT")
    (folder / "text.mp3").write_text("no sound")
    return ["cut.wav", "nan.wav", "noise.flac", "nothing.wav", "text.mp3"]


def contents(folder: Path) -> dict[str, bytes | None]:
    """All but locks, which stay when their holder is gone."""
    paths = [path for path in folder.rglob("*") if path.name != LOCK_FILE]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """The disk is full after so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


# --- what it imports, and what it explains ------------------------------------------------------------------


def test_help_and_the_package_itself_import_nothing_heavy():
    script = """
import sys, codec
from codec.cli import main
for command in ["", *sys.argv[2:]]:
    try:
        main([*command.split(), "--help"])
    except SystemExit as ended:
        assert ended.code == 0
sys.exit(" ".join(name for name in sys.argv[1].split() if name in sys.modules))
"""
    done = python(script, HEAVY, *COMMANDS)
    assert done.stderr.strip() == "" and done.stdout.count("usage: codec") == 1 + len(COMMANDS)


def test_bad_arguments_are_found_before_anything_heavy_is_imported():
    command = [sys.executable, "-X", "importtime", "-m", "codec", "encode", "a.wav"]
    done = subprocess.run(command, text=True, capture_output=True)
    assert done.returncode == BAD_INPUT and " argparse" in done.stderr and "torch" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself_and_its_options(codec, command):
    assert command in codec("--help").out
    shown = codec(command, "--help")
    assert shown.status == 0 and shown.err == "" and shown.out.startswith(f"usage: codec {command}")


def test_python_dash_m_is_the_command_too(tmp_path):
    command = [sys.executable, "-m", "codec", "prepare", "nowhere", "--out", "data"]
    done = subprocess.run(command, cwd=tmp_path, text=True, capture_output=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.complaint == f"{tmp_path / 'nowhere'}: no such folder" and not contents(tmp_path)


# --- bad input, one line each -------------------------------------------------------------------------------

RECIPES = {
    "misspelt.yaml": "optim: {lrr: 1.0}",
    "misspelt_section.yaml": "optimm: {lr: 1.0}",
    "wrong_type.yaml": "optim: {lr: fast}",
    "wrong_choice.yaml": "codec: {quantizer: {kind: lattice}}",
    "out_of_range.yaml": "codec: {hop: 0}",
    "no_value.yaml": "train: {steps: }",
    "no_section.yaml": "losses:",
    "unknown_loss.yaml": "losses: {sharpness: 1.0}",
    "negative_loss.yaml": "losses: {mel: -1.0}",
    "unbalanced.yaml": "optim: [1, 2",
    "words.yaml": "just words",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory, prepared) -> Path:
    """A working folder with much that is wrong in it. No test changes it."""
    place = tmp_path_factory.mktemp("place")
    (place / "empty").mkdir()
    (place / "texts").mkdir()
    (place / "texts/a.txt").write_text("no sound")
    sound(place / "good.wav")
    for name in ("a/1", "a/2", "b/1"):
        sound(place / f"books/{name}/x.wav")
    (place / "data").symlink_to(prepared)
    for name, text in RECIPES.items():
        (place / name).write_text(text)
    (place / "binary.yaml").write_bytes(b"\xff\xfe\0\1")
    tiny_model(place / "model")
    tiny_model(place / "other_model", seed=1)
    shutil.copytree(place / "model", place / "cut_model")
    os.truncate(place / "cut_model/model.safetensors", 1000)
    shutil.copytree(place / "model", place / "mixed_model")
    without_config = load_file(place / "other_model/model.safetensors")
    save_file(without_config, place / "mixed_model/model.safetensors")
    (place / "fake_run/checkpoints").mkdir(parents=True)
    (place / "fake_run/checkpoints/last.ckpt").write_bytes(b"not a checkpoint")
    write_recipe(place / "tiny.yaml", read_recipe("speech_16k", SHORT))
    shutil.copy(place / "tiny.yaml", place / "fake_run/recipe.yaml")
    with pytest.raises(SystemExit):
        main(["encode", str(place / "good.wav"), "--out", str(place), "--model", str(place / "model")])
    (place / "cut.nac").write_bytes((place / "good.nac").read_bytes()[:-20])
    (place / "sound.nac").write_bytes((place / "good.wav").read_bytes())
    (place / "nothing.nac").touch()
    return place


TRAIN = "train speech_16k --data data --run run"
CODE = "--out out --model model"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "COMMAND"),
        ("compress good.wav", "compress"),
        ("prepare empty", "--out"),
        ("info good.nac --loud", "--loud"),
        ("prepare empty --out out", "empty: "),
        ("prepare texts --out out", "texts: "),
        ("prepare good.wav empty --out out", "empty: "),
        ("prepare nowhere --out out", "nowhere: "),
        ("prepare good.wav --out good.wav/out", "out: "),
        ("prepare good.wav --out /proc/out", "out: "),
        ("prepare good.wav --out out --rate -5", "--rate: .*-5"),
        ("prepare good.wav --out out --recipe misspelt.yaml", r"\blr\b"),
        ("train chorale --data data --run run", "chorale.*music_44k, quickstart"),
        ("train chorale.yaml --data data --run run", "chorale.yaml: "),
        ("train misspelt.yaml --data data --run run", r"misspelt.yaml: optim: .*lrr.*\blr\b"),
        ("train misspelt_section.yaml --data data --run run", r"\boptim\b"),
        ("train wrong_type.yaml --data data --run run", r"optim\.lr.*float.*fast"),
        ("train wrong_choice.yaml --data data --run run", r"codec\.quantizer\.kind.*rvq.*lattice"),
        ("train out_of_range.yaml --data data --run run", r"codec\.hop .*\b1\b"),
        ("train no_value.yaml --data data --run run", "no_value.yaml: train: steps"),
        ("train no_section.yaml --data data --run run", "no_section.yaml: losses"),
        ("train unknown_loss.yaml --data data --run run", r"sharpness.*\bl1\b"),
        ("train negative_loss.yaml --data data --run run", r"losses\.mel .*\b0\b"),
        ("train unbalanced.yaml --data data --run run", "unbalanced.yaml: "),
        ("train words.yaml --data data --run run", "words.yaml: "),
        ("train binary.yaml --data data --run run", "binary.yaml: "),
        (f"{TRAIN} --optim.lrr 1", r"optim\.lrr.*optim\.lr\b"),
        (f"{TRAIN} --optim.lr fast", r"optim\.lr.*float.*fast"),
        (f"{TRAIN} --optim.lr", r"optim\.lr\b"),
        (f"{TRAIN} --lr 3", r"\blr\b.*adversarial\.lr.*optim\.lr"),
        ("train speech_16k --data nowhere --run run", "nowhere: .*codec prepare"),
        ("train speech_16k --data texts --run run", "texts: "),
        ("train speech_24k --data data --run run", "data: .*16000x1.*24000x1.*codec prepare"),
        (f"{TRAIN} --data.channels 2", "data: .*16000x1.*16000x2.*codec prepare"),
        ("train speech_16k --data data", "--run"),
        ("train tiny.yaml --data data --run good.wav", "good.wav"),
        ("train tiny.yaml --data data --run good.wav/run", "good.wav/run"),
        ("train tiny.yaml --data data --run fake_run", "last.ckpt: "),
        (f"{TRAIN} --init-from nowhere", "nowhere"),
        (f"{TRAIN} --init-from texts", "texts: "),
        (f"{TRAIN} --init-from fake_run/checkpoints/last.ckpt", "last.ckpt: "),
        (f"{TRAIN} --init-from cut_model", "cut_model: "),
        (f"{TRAIN} --init-from model", "model: "),
        ("encode empty --out out --model model", "empty: "),
        ("encode texts --out out --model model", "texts: "),
        ("encode good.wav --out out --model nowhere", "nowhere"),
        ("encode good.wav --out out --model good.wav", "good.wav: "),
        ("encode good.wav --out out --model cut_model", "cut_model: "),
        ("encode good.wav --out out --model mixed_model", "mixed_model: "),
        (f"encode good.wav {CODE} --kbps 0", r"\b0\b"),
        (f"encode good.wav {CODE} --kbps 3 --codebooks 3", "--codebooks: .*--kbps"),
        (f"encode good.wav {CODE} --codebooks 200", "1 to 3.*200"),
        (f"encode good.wav {CODE} --threads 0", "--threads: "),
        ("encode good.wav --out good.wav/out --model model", "good.wav/out: "),
        ("encode good.wav --out /proc/out --model model", "/proc/out: "),
        ("decode texts --out out --model model", "texts: "),
        ("decode good.nac --out good.wav/out --model model", "good.wav/out: "),
        ("decode good.nac --out out --suffix .mp3 --model model", r"'\.mp3'"),
        (f"encode {CODE}", "--list"),
        (f"encode *.mp3 {CODE}", r"\*.mp3: "),
        (f"encode --list nowhere {CODE}", "nowhere: "),
        (f"encode good.wav {CODE} -j 2 --threads 2", "--threads: .*-j"),
        (f"decode good.nac {CODE} --suffix .ogg --bits 24", r"ogg .*\b24\b.*--suffix"),
        (f"decode good.nac {CODE} --bits 8", "--bits: .*'8'"),
        (f"encode good.wav {CODE} -j 2 --device cpu", "--device: .*-j"),
        (f"encode good.wav {CODE} -j 2 --batch 2", "--batch .*-j"),
        (f"tokens good.wav {CODE} -j 2 --batch 2", "--batch .*-j"),
        ("decode good.nac --out out -j 2 --batch 2", "--batch .*-j"),
        ("decode - --batch 2", "^- "),
        (f"encode good.wav {CODE} --device nowhere", r"\bnowhere\b.*\bcpu\b"),
        (f"tokens good.wav {CODE} --device meta", r"\bmeta\b"),
        ("decode good.nac --out out --device meta", r"\bmeta\b"),
        ("encode good.wav --model model", "--out .*codec encode --help"),
        ("encode good.wav --out - --model model", "--out: .*codec encode"),
        (f"encode - good.wav {CODE}", "^- "),
        (f"decode - {CODE}", "^- "),
        ("decode - --from 3", "--from .*--to"),
        (f"encode good.wav {CODE} --raw 16000:1", "--raw "),
        ("encode - --model model --raw 16000", "--raw .*RATE:CHANNELS"),
        ("encode - --model model --raw 16000:1:s17", "u8"),
        (f"encode good.wav {CODE} --tag title", "NAME=TEXT.*title"),
        ("info cut.nac", "cut.nac: "),
        ("info sound.nac", "sound.nac: "),
        ("info nothing.nac", "nothing.nac: "),
        ("info texts", "texts: "),
        ("info nowhere.nac", "nowhere.nac: "),
        ("evaluate nowhere --data data", "nowhere: "),
        ("evaluate texts --data data", "texts: "),
        ("evaluate model --data data", "recipe.yaml.*codec train"),
        ("quickstart --audio nowhere --out out", "nowhere: "),
        ("quickstart --audio empty --out out", "empty: "),
        ("quickstart --audio texts --out out", "texts: "),
        ("quickstart --audio books --out out", "books.*: .*--group-by level:1"),
        ("quickstart --audio books --out out --group-by books", "--group-by books: use folder"),
        ("quickstart --out good.wav/out", "good.wav/out: "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(codec, place, prepared, monkeypatch, line, says):
    monkeypatch.chdir(place)
    monkeypatch.delenv("LATHE_MODEL", raising=False)
    before, looks = contents(place), (count_candidates(prepared), read_ledger(prepared))
    ran = codec(*line.split())
    assert re.search(says, ran.complaint), ran.complaint
    assert contents(place) == before and (count_candidates(prepared), read_ledger(prepared)) == looks


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cut.nac", "cut.nac: "),
        ("sound.nac", "sound.nac: "),
        ("nothing.nac", "nothing.nac: "),
        ("texts/a.txt", "a.txt: "),
        ("nowhere.nac", "nowhere.nac: "),
        ("good.nac", "good.nac: .*--model"),
    ],
)
def test_what_cannot_be_decoded_leaves_no_sound(codec, place, tmp_path, name, says):
    ran = codec("decode", place / name, "--out", tmp_path, "--model", place / "other_model")
    assert ran.status == FAILED and re.search(says, ran.complaint)
    assert ran.out.startswith("files   0 done, 0 were there already, 1 failed") and not contents(tmp_path)


# --- bad files among good ones ------------------------------------------------------------------------------


def test_prepare_leaves_out_bad_files_and_says_so(codec, tmp_path):
    for number in range(6):
        sound(tmp_path / f"audio/{number}/a.wav", seed=number)
    bad = broken(tmp_path / "audio/0")
    ran = codec("prepare", tmp_path / "audio", "--out", tmp_path / "data", "-j", 1)
    assert ran.status == 0 and not ran.complaints
    for counted in ("1 cut off or damaged", "1 NaN or infinity", "2 unreadable", "1 empty"):
        assert counted in ran.out
    with (tmp_path / "data/manifest.csv").open(newline="") as file:
        rows = {Path(row["path"]).name: row for row in csv.DictReader(file) if row["status"] == "excluded"}
    assert sorted(rows) == bad and all(row["reason"] for row in rows.values())
    assert not list(tmp_path.rglob("*.part"))

    shutil.rmtree(tmp_path / "audio")
    broken(sound(tmp_path / "audio/x.wav").parent)
    (tmp_path / "audio/x.wav").unlink()
    nothing_left = codec("prepare", tmp_path / "audio", "--out", tmp_path / "other", "-j", 1)
    assert "none of the 5 files can be used" in nothing_left.complaint and "manifest.csv" in nothing_left.complaint


def test_encode_and_decode_do_what_can_be_done_and_name_the_rest(codec, place, tmp_path):
    good = [sound(tmp_path / f"audio/good{number}.wav", seed=number) for number in range(2)]
    bad = broken(tmp_path / "audio")
    there_and_back = "--model", place / "model"
    ran = codec("encode", tmp_path / "audio", "--out", tmp_path / "nac", *there_and_back)
    assert ran.status == FAILED and ran.out.startswith("files   2 done, 0 were there already, 5 failed")
    assert [Path(line.partition(": ")[0]).name for line in ran.complaints] == bad
    assert sorted(contents(tmp_path / "nac")) == ["good0.nac", "good1.nac"]
    for path in good:
        path.unlink()

    (tmp_path / "nac/bad.nac").write_bytes((tmp_path / "nac/good0.nac").read_bytes()[:40])
    ran = codec("decode", tmp_path / "nac", "--out", tmp_path / "wav", "--json", *there_and_back)
    told = json.loads(ran.out)
    assert ran.status == FAILED and "bad.nac" in ran.complaint
    assert [Path(one["target"]).name for one in told["done"]] == ["good0.wav", "good1.wav"]
    assert [Path(one["source"]).name for one in told["failed"]] == ["bad.nac"]
    assert sorted(contents(tmp_path / "wav")) == ["good0.wav", "good1.wav"]
    again = codec("decode", tmp_path / "nac/good0.nac", "--out", tmp_path / "wav", *there_and_back)
    assert again.status == 0 and again.out.startswith("files   0 done, 1 were there already")


def test_info_tells_of_good_files_and_complains_of_damaged_ones(codec, place, tmp_path):
    damaged = bytearray((place / "good.nac").read_bytes())
    damaged[-12] ^= 1
    (tmp_path / "damaged.nac").write_bytes(damaged)
    ran = codec("info", place / "good.nac", place / "cut.nac", tmp_path / "damaged.nac", "--json")
    assert ran.status == FAILED and [info["checksums_ok"] for info in json.loads(ran.out)] == [True, False, False]
    assert "cut.nac" in ran.complaints[0] and "damaged.nac: 1 damaged packet;" in ran.complaints[1]


def test_info_takes_folders_patterns_and_names_built_in_models(codec, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sound(tmp_path / "in/a.wav")
    for name, model in (("built", DEFAULT_MODEL), ("own", place / "model")):
        assert codec("encode", "in", "--out", f"out/{name}", "--model", model).status == 0
    assert codec("tokens", "in", "--out", "out", "--model", place / "model").status == 0
    for given in (["out"], ["out/**"], ["out/*/*.nac"], ["out/built", "out/own/a.nac"]):
        ran = codec("info", *given, "--json")
        told = {info["path"]: info["model"] for info in json.loads(ran.out)}
        assert ran.status == 0 and told == {"out/built/a.nac": DEFAULT_MODEL, "out/own/a.nac": None}
    assert "codec decode takes it" in codec("info", "out/tokens-000000.tar").complaint
    assert "no .nac files in this folder" in codec("info", "in").complaint


def test_version_is_that_of_the_distribution(codec):
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    (stated,) = re.findall(r'^version = "(.*)"$', project, re.MULTILINE)
    ran = codec("--version")
    assert (ran.status, ran.out) == (0, f"codec {stated}\n")


def test_damage_is_concealed_and_told_of(codec, place, tmp_path):
    there_and_back = "--model", place / "model"
    sound(tmp_path / "a.wav", seconds=5)
    assert codec("encode", tmp_path / "a.wav", "--out", tmp_path, "--tag", "title=Song", *there_and_back).status == 0
    ran = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", *there_and_back)
    assert ran.status == 0 and not ran.complaints
    whole = soundfile.read(tmp_path / "wav/a.wav")[0]
    assert codec("decode", tmp_path / "a.nac", "--out", tmp_path, "--suffix", "FLAC", *there_and_back).status == 0
    assert soundfile.info(tmp_path / "a.flac").frames == 5 * 16000
    part = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--from", 1.5, "--to", 2, *there_and_back)
    assert part.status == 0 and len(whole) == 5 * 16000
    np.testing.assert_array_equal(soundfile.read(tmp_path / "wav/a.wav")[0], whole[24000:32000])
    beyond = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--from", 7, *there_and_back)
    assert beyond.status == FAILED and "has 5 s" in beyond.complaint
    assert "{'title': 'Song'}" in codec("info", tmp_path / "a.nac").out

    data = bytearray((tmp_path / "a.nac").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "a.nac").write_bytes(data)
    ran = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--json", *there_and_back)
    assert ran.status == FAILED and "1.98 to 4.00 s" in ran.complaint
    assert json.loads(ran.out)["done"][0]["lost_s"] == [[1.98, 4.0]]
    written = (tmp_path / "wav/a.wav").stat().st_mtime_ns
    again = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "wav", "--json", *there_and_back)
    told = json.loads(again.out)
    assert (again.status, again.complaints) == (FAILED, ran.complaints) and (
        tmp_path / "wav/a.wav"
    ).stat().st_mtime_ns == written
    assert told["skipped"] == [{"source": str(tmp_path / "a.nac"), "lost_s": [[1.98, 4.0]]}]
    assert (told["summary"]["skipped"], told["summary"]["damaged"]) == (1, 1)
    cut = tmp_path / "cut.nac"
    cut.write_bytes(data[: len(data) * 3 // 4])
    ran = codec("decode", cut, "--out", tmp_path / "wav", "--json", *there_and_back)
    ends = soundfile.info(tmp_path / "wav/cut.wav").duration
    assert ran.complaint.startswith(f"{cut}: ") and re.findall(r"[\d.]+ s", ran.complaint) == [
        f"{ends:.2f} s",
        "5.00 s",
    ]
    described = describe_losses([(0.5, 1.0), (2.0, 5.0)], ends)
    assert re.findall(r"[\d.]+ s", described) == ["1.00 s", f"{ends:.2f} s", "5.00 s"]
    assert json.loads(ran.out)["done"][0]["cut_off_s"] == ends
    ran = codec("decode", tmp_path / "a.nac", "--out", tmp_path / "strict", "--strict", *there_and_back)
    assert ran.status == FAILED and "is damaged" in ran.complaint and not contents(tmp_path / "strict")


def test_standard_input_becomes_standard_output(place, tmp_path):
    wav = sound(tmp_path / "a.wav", seconds=1).read_bytes()
    command, model = [sys.executable, "-m", "codec"], ["--model", place / "model"]

    def run(*words, given: bytes) -> subprocess.CompletedProcess:
        return subprocess.run([*command, *words, *model], input=given, capture_output=True)

    coded = run("encode", "-", "--kbps", "3", "--tag", "title=x", given=wav)
    assert coded.returncode == 0 and coded.stdout[:4] == b"\x89NAC" and not coded.stderr
    raw = run("encode", "-", "--kbps", "3", "--tag", "title=x", "--raw", "16000:1", given=wav[44:])
    assert raw.stdout == coded.stdout
    decoded = run("decode", "-", "--bits", "32f", given=coded.stdout)
    assert decoded.returncode == 0 and not decoded.stderr
    assert soundfile.read(io.BytesIO(decoded.stdout))[0].shape == (16000,)
    assert len(run("decode", "-", "--raw", given=coded.stdout).stdout) == 2 * 16000
    flac = io.BytesIO()
    soundfile.write(flac, *soundfile.read(io.BytesIO(wav), dtype="int16"), format="FLAC")
    assert run("encode", "-", "--kbps", "3", "--tag", "title=x", given=flac.getvalue()).stdout == coded.stdout
    cut = run("encode", "-", given=wav[:10044])
    assert cut.returncode == FAILED and cut.stdout and cut.stderr.count(b"\n") == 1
    assert b"10000" in cut.stderr and b"32000 bytes" in cut.stderr
    cut = run("decode", "-", given=coded.stdout[:-100])
    assert cut.returncode == FAILED and b"cut off" in cut.stderr and cut.stderr.count(b"\n") == 1
    for words in (["encode", "-"], ["decode", "-"]):
        wrong = run(*words, given=b"no sound")
        assert wrong.returncode == BAD_INPUT and not wrong.stdout and wrong.stderr.count(b"\n") == 1


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", signals.SIGNALS)
def test_an_interrupt_ends_a_stream_as_its_source_would(place, number):
    def command(*words: str) -> subprocess.Popen:
        line = [sys.executable, "-m", "codec", *words, "--model", place / "model"]
        pipe = subprocess.PIPE
        return subprocess.Popen(line, stdin=pipe, stdout=pipe, stderr=pipe)

    given = np.random.default_rng(0).bytes(2 * 16000)
    encoding = command("encode", "-", "--raw", "16000:1")
    encoding.stdin.write(given)
    encoding.stdin.flush()
    coded = encoding.stdout.read(200)  # the header and frames: it is at work
    encoding.send_signal(number)
    coded += encoding.stdout.read()  # while its input is open still
    (complaint,) = encoding.stderr.read().splitlines()  # a line, no trace
    assert complaint.startswith(b"codec: error: ")
    assert encoding.wait() == INTERRUPTED
    sound, complaints = (decoding := command("decode", "-", "--raw")).communicate(coded)
    assert decoding.returncode == 0 and not complaints and len(sound) == len(given)


def test_names_that_are_not_utf8_pass(codec, place, tmp_path):
    name = os.fsdecode(b"caf\xe9")
    (tmp_path / name).mkdir()
    try:
        sound(tmp_path / "a.wav").rename(tmp_path / name / f"{name}.wav")
    except OSError:
        pytest.skip("this file system has no such names")
    coding = "--model", place / "model"
    assert codec("prepare", tmp_path / name, "--out", tmp_path / "data", "--ratios", "1:0:0", "-j", 1).status == 0
    assert codec("encode", tmp_path / name, "--out", tmp_path / "nac", *coding).status == 0
    assert codec("decode", tmp_path / "nac", "--out", tmp_path / "wav", *coding).status == 0
    shown = codec("info", tmp_path / f"nac/{name}.nac")
    assert shown.status == 0 and r"caf\udce9.nac" in shown.out
    assert (tmp_path / f"wav/{name}.wav").is_file()


# --- damaged folders ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("packed.json", lambda path: path.write_text("{")),
        ("train.csv", lambda path: path.unlink()),
        ("train.csv", lambda path: path.write_text("clip_id,shard\n1,2\n")),
        ("train-00000.npy", lambda path: os.truncate(path, 5000)),
        ("val-00000.npy", lambda path: path.unlink()),
    ],
    ids=["stamp", "no table", "other table", "cut shard", "no shard"],
)
def test_damaged_data_is_found_before_training_begins(codec, place, prepared, corpus, tmp_path, name, damage):
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    path = packed_folder(data, 16000, 1) / name
    damage(path)
    train = ["train", place / "tiny.yaml", "--data", data, "--run", tmp_path / "run"]
    complaint = codec(*train).complaint
    assert "run codec prepare again" in complaint and not (tmp_path / "run").exists()
    if "delete it" in complaint:
        path.unlink(missing_ok=True)
    assert codec("prepare", corpus, "--out", data, "-j", 1).status == 0
    assert path.read_bytes() == (packed_folder(prepared, 16000, 1) / name).read_bytes()


# --- no room, no permission ---------------------------------------------------------------------------------


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


# --- Ctrl-C and SIGTERM -------------------------------------------------------------------------------------

INTERRUPTED_AFTER = """
import os, signal, sys, threading
from codec.cli import main
from codec.runtime import process_pool
process_pool.INLINE_S = 0.0
threading.Timer(float(sys.argv[1]), lambda: os.killpg(0, signal.SIGINT)).start()
main(sys.argv[2:])
"""


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("after_s", [0.05, 0.4, 0.8])
def test_ctrl_c_while_libraries_load_is_one_line(place, tmp_path, after_s):
    words = ["encode", place / "good.wav", "--out", tmp_path / "nac", "--model", place / "model"]
    done = python(INTERRUPTED_AFTER, after_s, *words, start_new_session=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.status == INTERRUPTED and ran.complaint.startswith("interrupted; run the same command again")
    assert not contents(tmp_path)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("after_s", [0.6, 0.9])
def test_ctrl_c_while_processes_start_is_one_line_and_prepare_goes_on(codec, corpus, prepared, tmp_path, after_s):
    words = ["prepare", corpus, "--out", tmp_path, "-j", 2]
    done = python(INTERRUPTED_AFTER, after_s, *words, start_new_session=True)
    ran = Ran(done.returncode, done.stdout, done.stderr)
    assert ran.status == INTERRUPTED and "interrupted" in ran.complaint and not list(tmp_path.rglob("*.part"))
    assert codec(*words[:-1], 1).status == 0
    table = packed_folder(tmp_path, 16000, 1) / "train.csv"
    assert table.read_bytes() == (packed_folder(prepared, 16000, 1) / "train.csv").read_bytes()


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", signals.SIGNALS)
def test_an_interrupt_in_training_writes_the_checkpoint_and_one_line(codec, place, prepared, tmp_path, number):
    def interrupt_when_it_trains() -> None:
        while not (tmp_path / "metrics.csv").exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    other = threading.Thread(target=interrupt_when_it_trains, daemon=True)
    other.start()
    ran = codec("train", place / "tiny.yaml", "--data", prepared, "--run", tmp_path, "--train.steps=300")
    other.join()
    assert ran.status == INTERRUPTED and ran.complaint == "interrupted; run the same command again to go on"
    assert (tmp_path / "checkpoints/last.ckpt").is_file() and not list(tmp_path.rglob("*.part"))
