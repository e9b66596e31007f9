"""Trainings that are killed at random moments; tests/training/test_resume.py has each kind of interruption once."""

import shutil

import pytest
import torch

from codec.errors import UserError
from codec.training.trainer import train
from eval.benchmarks.survival import differences, survive
from tests.helpers.runs import tiny_recipe


def test_each_difference_between_two_runs_is_found(tmp_path, prepared):
    one, other = tmp_path / "one", tmp_path / "other"
    train(tiny_recipe("--train.steps=4"), prepared, one, quiet=True)
    shutil.copytree(one, other)
    assert differences(one, other) == []
    state = torch.load(other / "checkpoints/last.ckpt", weights_only=True)
    name = next(name for name, value in state["state_dict"].items() if value.is_floating_point() and value.numel() > 1)
    state["state_dict"][name].view(-1)[1] += 1e-6
    torch.save(state, other / "checkpoints/last.ckpt")
    weights = bytearray((other / "model/model.safetensors").read_bytes())
    weights[-1] ^= 1
    (other / "model/model.safetensors").write_bytes(weights)
    with (other / "metrics.csv").open("a") as file:
        file.write("5,train,l1,0.5\n")
    assert differences(one, other) == [f"state_dict/{name}", "model/model.safetensors", "metrics.csv"]


@pytest.mark.long
@pytest.mark.parametrize(("kills", "streamed", "processes"), [(6, False, 1), (4, True, 2)])
def test_a_training_survives_kills_at_random_moments(tmp_path, kills, streamed, processes):
    table = survive(tmp_path / "out", kills, seed=1, streamed=streamed, processes=processes)
    assert sum(int(row[1]) for row in table.rows) == kills
    with pytest.raises(UserError, match="out"):
        survive(tmp_path / "out", 1, seed=1)
