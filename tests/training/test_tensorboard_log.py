"""Curves for TensorBoard are written where it is installed, and nothing else depends on it."""

import sys

import pytest

from codec.training.tensorboard_log import tensorboard_loggers
from codec.training.trainer import train
from tests.training.test_training import curves, recipe


def test_a_run_without_tensorboard_has_its_curves_all_the_same(tmp_path, prepared, monkeypatch):
    with_it, without = tmp_path / "with", tmp_path / "without"
    train(recipe("--train.steps=4"), prepared, with_it, quiet=True, tables=False)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    train(recipe("--train.steps=4"), prepared, without, quiet=True, tables=False)
    assert list((with_it / "tensorboard").glob("events*")) and not (without / "tensorboard").exists()
    assert curves(without) == curves(with_it) != []


@pytest.mark.parametrize("present", [True, False])
def test_there_is_a_logger_only_where_tensorboard_is_installed(tmp_path, monkeypatch, present):
    if not present:
        monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert len(tensorboard_loggers(tmp_path, None)) == present
