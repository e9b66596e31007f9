"""Tiny training runs: their recipe, what they leave behind, and interruptions in the middle of one."""

import csv
import functools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from codec.config import Recipe
from codec.pretrained.checkpoint import load_codec, model_checksum
from codec.recipe import read_recipe
from codec.training.heard_audio import read_heard_audio
from codec.training.module import CodecModule
from tests.helpers.tiny import WITHOUT_CONTEXTS

RANDOM = [
    *("--codec.encoder.dropout=0.1", "--codec.decoder.dropout=0.1"),
    *(f"--augment.{name}=0.5" for name in ("gain", "noise", "mix", "band_limit", "equaliser", "reverb")),
]
"""Settings with which much of a training step is random."""
_TIMES = ("audio_s_per_s", "minutes", "judging_s")


@functools.cache
def tiny_recipe(*overrides: str, name: str = "quickstart") -> Recipe:
    """Return a tiny recipe of 12 steps with a validation after every fourth, without contexts."""
    return read_recipe(name, [*WITHOUT_CONTEXTS, "--train.steps=12", "--train.validate_every=4", *overrides])


def read_metrics(run: Path) -> list[dict[str, str]]:
    """Return the rows of the table of metrics, without those that depend on the clock."""
    with (run / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["term"] not in _TIMES]


def validated_steps(run: Path) -> list[int]:
    """Return the steps of all validations of a run."""
    return [int(row["step"]) for row in read_metrics(run) if (row["split"], row["term"]) == ("val", "total")]


def assert_same_end(one: Path, other: Path) -> None:
    """Check that weights, averages, optimisers, models, metrics and heard audio of two runs are equal bit by bit."""
    states = [torch.load(run / "checkpoints/last.ckpt", map_location="cpu", weights_only=True) for run in (one, other)]
    assert states[0]["step"] == states[1]["step"]
    assert states[0]["callbacks"]["heard"] == states[1]["callbacks"]["heard"]
    assert read_heard_audio(one) == read_heard_audio(other)
    for part in ("state_dict", "optimizer_states"):
        first, second = (_leaves(state[part]) for state in states)
        assert first.keys() == second.keys() and len(first) > 10
        for name, value in first.items():
            same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
            assert same, name
    assert model_checksum(load_codec(one)) == model_checksum(load_codec(other))
    assert read_metrics(one) == read_metrics(other)


def _leaves(value: object, name: str = "") -> dict[str, object]:
    """Return each number and tensor in nested dictionaries and lists by its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {name: value}
    return {path: leaf for key, item in items for path, leaf in _leaves(item, f"{name}/{key}").items()}


def before_step(monkeypatch: pytest.MonkeyPatch, at: int, act: Callable[[], object]) -> None:
    """Call a function before a training step."""
    step = CodecModule.training_step

    def training_step(self: CodecModule, *given: object) -> None:
        if self.state.step == at:
            act()
        step(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(CodecModule, "training_step", training_step)
