"""A run without TensorBoard is the same run."""

import sys

from codec.training.trainer import train
from tests.helpers.runs import read_metrics, tiny_recipe


def test_a_run_without_tensorboard_has_its_curves_all_the_same(tmp_path, prepared, monkeypatch):
    with_it, without = tmp_path / "with", tmp_path / "without"
    train(tiny_recipe("--train.steps=4"), prepared, with_it, quiet=True)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    train(tiny_recipe("--train.steps=4"), prepared, without, quiet=True)
    assert list((with_it / "tensorboard").glob("events*")) and not (without / "tensorboard").exists()
    assert read_metrics(without) == read_metrics(with_it) != []
