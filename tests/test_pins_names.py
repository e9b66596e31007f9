"""Names in what commands print and write, of commands and their options, and of settings; see ``test_pins.py``."""

import argparse
import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml

from codec.cli import build_parser
from codec.cli.reference import recipe_reference
from data_prep.synthetic_corpus import synthesise_corpus
from tests.helpers.pinning import PINS, files, keys, lost, printed, ran, store, stored
from tests.helpers.tiny import TINY

pytestmark = pytest.mark.usefixtures("memory_measured_once")

NAMES, OPTIONS, SETTINGS = "names.json", "options.json", "settings.json"
TINY_SETTINGS = {name[2:]: yaml.safe_load(value) for name, value in (word.split("=") for word in TINY)}
PLAN = {"title": "Pinned", "recipe": "quickstart", "settings": TINY_SETTINGS, "clips": 2}


def prepare(folder: Path) -> object:
    corpus = synthesise_corpus(folder / "corpus", minutes=1.0)
    summary = printed("prepare", corpus, "--out", folder / "data", "--ratios", "2:1:1", "-j1")
    return {"json": keys(summary), "files": files(folder / "data")}


def train(folder: Path) -> object:
    steps = ["--train.steps=8", "--train.validate_every=4"]
    ran("train", "speech_16k", "--data", folder / "data", "--run", folder / "run", *TINY, *steps)
    with (folder / "run" / "metrics.csv").open(newline="", encoding="utf-8") as file:
        terms = sorted({f"{row['split']} {row['term']}" for row in csv.DictReader(file)})
    return {"files": files(folder / "run"), "curves": dict.fromkeys(terms)}


def health(folder: Path) -> object:
    return keys(printed("health", folder / "run", "--out", folder / "health.html"))


def evaluate(folder: Path) -> object:
    out = folder / "evaluation"
    found = printed(
        *("evaluate", folder / "run", "--data", folder / "data", "--out", out, "--clips", 2, "-j1"),
        *("--codebooks", 3, 1),
    )
    ran("report", out, "--out", folder / "joined.html")
    records = {name: value for name, value in files(folder / "data").items() if name.endswith(".jsonl")}
    return {"json": keys(found), "files": files(out), "records": records}


def evaluate_validation(folder: Path) -> object:
    out = folder / "validation"
    words = ("evaluate", folder / "run", "--data", folder / "data", "--out", out, "--clips", 4, "-j1", "--split", "val")
    return {"json": keys(printed(*words)), "files": files(out)}


def speed(folder: Path) -> object:
    words = ("--seconds", 0.5, "--rounds", 2, "--out", folder / "speed.md")
    found = printed("speed", folder / "run", *words)
    found["reach"] = list(found["reach"].values())  # by the place of the model
    return keys(found)


def compare(folder: Path) -> object:
    plan, out = folder / "compare.yaml", folder / "compared"
    candidates = {"ours": {}, "other": {"settings": {"codec.power": 1.0}}}
    more = {"steps": 2, "validations": 1, "kbps": [0.6], "candidates": candidates}
    plan.write_text(yaml.safe_dump({**PLAN, **more}))
    found = printed("compare", plan, "--data", folder / "data", "--out", out)
    return {"json": keys(found), "files": files(out)}


def search(folder: Path) -> object:
    plan, out = folder / "search.yaml", folder / "searched"
    more = {"steps": 1, "candidates": 2, "population": 2, "space": {"optim.lr": {"choices": [2e-3]}}}
    plan.write_text(yaml.safe_dump({**PLAN, **more}))
    found = printed("search", "run", plan, "--data", folder / "data", "--out", out)
    picked = printed("search", "pick", out, "--out", folder / "picked.yaml")
    return {"json": keys(found), "files": files(out), "picked": keys(picked)}


def coding(folder: Path) -> object:
    codec_file = PINS / "speech_16k_v2.nac"
    return {
        "info": keys(printed("info", codec_file)),
        "decode": keys(printed("decode", codec_file, "--out", folder / "wav")),
        "encode": keys(printed("encode", folder / "wav", "--out", folder / "nac", "--kbps", 3)),
        "tokens": keys(printed("tokens", folder / "wav", "--out", folder / "tokens")),
        "models": keys(printed("models")),
    }


COMMANDS: dict[str, Callable[[Path], object]] = {
    each.__name__: each for each in (coding, health, evaluate, evaluate_validation, speed, compare, search)
}
"""Each works in a folder in which :func:`prepare` and :func:`train` have been."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> tuple[Path, dict[str, object]]:
    """Return a folder with data and a run, and the names in them."""
    folder = tmp_path_factory.mktemp("names")
    return folder, {"prepare": prepare(folder), "train": train(folder)}


@pytest.mark.parametrize("command", ["prepare", "train"])
def test_names_in_what_is_made_for_the_others(command, made):
    assert lost(stored(NAMES)[command], made[1][command]) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_names_in_what_a_command_prints_and_writes(command, made):
    assert lost(stored(NAMES)[command], COMMANDS[command](made[0])) == []


def settings() -> dict[str, None]:
    return dict.fromkeys(
        sorted(line.split("`")[1] for line in recipe_reference().splitlines() if line.startswith("| `"))
    )


def test_settings_of_recipes_keep_their_names():
    assert lost(stored(SETTINGS), settings()) == []


def options(parser: argparse.ArgumentParser, name: str = "codec") -> dict[str, dict[str, object]]:
    """Return, for each command, its options: the values to choose from, or whether one takes any."""
    found: dict[str, dict[str, object]] = {name: {}}
    for action in parser._actions:
        if isinstance(action.choices, dict):
            for word, command in action.choices.items():
                found |= options(command, f"{name} {word}")
        kind = "flag" if action.nargs == 0 else "value"
        choices = dict.fromkeys(map(str, action.choices)) if isinstance(action.choices, tuple) else {}
        for option in action.option_strings:
            found[name][option] = {kind: choices}
    return found


def test_commands_and_options_keep_their_names():
    assert lost(stored(OPTIONS), options(build_parser())) == []


def write(folder: Path) -> None:
    """Write the pins of this file."""
    torch.set_num_threads(1)
    made = {"prepare": prepare(folder), "train": train(folder)}
    store(NAMES, made | {name: command(folder) for name, command in COMMANDS.items()})
    store(OPTIONS, options(build_parser()))
    store(SETTINGS, settings())
