"""A run without TensorBoard is the same run."""

import sys

from codec.training.trainer import train
from tests.training.test_training import curves, recipe


def test_a_run_without_tensorboard_has_its_curves_all_the_same(tmp_path, prepared, monkeypatch):
    with_it, without = tmp_path / "with", tmp_path / "without"
    train(recipe("--train.steps=4"), prepared, with_it, quiet=True)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    train(recipe("--train.steps=4"), prepared, without, quiet=True)
    assert list((with_it / "tensorboard").glob("events*")) and not (without / "tensorboard").exists()
    assert curves(without) == curves(with_it) != []
