"""A training in several processes computes what one process computes, and all of them end together."""

import shlex
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
import torch
from torch.distributed.run import parse_args

from codec.dataset.packed import packed_folder
from codec.errors import UserError
from codec.recipe import write_recipe
from codec.runtime import launcher, signals
from codec.runtime.launcher import launch
from codec.runtime.process_layout import find_layout
from codec.training import joining
from codec.training.checkpointing import read_checkpoint
from tests.helpers import process_groups
from tests.helpers.children import running, wait_for_end
from tests.helpers.runs import assert_same_end, read_metrics, tiny_recipe
from tests.helpers.shards import prepared_in_shards

ADVERSARIAL = ["--adversarial.weight=0.1", "--adversarial.width=4", "--adversarial.start_step=3"]
AUGMENTED = ["--augment.gain=0.5", "--augment.mix=0.5", "--augment.noise=0.5"]
SETTINGS = ["--train.max_minutes=0", "--data.batch_size=4", "--train.validation_clips=8", *ADVERSARIAL, *AUGMENTED]
SHARED = ("restarted", "lr", "clipped", "usage_q0", "usage_q1", "usage_q2")
"""Terms that are no means over the items of a batch, and may step by a count of one."""


def values(run) -> dict[tuple[str, str, str], float]:
    return {(row["step"], row["split"], row["term"]): float(row["value"]) for row in read_metrics(run)}


def largest_difference(one, two, keys) -> float:
    """Return the largest relative difference of values, and print it for docs/results/scaling.md."""
    found = max(abs(two[key] - one[key]) / max(abs(one[key]), 1e-3) for key in keys)
    print(f"\n{len(keys)} losses, largest relative difference {found:.1e}")
    return found


def alone(*arguments) -> int:
    with running(process_groups.train, *arguments) as process:
        return wait_for_end(process)


# --- two processes and one ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pair(tmp_path_factory, prepared):
    """A folder with a recipe of 12 steps, and two runs of it: by one process, ``one``, and by two, ``two``."""
    folder = tmp_path_factory.mktemp("pair")
    recipe = tiny_recipe(*SETTINGS, "--train.validate_every=5")
    write_recipe(folder / "recipe.yaml", recipe)
    assert alone(folder / "recipe.yaml", prepared, folder / "one") == 0
    assert process_groups.together(2, process_groups.train, folder / "recipe.yaml", prepared, folder / "two") == [0, 0]
    return folder


def test_two_processes_train_like_one(pair):
    one, two = values(pair / "one"), values(pair / "two")
    assert one.keys() == two.keys() and ("12", "val", "total") in one
    assert sum(term == "l1" for _, _, term in one) == 12 + 2 * 3
    losses = [key for key in one if key[2] not in SHARED]
    assert largest_difference(one, two, losses) < 1e-5
    heard = [
        read_checkpoint(pair / name / "checkpoints/last.ckpt", pair)["callbacks"]["heard"] for name in ("one", "two")
    ]
    assert heard[0] == heard[1]


def test_all_processes_have_the_same_weights_bit_for_bit(pair):
    first, second = (torch.load(pair / f"two-{rank}.pt") for rank in range(2))
    assert any("codebook" in name for name in first) and any("average" in name for name in first)
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_one_process_writes(pair):
    names = [sorted(str(path.relative_to(pair / run)) for path in (pair / run).rglob("*")) for run in ("one", "two")]
    plain = [[name for name in each if "tfevents" not in name] for each in names]
    assert plain[0] == plain[1]
    rows = [(row["step"], row["split"], row["term"]) for row in read_metrics(pair / "two")]
    assert len(rows) == len(set(rows))


@pytest.mark.long
def test_losses_of_two_processes_stay_those_of_one_over_a_hundred_steps(tmp_path, prepared):
    recipe = tiny_recipe(*SETTINGS, "--train.steps=100", "--train.validate_every=25", "--optim.warmup_steps=20")
    write_recipe(tmp_path / "recipe.yaml", recipe)
    arguments = tmp_path / "recipe.yaml", prepared
    assert alone(*arguments, tmp_path / "one", "", 0, 0, True) == 0
    assert process_groups.together(2, process_groups.train, *arguments, tmp_path / "two", "", 0, 0, True) == [0, 0]
    one, two = values(tmp_path / "one"), values(tmp_path / "two")
    ends = [key for key in one if key[0] == "100" and key[1] in ("val", "train_fixed") and key[2] not in SHARED]
    assert len(ends) > 10
    assert largest_difference(one, two, ends) < 0.01


