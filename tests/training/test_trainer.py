"""A training run: the files that it leaves, and its messages."""

import csv
import json
import shutil
import time

import numpy as np
import pytest

from codec.dataset.ledger import count_candidates
from codec.dataset.packed import packed_folder
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.losses import LOSS_TERMS
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.model_folder import read_training_info
from codec.recipe import read_recipe
from codec.training.trainer import train
from tests.helpers.runs import read_metrics, tiny_recipe


def test_files_of_a_run(tmp_path, prepared):
    plan, runs = tiny_recipe("--losses.l1=1"), count_candidates(prepared)
    result = train(plan, prepared, tmp_path, quiet=True)
    assert read_recipe(str(tmp_path / "recipe.yaml")) == plan
    assert json.loads((tmp_path / "run.json").read_text())["best_step"] == result.best_step
    assert load_codec(tmp_path).config == plan.codec
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert count_candidates(prepared) == runs + 1
    with (prepared / "manifest.csv").open(newline="") as manifest:
        clips = [row for row in csv.DictReader(manifest) if row["split"] == "train"]
    trained_on = read_training_info(tmp_path)["trained_on"]
    assert (trained_on["clips"], trained_on["groups"]) == (len(clips), len({row["group"] for row in clips}))
    assert trained_on["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in clips), abs=0.1)
    assert not list(tmp_path.rglob("*.part"))
    rows = read_metrics(tmp_path)
    for split, steps in (("train", {1}), ("train_fixed", {4, 8, 12}), ("val", {4, 8, 12})):
        for term in LOSS_TERMS:  # those with weight 0 too
            found = [row for row in rows if (row["split"], row["term"]) == (split, term)]
            assert {int(row["step"]) for row in found} == steps and len(found) == len(steps)
            assert all(np.isfinite(float(row["value"])) for row in found)
    best = min((float(r["value"]), int(r["step"])) for r in rows if (r["split"], r["term"]) == ("val", "total"))
    assert best == (pytest.approx(result.best_validation_loss, rel=1e-6), result.best_step)
    used = [float(row["value"]) for row in rows if row["term"] == "usage_q0"]
    perplexity = [float(row["value"]) for row in rows if row["term"] == "perplexity_q0"]
    assert all(0 < u <= 1 and 1 <= p <= 16 * u + 1e-3 for u, p in zip(used, perplexity, strict=True))


def test_training_needs_no_test_split(tmp_path, prepared):
    shutil.copytree(prepared, tmp_path / "data")
    for path in packed_folder(tmp_path / "data", 16000, 1).glob("test*"):
        path.unlink()
    assert train(tiny_recipe(), tmp_path / "data", tmp_path / "run", quiet=True).steps == 12


def test_slow_phases_are_announced(tmp_path, prepared, capsys):
    train(tiny_recipe(), prepared, tmp_path / "run")
    reading, weights, codec, _, expected = capsys.readouterr().out.splitlines()[:5]
    assert str(prepared) in reading and "6 s" in weights and "ms" in codec and "steps/s" in expected
    train(tiny_recipe("--train.steps=16"), prepared, tmp_path / "run")
    assert "step 12" in capsys.readouterr().out.splitlines()[1]


def test_half_precision_trains(tmp_path, prepared):
    result = train(tiny_recipe("--train.precision=bf16"), prepared, tmp_path, quiet=True)
    assert result.steps == 12 and np.isfinite(result.best_validation_loss)


def test_a_short_run_waits_for_the_check_of_the_arrays(tmp_path, prepared, monkeypatch):
    def find_damage_late(split: PackedSplit) -> None:
        time.sleep(2)  # training takes less
        raise UserError("train-00000.npy")

    monkeypatch.setattr(PackedSplit, "verify", find_damage_late)
    with pytest.raises(UserError, match=r"train-00000\.npy"):
        train(tiny_recipe("--train.steps=1"), prepared, tmp_path, quiet=True)
    assert not (tmp_path / "run.json").exists()
