"""The core of the installation does without the extras, and each command without the extras of others."""

import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from codec.cli.extras import EXTRAS
from codec.errors import UserError
from codec.runtime.extras import MODULES, install_command, installed, require_installed
from tests.minimum_versions import project_table, requirements_of

OPTIONAL = {module for modules in MODULES.values() for module in modules} | {"docstring_parser", "pesq", "pystoi"}
"""Modules of all extras."""
LEFT_IN_PLACE = {"huggingface_hub", "onnxruntime", "pesq", "pystoi", "transformers"}
"""Lightning imports them, through torchmetrics, if their distribution is there, whether they can be imported or not."""

RUN_EACH = """
import sys
absent, *commands = sys.argv[1:]
sys.modules.update(dict.fromkeys(absent.split()))
from codec.cli import main
for command in commands:
    try:
        main(command.split("|"))
    except SystemExit as end:
        print("status", end.code, file=sys.stderr)
"""
"""Each command in one process, in which some modules cannot be found."""

COMMANDS = {
    "quickstart": "quickstart|--audio|missing|--out|made",
    "prepare": "prepare|missing|--out|made",
    "train": "train|speech_16k|--data|missing|--run|made",
    "health": "health|missing",
    "evaluate": "evaluate|speech_16k_v2|--data|missing|--out|made",
    "report": "report|missing|--out|made.html",
    "page": "page|missing|--out|made",
    "speed": "speed|missing",
    "compare": "compare|peers|--data|missing|--out|made",
    "search": "search|run|search_speech|--data|missing|--out|made",
}
"""Words, by command, that name something which is not there."""


def run_each(folder: Path, absent: set[str], *commands: str) -> tuple[list[str], list[int]]:
    """Return the errors and exit statuses of commands in a process without some modules."""
    arguments = [sys.executable, "-c", RUN_EACH, " ".join(sorted(absent)), *commands]
    done = subprocess.run(arguments, cwd=folder, capture_output=True, text=True)
    lines = done.stderr.splitlines()
    statuses = [int(line.split()[1]) for line in lines if line.startswith("status ")]
    assert len(statuses) == len(commands) and "Traceback" not in done.stderr, done.stderr
    return [line for line in lines if line.startswith("codec: error: ")], statuses


@pytest.fixture(scope="module")
def providers() -> Mapping[str, list[str]]:
    """The distributions that hold each module that is installed."""
    return packages_distributions()


@pytest.mark.parametrize("extra", MODULES)
def test_each_extra_brings_the_modules_that_cannot_be_done_without(extra, providers):
    brought = {canonicalize_name(Requirement(text).name) for text in requirements_of(extra)}
    for module in filter(installed, MODULES[extra]):
        assert brought & {canonicalize_name(name) for name in providers[module]}, module


def test_all_is_every_extra_but_transformers_the_peers_clusters_loggers_and_documents():
    extras = project_table()["optional-dependencies"]
    left_out = {"all", "dev", "docs", "mlflow", "peers", "ray", "slurm", "trackio", "transformers", "wandb"}
    included = extras.keys() - left_out
    every = {text for extra in included for text in requirements_of(extra)}
    assert set(requirements_of("all")) == every


def test_help_needs_no_extra(tmp_path):
    names = ["quickstart", "encode", "decode", "info", "tokens", "models", "export", *COMMANDS]
    errors, statuses = run_each(tmp_path, OPTIONAL, "--help", *(f"{name}|--help" for name in names))
    assert (errors, set(statuses)) == ([], {0})


def test_coding_needs_no_extra(tmp_path, model):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(30_000), 16000)
    _, statuses = run_each(
        tmp_path,
        OPTIONAL,
        f"encode|a.wav|--out|nac|--model|{model}",
        f"decode|nac|--out|wav|--model|{model}",
        f"tokens|a.wav|--out|tokens|--model|{model}",
        f"decode|tokens|--out|back|--model|{model}",
        "info|nac",
        "models",
        f"export|{model}|--out|exported",
    )
    assert set(statuses) == {0}
    assert soundfile.info(tmp_path / "wav/a.wav").frames == soundfile.info(tmp_path / "back/a.wav").frames == 30_000


def test_a_command_without_its_extra_names_the_command_that_installs_it(tmp_path, model):
    onnx = f"export|{model}|--out|made|--onnx"
    errors, statuses = run_each(tmp_path, OPTIONAL, *COMMANDS.values(), onnx)
    assert set(statuses) == {2} and not list(tmp_path.iterdir())
    for error, extras in zip(errors, [*(EXTRAS[name] for name in COMMANDS), ("onnx",)], strict=True):
        assert error.endswith(install_command(*extras))


@pytest.mark.parametrize(
    "extras",
    [
        pytest.param(extras, marks=[] if extras == ("train",) else pytest.mark.long)
        for extras in sorted(set(EXTRAS.values()))
    ],
    ids="+".join,
)
def test_a_command_needs_no_other_extra_than_its_own(tmp_path, extras):
    own = {module for extra in extras for module in MODULES[extra]}
    names = [name for name in COMMANDS if EXTRAS[name] == extras]
    errors, statuses = run_each(tmp_path, OPTIONAL - own - LEFT_IN_PLACE, *(COMMANDS[name] for name in names))
    assert statuses == [2] * len(names)
    assert len(errors) == len(names) and "not installed" not in "".join(errors), errors


def test_a_folder_without_code_is_no_package(tmp_path, monkeypatch):
    (tmp_path / "some_model").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert not installed("some_model")
    (tmp_path / "other_model").mkdir()
    (tmp_path / "other_model/__init__.py").touch()
    assert installed("other_model")


def test_only_absent_extras_are_to_be_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    require_installed("this", "train", "eval")
    with pytest.raises(UserError, match=r"this .*\(optuna, tensorboard\).*\[search,tensorboard\]'$"):
        require_installed("this", "train", "search", "tensorboard")
    require_installed("this", "search", modules=["lightning"])
