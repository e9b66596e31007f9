"""Fixtures of the command line: a working folder full of bad input, and a function that runs a command."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from codec.cli import main
from codec.recipe import read_recipe, write_recipe
from tests.helpers.command_line import SHORT, Ran, sound
from tests.helpers.tiny import tiny_model

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


@pytest.fixture
def codec(capsys) -> Callable[..., Ran]:
    def run(*words: object) -> Ran:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
        assert isinstance(ended.value.code, int)
        return Ran(ended.value.code, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
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
