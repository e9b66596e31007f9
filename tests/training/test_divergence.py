"""Steps without a finite loss, losses that explode, and processes that load data and are killed."""

import math
import multiprocessing
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.dataset.location import open_split
from codec.errors import UserError
from codec.training import monitors
from codec.training.checkpointing import read_checkpoint, roll_back
from codec.training.data_module import CodecData
from codec.training.divergence import Diverged
from codec.training.learning_rate import learning_rate_ratio
from codec.training.metrics_log import read_curves
from codec.training.module import CodecModule
from codec.training.monitors import MAX_SKIPPED
from codec.training.status import training_status
from codec.training.trainer import train
from tests.helpers.runs import before_step, read_metrics, tiny_recipe


def spoil_batches(monkeypatch: pytest.MonkeyPatch, steps: set[int]) -> None:
    """Put a NaN into the batches of these steps, which packed files cannot contain."""
    step = CodecModule.training_step

    def spoiled(self, batch, index):
        if self.state.step in steps:
            batch.waveform[0, 0, 5] = math.nan
        return step(self, batch, index)

    monkeypatch.setattr(CodecModule, "training_step", spoiled)


@pytest.mark.parametrize("extra", [[], ["--adversarial.weight=0.1", "--adversarial.width=4"]], ids=["plain", "gan"])
def test_a_step_that_is_not_finite_changes_nothing_and_is_counted(tmp_path, prepared, monkeypatch, capsys, extra):
    spoil_batches(monkeypatch, {6, 7})
    seen, step = [], CodecModule.training_step

    def watched(self, *given):
        before = {name: value.clone() for name, value in self.state_dict().items()}
        step(self, *given)
        same = [torch.equal(value, before[name]) for name, value in self.state_dict().items()]
        seen.append(all(same))

    monkeypatch.setattr(CodecModule, "training_step", watched)
    result = train(tiny_recipe(*extra), prepared, tmp_path, quiet=True)
    assert result.steps == 12 and seen == [step in (6, 7) for step in range(12)]
    assert [int(row["step"]) for row in read_metrics(tmp_path) if row["term"] == "skipped"] == [7, 8]
    assert all(math.isfinite(float(row["value"])) for row in read_metrics(tmp_path) if row["split"] != "train")
    clips = open_split(prepared, "train", 16000, 1).clips
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning: step" in line]
    assert len(warnings) == 2 and all(any(str(clip.path) in line for clip in clips) for line in warnings)


def test_many_steps_that_are_not_finite_end_the_run_and_their_clips_are_named(tmp_path, prepared, monkeypatch):
    monkeypatch.setattr(monitors, "MAX_SKIPPED", 3)
    spoil_batches(monkeypatch, {5, 6, 7})
    with pytest.raises(UserError, match="--from-best") as error:
        train(tiny_recipe(), prepared, tmp_path, quiet=True)
    crops = CodecData(prepared, tiny_recipe()).train_crops
    assert crops.describe(7) in str(error.value)
    state = read_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path)
    assert state["step"] == 4 and all(value.isfinite().all() for value in state["state_dict"].values())
    monkeypatch.undo()
    assert train(tiny_recipe(), prepared, tmp_path, quiet=True).steps == 12
    assert MAX_SKIPPED > 3


def test_the_described_clips_contain_the_crops_of_the_batch(prepared):
    crops = CodecData(prepared, tiny_recipe("--data.batch_size=3")).train_crops
    rate, split = 16000, crops.split
    for wave, text in zip(crops[2], crops.describe(2).split(", "), strict=True):
        path, at = text.rsplit(" at ", 1)
        clip = next(i for i, clip in enumerate(split.clips) if str(clip.path) == path)
        start = round(float(at.removesuffix(" s")) * rate)
        near = split.waveform(clip, max(0, start - 100), wave.shape[-1] + 200)
        found = np.correlate(near[0], wave[0].numpy(), "valid")
        assert found.max() == pytest.approx(float(wave.square().sum()), rel=1e-4)


@pytest.mark.parametrize("every", [1, 4])
def test_a_divergent_loss_ends_the_run_and_the_best_is_kept(tmp_path, prepared, every):
    wild = tiny_recipe("--optim.lr=10", "--optim.clip_norm=1e9", f"--train.validate_every={every}", "--train.steps=40")
    with pytest.raises(UserError, match=r"diverged|not finite"):
        train(wild, prepared, tmp_path, quiet=True)
    calm = tiny_recipe(f"--train.validate_every={every}", "--train.steps=8")
    kept = list(tmp_path.glob("checkpoints/*"))
    assert bool(kept) == (every == 1)  # else the first validation, which was the first to write one, is too far off
    for path in kept:
        state = read_checkpoint(path, tmp_path)
        assert state["callbacks"]["best"]["best"] < 3 * state["callbacks"]["best"]["first"]
        assert all(value.isfinite().all() for value in state["state_dict"].values())
    assert train(calm, prepared, tmp_path, from_best=bool(kept), quiet=True).steps == 8


