"""A run that is cut off by signals, kills or a full disk ends like an uninterrupted one, with the latest settings."""

import json
import math
import os
import shutil
import signal
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from codec.dataset.ledger import count_candidates
from codec.dataset.location import list_clips, open_split
from codec.errors import UserError
from codec.pretrained.checkpoint import load_codec, model_checksum
from codec.pretrained.export import export_model
from codec.recipe import read_recipe, write_recipe
from codec.runtime.file_lock import LOCK_FILE, exclusive
from codec.training.checkpointing import read_checkpoint
from codec.training.initial_state import new_module, restore_run
from codec.training.metrics_log import MetricsLog
from codec.training.provenance import count_trained, trained_clips
from codec.training.run_folder import lock_run_folder
from codec.training.trainer import TrainingOptions, train
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from eval.training_health.examine import examine
from tests.helpers import interrupted_training
from tests.helpers.children import running, wait_for_end
from tests.helpers.runs import assert_same_end, before_step, read_metrics, tiny_recipe, validated_steps
from tests.helpers.tiny import TINY

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
"""Event, place and step, whether each step writes a checkpoint; then the exit status and the step of the checkpoint."""
SHORT = [*TINY, "--train.steps=12", "--train.validate_every=4"]
ADVERSARIAL = ["--adversarial.start_step=5", "--adversarial.width=4"]


@pytest.mark.parametrize("name", [pytest.param("speech_16k", marks=pytest.mark.long), "speech_24k"])
def test_a_run_of_a_shipped_recipe_resumes_after_each_kind_of_interruption(tmp_path, corpus, prepared, name):
    plan = read_recipe(name, [*SHORT, *(ADVERSARIAL if name == "speech_24k" else [])])
    assert plan.train.patience and (plan.adversarial.weight > 0) == (name == "speech_24k")
    data = prepared
    if plan.codec.sample_rate != 16000:
        data = tmp_path / "data"
        prepare([corpus], data, PrepareOptions(sample_rate=plan.codec.sample_rate, workers=1))
    write_recipe(tmp_path / "recipe.yaml", plan)

    train(plan, data, tmp_path / "whole", quiet=True, options=TrainingOptions(fit_tables=False))
    for *event, status, step in BREAKS:
        with running(
            interrupted_training.train, tmp_path / "recipe.yaml", data, tmp_path / "broken", *event
        ) as process:
            assert wait_for_end(process) == status, event
        assert read_checkpoint(tmp_path / "broken/checkpoints/last.ckpt", tmp_path)["step"] == step, event
    assert_same_end(tmp_path / "whole", tmp_path / "broken")
    assert not list((tmp_path / "broken").rglob("*.part"))
    board = EventAccumulator(str(tmp_path / "broken/tensorboard"), {"scalars": 0}).Reload()
    assert [event.step for event in board.Scalars("val/total")] == [4, 8, 12]
    for tag in board.Tags()["scalars"]:
        assert max(Counter(event.step for event in board.Scalars(tag)).values()) == 1, tag


# --- resumed after its end ------------------------------------------------------------------------------------


def test_a_run_that_ran_out_of_patience_resumes_with_more_patience(tmp_path, prepared, model):
    still = ["--train.freeze_encoder=true", "--optim.lr=1e-30", "--train.steps=40", "--codec.quantizer.contexts=2"]
    first, more = (tiny_recipe(*still, f"--train.patience={patience}", name="speech_16k") for patience in (1, 2))
    run, whole = tmp_path / "run", tmp_path / "whole"
    stopped = train(first, prepared, run, init_from=model, quiet=True)
    assert stopped.steps == 4 and stopped.stopped.startswith("early stopping")
    (run / "run.json").unlink()  # as after a kill between the last checkpoint and the end
    assert train(first, prepared, run, quiet=True) == stopped
    result = train(more, prepared, run, quiet=True)
    assert (result.steps, result.best_step) == (8, 0) and result.stopped.startswith("early stopping")
    train(more, prepared, whole, init_from=model, quiet=True)
    assert_same_end(whole, run)


def test_a_run_whose_time_is_over_resumes_with_more_time(tmp_path, prepared):
    short = tiny_recipe("--train.max_minutes=1e-5")
    first = train(short, prepared, tmp_path, quiet=True)
    assert first.steps < 12
    (tmp_path / "run.json").unlink()
    assert train(short, prepared, tmp_path, quiet=True).steps == first.steps
    assert train(tiny_recipe("--train.max_minutes=60"), prepared, tmp_path, quiet=True).steps == 12
    validated = validated_steps(tmp_path)
    assert validated == sorted({first.steps, 4, 8, 12} - set(range(first.steps)))


