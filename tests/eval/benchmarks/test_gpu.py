"""The benchmark of a GPU, at tiny sizes on the CPU; what it carries away, and what it brings along."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec
from codec.training.checkpointing import read_checkpoint
from codec.training.cuda_graph import pack_result, unpack_result
from codec.training.metrics_log import read_curves
from codec.training.step import StepResult
from codec.training.trainer import TrainingOptions, train
from eval.benchmarks import gpu_training
from eval.benchmarks.checkpoint_parts import join_checkpoint, split_checkpoint
from eval.benchmarks.gpu import GpuOptions, run
from eval.benchmarks.gpu_bundle import gather, unpack
from eval.benchmarks.timed_training import train_for
from tests.helpers.runs import tiny_recipe

TINY = GpuOptions(minutes=4.0, batches=(2,), file_batches=(1, 2), files=2, file_s=0.5, each_s=0.01)
NO_TABLES = TrainingOptions(fit_tables=False, keep_audio_samples=False)


def test_all_parts_run_and_the_training_goes_on(tmp_path, prepared, model, monkeypatch):
    monkeypatch.setattr(gpu_training, "installed", lambda package: False)
    result = run(tiny_recipe(), str(model), prepared, tmp_path, TINY, torch.device("cpu"), "the command")
    stored = json.loads((tmp_path / "gpu.json").read_text())
    assert result.agreement.passed and stored["agreement"]["equal_codes"] == 1
    assert {(one.setting.precision, one.setting.adversarial) for one in result.steps} == {
        (precision, adversarial) for precision in ("32", "bf16") for adversarial in (False, True)
    }
    for one in result.steps:
        assert one.audio_s_per_s == pytest.approx(0.48 * one.steps_per_s) and one.matrix_share > 0
    assert [one.name for one in result.not_timed if one.reason == "not installed"] == ["encodec", "dac"]
    assert [one.batch for one in result.files] == [1, 2] and min(one.decode for one in result.files) > 0
    page = (tmp_path / "gpu.md").read_text()
    assert len(read_curves(tmp_path / "run")[("val", "total")]) == 3 and load_codec(tmp_path / "run")
    assert "the command" in page and "12 steps" in page and "not installed" in page
    join_checkpoint(tmp_path / "checkpoint", tmp_path / "joined/checkpoints/last.ckpt")
    assert read_checkpoint(tmp_path / "joined/checkpoints/last.ckpt", tmp_path)["step"] == 12


def test_measurements_end_with_their_time(tmp_path, model):
    options = replace(TINY, minutes=0.0)
    result = run(tiny_recipe(), str(model), None, tmp_path, options, torch.device("cpu"), "the command")
    assert result.agreement.passed and not result.steps and not result.files
    assert {one.reason for one in result.not_timed} <= {gpu_training.NO_TIME, "not installed"}
    assert {one.name for one in result.not_timed} == {"Lathe", "encodec", "dac", "files, 1 at once", "files, 2 at once"}


def test_what_is_expected_to_take_longer_than_the_time_left_is_not_begun():
    clock = gpu_training.TimeLeft(0.5)
    assert clock.suffices(0.01) and not clock.suffices(1.0)
    clock = gpu_training.TimeLeft(0.5)
    assert clock.suffices()
    time.sleep(0.3)
    assert not clock.suffices()


def test_a_second_call_continues_the_training_for_its_own_time(tmp_path, prepared):
    endless = tiny_recipe("--train.steps=1000000", "--train.validate_every=1000")
    first = train_for(0.5, endless, prepared, tmp_path)
    second = train_for(0.5, tiny_recipe("--train.steps=1"), prepared, tmp_path)
    assert 0.5 / 60 < first.minutes and first.minutes + 0.5 / 60 < second.minutes
    assert first.steps < second.steps and "the clock" in second.stopped
    assert {first.steps, second.steps} <= set(read_curves(tmp_path)[("val", "total")].steps)


def test_a_run_goes_on_from_a_joined_checkpoint(tmp_path, prepared):
    train(tiny_recipe(), prepared, tmp_path / "run", quiet=True, options=NO_TABLES)
    last = tmp_path / "run/checkpoints/last.ckpt"
    before = read_checkpoint(last, tmp_path)
    parts = split_checkpoint(last, tmp_path / "parts", part_bytes=20_000)
    assert len(parts) > 2 and max(part.stat().st_size for part in parts) <= 20_000
    assert sum(part.stat().st_size for part in parts) < 0.9 * last.stat().st_size
    join_checkpoint(tmp_path / "parts", last)
    after = read_checkpoint(last, tmp_path)
    assert all(torch.equal(value, after["state_dict"][name]) for name, value in before["state_dict"].items())
    for one, other in zip(*(state["optimizer_states"][0]["state"].values() for state in (before, after))):
        torch.testing.assert_close(one["exp_avg_sq"], other["exp_avg_sq"], rtol=2**-8, atol=0)
    assert train(tiny_recipe("--train.steps=16"), prepared, tmp_path / "run", quiet=True, options=NO_TABLES).steps == 16
    parts[1].write_bytes(b"0" + parts[1].read_bytes()[1:])
    with pytest.raises(UserError, match="damaged"):
        join_checkpoint(tmp_path / "parts", tmp_path / "other.ckpt")
    assert not (tmp_path / "other.ckpt").exists()


def test_a_result_survives_in_one_tensor():
    result = StepResult(torch.tensor(1.5), {"l1": torch.tensor(2.0)}, torch.tensor(True), {"norm": torch.tensor(3)})
    found = unpack_result(pack_result(result), result)
    assert found.metric_total == 1.5 and found.finite.dtype == torch.bool and found.finite
    assert found.terms == {"l1": 2.0} and found.statistics == {"norm": 3.0}


def test_the_bundle_holds_audio_of_many_speakers_and_keeps_its_size(tmp_path, prepared):
    hours = gather(prepared, tmp_path / "bundle", total_bytes=250_000, wheels=False)
    files = sorted((tmp_path / "bundle").rglob("*.ogg"))
    assert sum(path.stat().st_size for path in (tmp_path / "bundle").rglob("*") if path.is_file()) <= 250_000
    assert len({path.parent for path in files}) > 3
    seconds = [soundfile.info(path).duration for path in files]
    assert hours == pytest.approx(sum(seconds) / 3600, rel=0.01)
    rates = [8e-3 * path.stat().st_size / second for path, second in zip(files, seconds)]
    assert 15 < float(np.median(rates)) < 50
    for _ in range(2):
        unpack(tmp_path / "bundle/audio", tmp_path / "wav")
    unpacked = [soundfile.info(path) for path in sorted((tmp_path / "wav").rglob("*.wav"))]
    assert {(info.samplerate, info.subtype) for info in unpacked} == {(16000, "PCM_16")}
    assert [info.duration for info in unpacked] == pytest.approx(seconds)
    with pytest.raises(UserError):
        gather(prepared, tmp_path / "bundle")
    with pytest.raises(UserError):
        gather(prepared, tmp_path / "small", total_bytes=10, wheels=False)
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "wav"}


IMPORTS = """
import builtins
original, found = builtins.__import__, set()
def watched(name, globals=None, *given, **named):
    if (globals or {}).get("__name__", "").split(".")[0] in ("codec", "eval", "data_prep"):
        found.add(name.split(".")[0])
    return original(name, globals, *given, **named)
builtins.__import__ = watched
import eval.benchmarks.gpu, data_prep.prepare
print(*found)
"""


def test_what_a_gpu_without_network_imports_is_little():
    """What packages such as torchmetrics import where it is installed does not count."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS], check=True, capture_output=True, text=True, cwd=Path(__file__).parents[3]
    )
    found = set(done.stdout.split())
    assert {"torch", "lightning", "codec"} <= found
    assert not found & {"librosa", "scipy", "optuna", "auraloss", "matplotlib", "av", "pyloudnorm"}
