"""What ``--json`` promises: standard output is JSON and nothing else, whatever is told meanwhile."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.cli import build_parser, main
from codec.recipe import read_recipe
from codec.training.trainer import train
from tests.helpers.tiny import WITHOUT_CONTEXTS

COMMANDS = {
    "prepare": "prepare in --out data2 --ratios 1:0:0",
    "health": "health run",
    "encode": "encode in --out nac --model run",
    "info": "info nac/a.nac",
    "decode": "decode nac --out wav --model run",
    "tokens": "tokens in --out tok --model run",
    "models": "models",
    "recipes": "recipes",
}
"""Each works on what those before it left."""
ELSEWHERE = {"evaluate", "compare", "search run", "search pick", "speed", "listen"}
"""In test_pins_names.py, which reads what they print; listen in test_listening.py, with a report that plays sounds."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory, prepared) -> Path:
    """Where the commands run."""
    folder = tmp_path_factory.mktemp("json")
    (folder / "in").mkdir()
    soundfile.write(folder / "in/a.wav", np.random.default_rng(0).uniform(-0.1, 0.1, 16000), 16000)
    recipe = read_recipe("quickstart", [*WITHOUT_CONTEXTS, "--train.steps=2", "--train.validate_every=1"])
    train(recipe, prepared, folder / "run", quiet=True)
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
    for words in COMMANDS.values():
        with pytest.raises(SystemExit) as ended:
            main([*words.split(), "--json"])
        out, complaints = capsys.readouterr()
        assert ended.value.code == 0, complaints
        assert out.startswith(("{", "[")) and json.loads(out), words
