"""A run that is broken off, whatever breaks it off, ends as one that was not; settings are those of the last command."""

import json
import math
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from conftest import TINY
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from test_training import assert_same_end, curves, recipe

import broken_off
from children import running, wait_for_end
from codec.checkpoint import checksum, load_model
from codec.errors import UserError
from codec.recipe import read_recipe, write_recipe
from codec.training.checkpoints import read_checkpoint
from codec.training.module import CodecModule
from codec.training.run import train
from data_prep.prepare import prepare

BREAKS = [
    ("SIGKILL", "training_step", 2, True, -9, 2),
    ("SIGKILL", "validation_step", 4, True, -9, 3),
    ("SIGTERM", "validation_step", 4, False, 130, 4),
    ("SIGKILL", "training_step", 4, False, -9, 4),
    ("full", "write", 8, False, 2, 4),
    ("SIGUSR1", "training_step", 5, False, 130, 6),
    ("SIGHUP", "training_step", 8, False, 130, 9),
    ("SIGINT", "training_step", 11, False, 130, 12),
    ("SIGKILL", "validation_step", 12, False, -9, 12),
    ("", "", 0, False, 0, 12),
]
"""What happens, where, at which step, whether there is a checkpoint after each; exit status and checkpoint after it."""
SHORT = [*TINY, "--train.steps=12", "--train.validate_every=4"]
ADVERSARIAL = ["--adversarial.start_step=5", "--adversarial.width=4"]


@pytest.mark.parametrize("name", ["speech_16k", "speech_24k"])
def test_a_run_of_a_shipped_recipe_goes_on_from_all_that_breaks_it_off(tmp_path, corpus, prepared, name):
    plan = read_recipe(name, [*SHORT, *(ADVERSARIAL if name == "speech_24k" else [])])
    assert plan.train.patience and (plan.adversarial.weight > 0) == (name == "speech_24k")
    data = prepared
    if plan.codec.sample_rate != 16000:
        data = tmp_path / "data"
        prepare([corpus], data, sample_rate=plan.codec.sample_rate, workers=1)
    write_recipe(tmp_path / "recipe.yaml", plan)

    train(plan, data, tmp_path / "whole", quiet=True, tables=False)
    for *event, status, step in BREAKS:
        with running(broken_off.train, tmp_path / "recipe.yaml", data, tmp_path / "broken", *event) as process:
            assert wait_for_end(process) == status, event
        assert read_checkpoint(tmp_path / "broken/checkpoints/last.ckpt", tmp_path)["step"] == step, event
    assert_same_end(tmp_path / "whole", tmp_path / "broken")
    assert not list((tmp_path / "broken").rglob("*.part"))
    board = EventAccumulator(str(tmp_path / "broken/tensorboard"), {"scalars": 0}).Reload()
    assert [event.step for event in board.Scalars("val/total")] == [4, 8, 12]
    for tag in board.Tags()["scalars"]:
        assert max(Counter(event.step for event in board.Scalars(tag)).values()) == 1, tag