# --- settings come from the command, not from the checkpoint -----------------------------------------------------


@pytest.mark.usefixtures("interruptible")
def test_no_setting_is_restored_from_a_checkpoint(tmp_path, prepared, monkeypatch):
    before = ["--train.patience=3", "--optim.betas=[0.5,0.9]", "--optim.l2=0.5", "--train.validate_every=8"]
    after = ["--train.patience=1", "--optim.betas=[0.6,0.7]", "--optim.l2=0.25", "--train.validate_every=5"]
    both = [*ADVERSARIAL, "--adversarial.weight=0.1", "--train.steps=14"]
    before_step(monkeypatch, 6, lambda: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(*before, *both), prepared, tmp_path, quiet=True)
    monkeypatch.undo()
    train(tiny_recipe(*after, *both), prepared, tmp_path, quiet=True)
    for optimizer in read_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path)["optimizer_states"]:
        assert [tuple(group["betas"]) for group in optimizer["param_groups"]] == [(0.6, 0.7)] * len(
            optimizer["param_groups"]
        )
    codec = read_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path)["optimizer_states"][0]["param_groups"]
    assert [group["weight_decay"] for group in codec] == [0.25, 0.0]
    validated = validated_steps(tmp_path)
    assert validated == [10, 14] or validated == [10]  # one more, unless patience ended the run


@pytest.mark.parametrize("step", [4, 12], ids=["goes on", "over"])
def test_with_other_losses_the_best_is_chosen_anew_and_the_earlier_model_is_kept(tmp_path, prepared, step, capsys):
    train(tiny_recipe(f"--train.steps={step}"), prepared, tmp_path, quiet=True)
    before = model_checksum(load_codec(tmp_path))
    capsys.readouterr()
    result = train(tiny_recipe("--losses.mel=10"), prepared, tmp_path)
    aside = tmp_path / f"model-before-step-{step}"
    assert str(aside) in capsys.readouterr().out
    assert model_checksum(load_codec(aside)) == before
    assert result.best_step > step or (step == 12 and result.best_step == 12)
    anew = [float(row["value"]) for row in read_metrics(tmp_path) if row["split"] == "val" and row["term"] == "total"]
    assert result.best_validation_loss == pytest.approx(min(anew[-2:]) if step == 4 else anew[-1], rel=1e-5)
    assert json.loads((tmp_path / "run.json").read_text())["best_step"] == result.best_step
    health = examine(tmp_path)
    assert f"step {result.best_step:,}" in health.best
    untouched = train(tiny_recipe("--losses.mel=10", "--train.steps=16"), prepared, tmp_path, quiet=True)
    assert untouched.best_validation_loss <= result.best_validation_loss  # the same losses: the best so far holds
    assert not (tmp_path / "model-before-step-12").exists() or step == 12


def test_the_best_is_kept_if_validations_do_not_depend_on_the_changed_settings(tmp_path, prepared):
    first = train(tiny_recipe(), prepared, tmp_path, quiet=True)
    more = train(
        tiny_recipe("--train.steps=16", "--optim.lr=1e-9", "--augment.gain=0.5"), prepared, tmp_path, quiet=True
    )
    assert more.best_validation_loss <= first.best_validation_loss
    assert not list(tmp_path.glob("model-before-*"))


def test_other_data_is_reported_and_its_clips_are_counted(tmp_path, corpus, prepared, capsys):
    other = tmp_path / "other"
    prepare([corpus], other, PrepareOptions(sample_rate=16000, workers=1, ratios="4:3:3"))
    run, splits = tmp_path / "run", [open_split(data, "train", 16000, 1) for data in (prepared, other)]
    train(tiny_recipe(), prepared, run, quiet=True)
    with pytest.raises(UserError, match="other data"):
        train(tiny_recipe(), other, run, quiet=True)
    clips = [{clip.clip_id for clip in split.clips} for split in splits]
    assert trained_clips(run) == trained_clips(run / "model") == clips[0] != clips[1]
    capsys.readouterr()
    train(tiny_recipe("--train.steps=16"), other, run)
    assert "other data" in capsys.readouterr().out
    assert trained_clips(run) == clips[0] | clips[1]
    tested = list_clips(other, "test", 16000, 1)
    assert count_trained(run, tested) == len({clip.clip_id for clip in tested} & clips[0])
    export_model(run, tmp_path / "exported")
    assert trained_clips(tmp_path / "exported") == trained_clips(run)
    train(tiny_recipe(), other, tmp_path / "tuned", init_from=run, quiet=True)
    assert trained_clips(tmp_path / "tuned") == clips[0] | clips[1]
    assert count_trained(tmp_path / "none", tested) is None


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_damaged_array_ends_the_run_which_resumes_when_it_is_restored(tmp_path, corpus, prepared, split):
    data, run = shutil.copytree(prepared, tmp_path / "data"), tmp_path / "run"
    array = next((data / "packed/16000x1").glob(f"{split}-*.npy"))
    whole = array.read_bytes()
    array.write_bytes(whole[:-99] + bytes([whole[-99] ^ 64]) + whole[-98:])
    endless = tiny_recipe("--train.steps=1000000", "--train.validate_every=500000")
    with pytest.raises(UserError, match=array.name):
        train(endless, data, run, quiet=True)
    assert not (run / "run.json").exists()
    with pytest.raises(UserError, match=array.name):  # even if training is done before the arrays are read
        train(tiny_recipe("--train.steps=1"), data, tmp_path / "short", quiet=True)
    prepare([corpus], data, PrepareOptions(sample_rate=16000, workers=1))
    assert array.read_bytes() == whole
    assert train(tiny_recipe("--train.steps=1"), data, tmp_path / "short", quiet=True).steps == 1