@pytest.mark.parametrize("overrides", [[], ["--train.accumulate=2"]], ids=["whole", "in parts"])
def test_gradients_codebooks_and_restarts_of_two_processes_are_exact(tmp_path, overrides):
    settings = ["--data.batch_size=8", "--optim.lr=1e-4", *overrides]
    with running(process_groups.steps_in_double, tmp_path, 1, *settings) as process:
        assert wait_for_end(process) == 0
    assert process_groups.together(2, process_groups.steps_in_double, tmp_path, 2, *settings) == [0, 0]
    one, first, second = (torch.load(tmp_path / name) for name in ("1-0.pt", "2-0.pt", "2-1.pt"))
    assert (one["restarted"] > 0) == (not overrides) and one["codec.encoder.last.weight"].dtype == torch.float64
    for name, value in one.items():
        assert torch.equal(first[name], second[name]), name
        torch.testing.assert_close(first[name], value, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.usefixtures("interruptible")
def test_a_signal_to_any_process_ends_all_which_resume_exactly(pair, prepared):
    arguments = pair / "recipe.yaml", prepared, pair / "broken"
    assert process_groups.together(2, process_groups.train, *arguments, "SIGUSR1", 5, 1) == [130, 130]
    assert read_checkpoint(pair / "broken/checkpoints/last.ckpt", pair)["step"] == 6
    assert process_groups.together(2, process_groups.train, *arguments, "SIGTERM", 11, 0) == [130, 130]
    assert process_groups.together(2, process_groups.train, *arguments) == [0, 0]
    assert_same_end(pair / "two", pair / "broken")


def test_a_run_resumes_with_another_number_of_processes(pair, prepared):
    arguments = pair / "recipe.yaml", prepared, pair / "changed"
    assert process_groups.together(2, process_groups.train, *arguments, "SIGUSR1", 9, 0) == [130, 130]
    assert alone(*arguments) == 0
    one, changed = values(pair / "one"), values(pair / "changed")
    losses = [key for key in one if key[2] not in SHARED]
    assert largest_difference(one, changed, losses) < 1e-5


def test_if_one_process_is_killed_the_other_ends_in_one_line(pair, prepared):
    arguments = pair / "recipe.yaml", prepared, pair / "killed", "SIGKILL", 4, 1
    started = time.monotonic()
    assert process_groups.together(2, process_groups.train, *arguments) == [3, -signal.SIGKILL]
    assert time.monotonic() - started < 60
    assert len((pair / "killed-0.txt").read_text().splitlines()) == 1


def test_an_error_of_one_process_is_reported_once_and_ends_all(pair, prepared):
    arguments = pair / "recipe.yaml", prepared, pair / "failed", "damage", 4, 1
    assert process_groups.together(2, process_groups.train, *arguments) == [3, 2]
    assert (pair / "failed-1.txt").read_text() == "damaged"


def test_a_process_with_another_recipe_ends_all(pair, prepared):
    arguments = pair / "recipe.yaml", prepared, pair / "other", "recipe", 0, 1
    assert process_groups.together(2, process_groups.train, *arguments) == [3, 2]
    assert "another recipe" in (pair / "other-1.txt").read_text() and not (pair / "other").exists()


def test_an_array_that_the_first_process_finds_damaged_is_skipped_by_all(tmp_path):
    data = prepared_in_shards(tmp_path)
    array = packed_folder(data, 16000, 1) / "train-00001.npy"
    content = array.read_bytes()
    array.write_bytes(content[:-9] + bytes([content[-9] ^ 64]) + content[-8:])
    assert process_groups.together(2, process_groups.check_arrays, data, tmp_path) == [0, 0]
    assert [(tmp_path / f"{rank}.txt").read_text() for rank in range(2)] == [array.name] * 2


# --- how the processes are started ---------------------------------------------------------------------------------


def test_tasks_of_slurm_find_their_place():
    step = {
        "SLURM_STEP_NUM_TASKS": "6",
        "SLURM_STEP_NUM_NODES": "3",
        "SLURM_STEP_NODELIST": "a[3,5],b",
        "SLURM_JOB_ID": "9",
    }
    layouts = [find_layout(step | {"SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank % 2)}) for rank in range(6)]
    assert [layout.rank for layout in layouts] == list(range(6))
    assert {(layout.count, layout.local_count, layout.nodes, layout.address) for layout in layouts} == {(6, 2, 3, "a3")}
    ports = {
        find_layout(step | {"SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_STEP_ID": str(i)}).port for i in range(3)
    }
    assert len(ports) == 3
    assert find_layout({"SLURM_NTASKS": "4", "SLURM_PROCID": "0"}) is None  # a batch script, of which one copy runs


def test_the_launcher_returns_the_status_of_the_process_that_failed(capfd):
    assert launch(["--version"], 2, 1) == 0
    assert launch(["train", "nowhere"], 2, 1) == 2
    assert capfd.readouterr().err.count("error") == 2


def test_the_launcher_ends_the_first_process_when_another_has_failed(tmp_path, monkeypatch):
    (tmp_path / "codec").mkdir()
    (tmp_path / "codec/__init__.py").touch()
    program = "import os, sys, time\nif os.environ['RANK'] == '1': sys.exit(3)\ntime.sleep(100)\n"
    (tmp_path / "codec/__main__.py").write_text(program)
    monkeypatch.chdir(tmp_path)  # where python -m codec finds this program
    monkeypatch.setattr(launcher, "_GRACE_S", 0.1)
    began = time.monotonic()
    assert launch([], 2, 1) == 3
    assert time.monotonic() - began < 50


def test_torchrun_leaves_the_options_of_the_command_alone():
    script = (Path(__file__).parents[2] / "recipes/launch/torchrun.sh").read_text().replace("\\\n", " ")
    words = shlex.split(script.replace('"$@"', "speech_16k --run R"), comments=True)
    parsed = parse_args(words[words.index("torchrun") + 1 :])
    assert [parsed.training_script, *parsed.training_script_args] == ["codec", "train", "speech_16k", "--run", "R"]
    assert "SIGUSR1" in parsed.signals_to_handle


def test_a_process_says_that_it_waits_for_others(monkeypatch, capfd):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "0")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(joining, "_PATIENCE_S", 0.1)
    monkeypatch.setattr(joining, "_CONNECT_TIMEOUT", timedelta(seconds=2))
    with pytest.raises(UserError, match="127"), joining.joined_processes():
        pass
    assert "codec: note: process 0 of 2" in capfd.readouterr().err


def test_several_machines_need_the_address_of_the_first(monkeypatch):
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with pytest.raises(UserError, match="NODE_RANK"):
        launch(["--version"], 1, 2)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGKILL, marks=pytest.mark.long)])
def test_codec_train_starts_its_own_processes_and_ends_them(tmp_path, prepared, number):
    write_recipe(tmp_path / "recipe.yaml", tiny_recipe(*SETTINGS, "--train.steps=100000", "--train.validate_every=500"))
    words = ["train", tmp_path / "recipe.yaml", "--data", prepared, "--run", tmp_path / "run", "--devices", "2"]
    command = [sys.executable, "-m", "codec", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            metrics = tmp_path / "run/metrics.csv"
            while not (metrics.is_file() and ",train," in metrics.read_text()):
                assert process.poll() is None
                time.sleep(0.1)
            process.send_signal(number)
            _, errors = process.communicate(timeout=120)  # until the last of them has closed its output
        finally:
            process.kill()
    assert process.returncode == (130 if number == signal.SIGTERM else -number)
    assert read_checkpoint(tmp_path / "run/checkpoints/last.ckpt", tmp_path)["step"] > 0
    assert [line for line in errors.splitlines() if line.startswith("codec: ")] == [f"codec: error: {signals.MESSAGE}"]