def explode(monkeypatch: pytest.MonkeyPatch, at: int, times: int) -> None:
    """Make the weights of the decoder a hundred times as large before a step, the first times that it comes."""
    left, step = iter(range(times)), CodecModule.training_step

    def exploded(self, *given):
        if self.state.step == at and next(left, None) is not None:
            with torch.no_grad():
                for weight in self.codec.decoder.parameters():
                    weight.mul_(100)
        step(self, *given)

    monkeypatch.setattr(CodecModule, "training_step", exploded)


def test_a_run_that_diverges_goes_back_to_its_best_validation_at_half_the_learning_rate(
    tmp_path, prepared, monkeypatch, capsys
):
    explode(monkeypatch, 6, times=3)
    plan = tiny_recipe("--train.validate_every=1", "--train.rollbacks=1")
    with pytest.raises(Diverged):
        train(plan, prepared, tmp_path, quiet=True)
    last = tmp_path / "checkpoints/last.ckpt"
    assert read_checkpoint(last, tmp_path)["rollbacks"] == 1
    roll_back(tmp_path, 1)
    weights = read_checkpoint(last, tmp_path)["state_dict"]
    averages = {name: value for name, value in weights.items() if name.startswith("average.")}
    assert averages
    assert all(torch.equal(weights[name.replace("average.", "codec.")], value) for name, value in averages.items())
    more = tiny_recipe("--train.validate_every=1", "--train.rollbacks=9")
    assert train(more, prepared, tmp_path, quiet=True).steps == 12
    state = read_checkpoint(last, tmp_path)
    warnings = [line for line in capsys.readouterr().out.splitlines() if "warning: " in line and "rollback" in line]
    assert state["rollbacks"] == len(warnings) == 2
    group = state["optimizer_states"][0]["param_groups"][0]
    assert group["lr"] == pytest.approx(plan.optim.lr * learning_rate_ratio(plan, 11) / 2**2)
    totals = [float(row["value"]) for row in read_metrics(tmp_path) if (row["split"], row["term"]) == ("val", "total")]
    assert max(totals[-3:]) < 2 * totals[0]  # it has recovered


def test_the_time_left_is_known_if_the_last_validation_is_not_finite(tmp_path):
    rows = ["4,val,total,6", "4,val,minutes,1", "4,val,judging_s,2", "8,val,total,nan", "8,val,minutes,2"]
    (tmp_path / "metrics.csv").write_text("\n".join(["step,split,term,value", *rows]) + "\n")
    found = training_status(read_curves(tmp_path), tiny_recipe("--train.steps=16", "--train.max_minutes=0"))
    # from step 8 on, two stretches of four steps in a minute each, and a validation of 2 s for each
    assert found is not None and found.left_s == pytest.approx(2 * 60 + 2 * 2)


def test_silent_data_is_refused_before_training(tmp_path, prepared):
    with pytest.raises(UserError, match=r"data\.silence_dbfs"):
        train(
            tiny_recipe("--data.silence_dbfs=-10", "--train.steps=1"),
            copy_quieter(prepared, tmp_path),
            tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()


def copy_quieter(prepared: Path, folder: Path) -> Path:
    """Copy the data with arrays of a quarter of the level."""
    shutil.copytree(prepared, folder / "data")
    for path in (folder / "data").rglob("*.npy"):
        np.save(path, np.load(path) // 4)
    return folder / "data"


# --- processes that load data -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("interruptible")
def test_a_killed_loader_ends_the_run_with_a_message_and_it_can_be_resumed(tmp_path, prepared, monkeypatch):
    plan = tiny_recipe("--data.workers=1", "--train.validate_every=12")
    before_step(monkeypatch, 3, lambda: [child.kill() for child in multiprocessing.active_children()])
    with pytest.raises(UserError, match=r"data\.workers") as error:
        train(plan, prepared, tmp_path, quiet=True)
    assert "\n" not in str(error.value)
    monkeypatch.undo()
    assert train(plan, prepared, tmp_path, quiet=True).steps == 12


@pytest.mark.usefixtures("interruptible")
def test_after_ctrl_c_in_all_processes_a_checkpoint_is_written(tmp_path, prepared, monkeypatch):
    def interrupt_all() -> None:
        for process in (*multiprocessing.active_children(), multiprocessing.current_process()):
            os.kill(process.pid, signal.SIGINT)

    before_step(monkeypatch, 3, interrupt_all)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe("--data.workers=1"), prepared, tmp_path, quiet=True)
    assert read_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path)["step"] == 4