def test_a_discriminator_can_be_added_changed_and_taken_away(tmp_path, prepared):
    def adversarial(steps: int, *overrides: str) -> list[torch.Tensor]:
        train(
            tiny_recipe(f"--train.steps={steps}", *overrides),
            prepared,
            tmp_path,
            quiet=True,
            options=TrainingOptions(fit_tables=False),
        )
        state = read_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path)
        assert state["step"] == steps and len(state["optimizer_states"]) == 1 + bool(overrides)
        return [value for name, value in state["state_dict"].items() if name.startswith("discriminator.")]

    assert not adversarial(4)
    for steps, width in ((8, 4), (12, 6)):
        assert adversarial(steps, "--adversarial.weight=0.1", f"--adversarial.width={width}")
    assert not adversarial(16)
    with pytest.raises(UserError, match="freeze_encoder"):
        train(tiny_recipe("--train.freeze_encoder=true"), prepared, tmp_path, quiet=True)


# --- checkpoints ------------------------------------------------------------------------------------------------


class Trap:
    def __init__(self, folder: Path):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


def test_a_checkpoint_is_read_without_running_code(tmp_path, prepared):
    train(tiny_recipe("--train.steps=4"), prepared, tmp_path / "run", quiet=True)
    last = tmp_path / "run/checkpoints/last.ckpt"
    state = torch.load(last, weights_only=True)
    for damaged in ({**state, "trap": Trap(tmp_path / "made")}, {**state, "step": Trap(tmp_path / "made")}):
        torch.save(damaged, last)
        with pytest.raises(UserError, match=r"last\.ckpt"):
            train(tiny_recipe(), prepared, tmp_path / "run", quiet=True)
        assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {name: value for name, value in state.items() if name != "format"},
        lambda state: {**state, "format": 3},
        lambda state: {**state, "step": "4"},
        lambda state: {**state, "callbacks": {}},
        lambda state: {**state, "state_dict": {}},
        lambda state: {**state, "state_dict": {name: value[:1] for name, value in state["state_dict"].items()}},
        lambda state: [state],
    ],
)
def test_damaged_checkpoints_and_those_of_other_versions_are_refused(tmp_path, prepared, change, finished):
    shutil.copytree(finished, tmp_path / "run")
    last = tmp_path / "run/checkpoints/last.ckpt"
    state = change(torch.load(last, weights_only=True))
    torch.save(state, last)
    with pytest.raises(UserError, match=r"last\.ckpt") as error:
        train(tiny_recipe("--train.steps=16"), prepared, tmp_path / "run", quiet=True)
    assert "\n" not in str(error.value)
    if isinstance(state, dict) and state.get("format") != 2:
        assert f"--init-from {tmp_path / 'run'}" in str(error.value)
        train(tiny_recipe("--train.steps=1"), prepared, tmp_path / "new", init_from=tmp_path / "run", quiet=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, prepared) -> Path:
    """A finished run; do not write to it."""
    folder = tmp_path_factory.mktemp("finished")
    train(tiny_recipe(), prepared, folder, quiet=True)
    return folder


def test_incomplete_files_of_a_killed_run_are_removed(tmp_path, prepared, finished):
    shutil.copytree(finished, tmp_path / "run")
    for name in ("checkpoints/last.part", "model/config.json.part", ".recipe.yaml.123.part"):
        (tmp_path / "run" / name).write_bytes(b"x")
    (tmp_path / "run/sounds/.step_8.123.part").mkdir()
    train(tiny_recipe("--train.steps=13"), prepared, tmp_path / "run", quiet=True)
    assert not list((tmp_path / "run").rglob("*.part"))


