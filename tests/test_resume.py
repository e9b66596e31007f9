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
from codec.checkpoint import checksum, load_model
from codec.errors import UserError
from codec.recipe import read_recipe, write_recipe
from codec.training.checkpoints import read_checkpoint
from codec.training.module import CodecModule
from codec.training.run import train
from data_prep.prepare import prepare

EVENTS = [
    ["SIGKILL", "training_step", 2],
    ["SIGKILL", "validation_step", 4],
    ["SIGTERM", "validation_step", 4],
    ["SIGKILL", "training_step", 4],
    ["full", "write", 8],
    ["SIGUSR1", "training_step", 5],
    ["SIGHUP", "training_step", 8],
    ["SIGINT", "training_step", 11],
    ["SIGKILL", "validation_step", 12],
    ["", "", 0],
]
FOUND = [[-9, 2], [-9, 2], [130, 4], [-9, 4], [2, 4], [130, 6], [130, 9], [130, 12], [-9, 12], [0, 12]]
"""Exit status and step of the checkpoint after each event."""
SHORT = [*TINY, "--train.steps=12", "--train.validate_every=4"]
ADVERSARIAL = ["--adversarial.start_step=5", "--adversarial.width=4"]


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("name", ["speech_16k", "speech_24k"])
def test_a_run_of_a_shipped_recipe_goes_on_from_all_that_breaks_it_off(tmp_path, corpus, prepared, name):
    plan = read_recipe(name, [*SHORT, *(ADVERSARIAL if name == "speech_24k" else [])])
    assert plan.train.patience and (plan.adversarial.weight > 0) == (name == "speech_24k")
    data = prepared
    if plan.codec.sample_rate != 16000:
        data = tmp_path / "data"
        prepare([corpus], data, sample_rate=plan.codec.sample_rate, workers=1)
    write_recipe(tmp_path / "recipe.yaml", plan)

    def run(folder: str, events: list[list[object]]) -> list[list[int]]:
        command = [sys.executable, broken_off.__file__, tmp_path / "recipe.yaml", data, tmp_path / folder]
        done = subprocess.run([*command, json.dumps(events)], capture_output=True, text=True)
        assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]

    assert run("whole", EVENTS[-1:]) == FOUND[-1:]
    assert run("broken", EVENTS) == FOUND
    assert_same_end(tmp_path / "whole", tmp_path / "broken")
    assert not list((tmp_path / "broken").rglob("*.part"))
    board = EventAccumulator(str(tmp_path / "broken/tensorboard"), {"scalars": 0}).Reload()
    assert [event.step for event in board.Scalars("val/total")] == [4, 8, 12]
    for tag in board.Tags()["scalars"]:
        assert max(Counter(event.step for event in board.Scalars(tag)).values()) == 1, tag
