"""Bad input gets one line and a status other than 0, and changes nothing."""

import re

import pytest

from codec.cli import FAILED
from codec.dataset.ledger import count_candidates, read_ledger
from tests.helpers.command_line import TRAIN
from tests.helpers.disk import contents

CODE = "--out out --model model"


@pytest.mark.parametrize(
    ("line", "pattern"),
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
        (f"encode good.wav {CODE} -j 2 --threads 2", "-j .*--threads"),
        (f"decode good.nac {CODE} --suffix .ogg --bits 24", r"ogg .*\b24\b.*--suffix"),
        (f"decode good.nac {CODE} --bits 8", "--bits: .*'8'"),
        (f"encode good.wav {CODE} -j 2 --device onnx", "-j .*--device"),
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
        ("quickstart --audio books --out out --group-by books", "--group-by books .*use folder"),
        ("quickstart --audio books --out out --group-by folder --as speech=nowhere", "--as speech=nowhere: "),
        ("quickstart --audio books --out out --group-by folder --ratios 8:1", "8:1"),
        ("quickstart --out good.wav/out", "good.wav/out: "),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_changes_nothing(codec, place, prepared, monkeypatch, line, pattern):
    monkeypatch.chdir(place)
    monkeypatch.delenv("LATHE_MODEL", raising=False)
    before, looks = contents(place), (count_candidates(prepared), read_ledger(prepared))
    ran = codec(*line.split())
    assert re.search(pattern, ran.complaint), ran.complaint
    assert contents(place) == before and (count_candidates(prepared), read_ledger(prepared)) == looks


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("cut.nac", "cut.nac: "),
        ("sound.nac", "sound.nac: "),
        ("nothing.nac", "nothing.nac: "),
        ("texts/a.txt", "a.txt: "),
        ("nowhere.nac", "nowhere.nac: "),
        ("good.nac", "good.nac: .*--model"),
    ],
)
def test_files_that_cannot_be_decoded_leave_no_output(codec, place, tmp_path, name, pattern):
    ran = codec("decode", place / name, "--out", tmp_path, "--model", place / "other_model")
    assert ran.status == FAILED and re.search(pattern, ran.complaint)
    assert ran.out.startswith("files   0 done, 0 were up to date, 1 failed") and not contents(tmp_path)