def test_a_run_continues_from_its_best_validation(tmp_path, prepared, finished):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    best, last = (run / "checkpoints" / name for name in ("best.ckpt", "last.ckpt"))
    step = read_checkpoint(best, run)["step"]
    assert step == json.loads((run / "run.json").read_text())["best_step"]
    state = torch.load(last, weights_only=True)
    for value in state["state_dict"].values():
        value.fill_(math.nan if value.is_floating_point() else 0)
    torch.save(state, last)  # as after a divergence
    again = train(tiny_recipe(), prepared, run, from_best=True, quiet=True)
    assert again.steps == 12 and read_metrics(run) == read_metrics(finished)
    assert model_checksum(load_codec(run)) == model_checksum(load_codec(finished))
    with pytest.raises(UserError, match="from-best"):
        train(tiny_recipe(), prepared, tmp_path / "new", from_best=True, quiet=True)
    assert not (tmp_path / "new").exists()


def test_a_resumed_run_knows_how_much_of_its_time_is_used(tmp_path, finished):
    shutil.copytree(finished, tmp_path / "run")
    last = tmp_path / "run/checkpoints/last.ckpt"
    module = new_module(tiny_recipe("--train.max_minutes=2"), metrics=MetricsLog(tmp_path / "run/metrics.csv"))
    restore_run(module, last, tmp_path / "run", "", quiet=True)
    elapsed_s = read_checkpoint(last, tmp_path)["callbacks"]["time_limit"]["elapsed_s"]
    assert module.state.time_share == pytest.approx(elapsed_s / 120) and elapsed_s > 0


# --- one process, one device ------------------------------------------------------------------------------------


def test_a_second_training_in_one_folder_names_the_first(tmp_path, prepared, finished):
    shutil.copytree(finished, tmp_path / "run")
    with exclusive(tmp_path / "run"), pytest.raises(UserError, match=f"{tmp_path / 'run'}.*process {os.getpid()} on"):
        train(tiny_recipe("--train.steps=16"), prepared, tmp_path / "run", quiet=True)


def test_a_training_that_is_refused_leaves_a_folder_that_another_has_just_made(tmp_path):
    class Run(type(tmp_path)):
        def exists(self, **_) -> bool:
            """Let the other process make the folder right after this one has looked for it."""
            stack.enter_context(exclusive(tmp_path / "run"))
            return False

    with ExitStack() as stack:
        with pytest.raises(UserError, match=f"process {os.getpid()} on"), lock_run_folder(Run(tmp_path / "run")):
            pass
        assert (tmp_path / "run" / LOCK_FILE).is_file()


@pytest.mark.parametrize(("variable", "missing"), [("WORLD_SIZE", "RANK"), ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID")])
def test_one_of_several_processes_must_know_which_it_is(tmp_path, prepared, monkeypatch, variable, missing):
    monkeypatch.delenv(missing, raising=False)
    monkeypatch.setenv(variable, "2")
    with pytest.raises(UserError, match=f"{missing} is not set"):
        train(tiny_recipe(), prepared, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_a_slurm_job_trains_as_usual_and_ignores_lightnings_checkpoints(tmp_path, prepared, monkeypatch):
    for name, value in {"SLURM_NTASKS": "1", "SLURM_JOB_ID": "7", "SLURM_JOB_NAME": "job", "SLURM_PROCID": "0"}.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "hpc_ckpt_1.ckpt").write_bytes(b"another")
    assert train(tiny_recipe("--train.steps=4"), prepared, tmp_path, quiet=True).steps == 4
    assert [path.name for path in tmp_path.rglob("hpc_ckpt*")] == ["hpc_ckpt_1.ckpt"]


def test_the_ledger_of_read_only_data_can_be_in_another_folder(tmp_path, prepared, monkeypatch):
    data = tmp_path / "data"
    shutil.copytree(prepared, data)
    (data / "candidates.jsonl").unlink(missing_ok=True)
    (data / "candidates.jsonl").mkdir()  # root may write where permissions say otherwise
    with pytest.raises(UserError, match="LATHE_LEDGERS"):
        train(tiny_recipe(), data, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("LATHE_LEDGERS", str(tmp_path / "ledgers"))
    train(tiny_recipe("--train.steps=1"), data, tmp_path / "run", quiet=True)
    assert count_candidates(data) == 1 and len(list((tmp_path / "ledgers").glob("data-*/candidates.jsonl"))) == 1
