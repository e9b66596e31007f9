"""A training that is interrupted or resumed computes what one without interruption computes."""

import signal
from pathlib import Path

import pytest

from codec.errors import UserError
from codec.recipe import read_recipe
from codec.training.checkpointing import read_checkpoint
from codec.training.forecast import choose_validation_interval
from codec.training.trainer import train
from eval.training_health.examine import examine
from tests.helpers.runs import RANDOM, assert_same_end, before_step, tiny_recipe, validated_steps


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prepared) -> Path:
    """A run that was not interrupted. Do not write to it."""
    folder = tmp_path_factory.mktemp("whole")
    train(tiny_recipe(*RANDOM), prepared, folder, quiet=True)
    return folder


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("at", [5, 11], ids=["between", "last"])
def test_a_run_resumed_after_ctrl_c_ends_like_an_uninterrupted_one(tmp_path, prepared, whole, monkeypatch, at):
    plan = tiny_recipe(*RANDOM)
    before_step(monkeypatch, at, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(plan, prepared, tmp_path / "stopped", quiet=True)
    assert read_checkpoint(tmp_path / "stopped/checkpoints/last.ckpt", tmp_path)["step"] == at + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    train(plan, prepared, tmp_path / "stopped", quiet=True)
    assert_same_end(whole, tmp_path / "stopped")


@pytest.mark.parametrize("limit", [[], ["--train.max_minutes=1e-5"]])
def test_a_finished_run_is_not_changed(tmp_path, prepared, limit):
    plan = tiny_recipe(*limit)
    first = train(plan, prepared, tmp_path, quiet=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert train(plan, prepared, tmp_path, quiet=True) == first
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_changed_settings_are_reported_and_the_earlier_recipe_is_kept(tmp_path, prepared, capsys):
    first, second = tiny_recipe(), tiny_recipe("--train.steps=16", "--train.validate_every=8", "--optim.lr=0.001")
    train(first, prepared, tmp_path, quiet=True)
    assert train(second, prepared, tmp_path).steps == 16
    printed = capsys.readouterr().out
    for change in ("--optim.lr 0.002 -> 0.001", "--train.steps 12 -> 16", "--train.validate_every 4 -> 8"):
        assert change in printed
    assert read_recipe(str(tmp_path / "recipe-until-step-12.yaml")) == first
    assert read_recipe(str(tmp_path / "recipe.yaml")) == second
    assert "recipe-until-step-12.yaml" in examine(tmp_path).progress


@pytest.mark.usefixtures("interruptible")
def test_a_short_run_is_validated_often_enough_also_when_resumed(tmp_path, prepared, monkeypatch):
    plan = tiny_recipe("--train.steps=40", "--train.validate_every=1000", "--train.max_minutes=0")
    train(plan, prepared, tmp_path / "whole")
    assert validated_steps(tmp_path / "whole") == list(range(4, 41, 4))
    before_step(monkeypatch, 21, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(plan, prepared, tmp_path / "stopped")
    monkeypatch.undo()
    train(plan, prepared, tmp_path / "stopped", quiet=True)
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


def test_validations_are_more_frequent_in_short_runs():
    limited = read_recipe("quickstart", ["--train.max_minutes=3"])
    assert [choose_validation_interval(limited, steps) for steps in (1000, 600, 400, 5, 0)] == [200, 200, 40, 1, 1]


def test_a_run_can_be_given_more_steps_but_no_other_architecture(tmp_path, prepared):
    train(tiny_recipe(), prepared, tmp_path, quiet=True)
    assert train(tiny_recipe("--train.steps=16"), prepared, tmp_path, quiet=True).steps == 16
    with pytest.raises(UserError, match=str(tmp_path)):
        train(tiny_recipe("--codec.hop=160"), prepared, tmp_path, quiet=True)
