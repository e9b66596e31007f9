"""Loggers beside ``metrics.csv`` have its values, and a run without one is the same run."""

import csv
import sys
import threading
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec.errors import UserError
from codec.training.metrics_log import read_curves
from codec.training.trainer import train
from tests.helpers.runs import read_metrics, tiny_recipe


def logged_by_csv(run: Path) -> dict[str, dict[int, float]]:
    found: dict[str, dict[int, float]] = {}
    for path in (run / "csv").glob("version_*/metrics.csv"):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                for name, cell in row.items():
                    if cell and name != "step":
                        found.setdefault(name, {})[int(row["step"])] = float(cell)
    return found


def logged_by_tensorboard(run: Path) -> dict[str, dict[int, float]]:
    board = EventAccumulator(str(run / "tensorboard"), {"scalars": 0}).Reload()
    return {tag: {event.step: event.value for event in board.Scalars(tag)} for tag in board.Tags()["scalars"]}


def test_loggers_have_the_values_of_the_table(tmp_path, prepared, monkeypatch):
    """In files that are read back by TensorBoard itself and as plain CSV; also of a run that goes on."""
    hook = threading.excepthook
    for name in ("auto", "csv", "none"):
        for steps in (2, 4):
            plan = tiny_recipe(f"--train.steps={steps}", f"--logger={name}", "--train.validate_every=2")
            train(plan, prepared, tmp_path / name, quiet=True)
    expected = {
        "/".join(key): dict(zip(curve.steps, curve.values)) for key, curve in read_curves(tmp_path / "csv").items()
    }
    for found in (logged_by_tensorboard(tmp_path / "auto"), logged_by_csv(tmp_path / "csv")):
        assert found.keys() == expected.keys() and {"val/total", "train_fixed/mel"} <= found.keys()
        for name, curve in expected.items():
            if not name.endswith(("minutes", "_s", "_s_per_s")):  # of two runs, which take different times
                assert found[name] == pytest.approx(curve, rel=1e-5)
    assert not any((tmp_path / "none" / name).exists() for name in ("tensorboard", "csv"))
    assert threading.excepthook is hook
    assert read_metrics(tmp_path / "none") == read_metrics(tmp_path / "auto") != []


@pytest.mark.parametrize("name", ["tensorboard", "wandb", "mlflow", "trackio"])
def test_a_logger_that_is_not_installed_is_named_with_its_extra(tmp_path, prepared, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=rf"{name}.*lathe-codec\[{name}\]"):
        train(tiny_recipe(f"--logger={name}"), prepared, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
