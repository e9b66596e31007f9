"""What ``--json`` promises: standard output is JSON and nothing else, whatever is told meanwhile."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from codec.cli import build_parser, main
from codec.recipe import read_recipe
from codec.training.trainer import train
from eval.evaluation import candidate_scoring, clip_selection
from eval.search import cost
from tests.helpers.tiny import WITHOUT_CONTEXTS

SETTINGS = {name[2:]: yaml.safe_load(value) for name, value in (word.split("=") for word in WITHOUT_CONTEXTS)}
PLAN = {"title": "Tiny", "recipe": "quickstart", "settings": SETTINGS, "clips": 3}
SPACE = {"optim.lr": {"low": 1.0e-4, "high": 1.0e-2, "log": True}}

COMMANDS = {
    "prepare": "prepare in --out data2 --ratios 1:0:0",
    "health": "health run",
    "encode": "encode in --out nac --model run",
    "info": "info nac/a.nac",
    "decode": "decode nac --out wav --model run",
    "tokens": "tokens in --out tok --model run",
    "models": "models",
    "recipes": "recipes",
    "evaluate": "evaluate run --data data --split val --clips 3 -j 1",
    "compare": "compare compare.yaml --data data --out compared",
    "search run": "search run search.yaml --data data --out found",
    "search pick": "search pick found",
}
"""Each works on what those before it left."""
ELSEWHERE = {"speed", "listen"}
"""In test_speed.py, since it takes long; and in test_listening.py, with a report that plays sounds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prepared) -> Path:
    """Where the commands run."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "data").symlink_to(prepared)
    (folder / "in").mkdir()
    soundfile.write(folder / "in/a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000)
    recipe = read_recipe("quickstart", [*WITHOUT_CONTEXTS, "--train.steps=2", "--train.validate_every=1"])
    train(recipe, prepared, folder / "run", quiet=True)
    compare = {**PLAN, "steps": 2, "validations": 2, "kbps": [0.6], "candidates": {"ours": {}}}
    search = {**PLAN, "steps": 2, "candidates": 1, "population": 2, "space": SPACE}
    for name, plan in (("compare", compare), ("search", search)):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(plan, sort_keys=False))
    return folder


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[str]:
    """Those that have ``--json``."""
    for action in parser._actions:
        if "--json" in action.option_strings:
            yield name
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from commands(below, f"{name} {word}".strip())


def test_all_commands_are_here():
    assert set(commands(build_parser())) == COMMANDS.keys() | ELSEWHERE


def test_standard_output_is_json_alone(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for module, quick in (
        (clip_selection, {"MIN_EXCERPT_S": 3.0, "MAX_EXCERPT_S": 3.2}),
        (candidate_scoring, {"TABLE_CLIPS": 2}),
        (cost, {"TIMING_ROUNDS": 2, "TIMED_SECONDS": 0.5}),
    ):
        for setting, value in quick.items():
            monkeypatch.setattr(module, setting, value)
    for words in COMMANDS.values():
        with pytest.raises(SystemExit) as ended:
            main([*words.split(), "--json"])
        out, complaints = capsys.readouterr()
        assert ended.value.code == 0, complaints
        assert out.startswith(("{", "[")) and json.loads(out), words
