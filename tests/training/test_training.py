"""Training: what it does to weights, what it leaves behind, and that it goes on where it was stopped."""

import csv
import json
import shutil
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from codec.bitstream.codes import NO_CODE
from codec.bitstream.range_coder import RangeCoder
from codec.config import Recipe
from codec.dataset.ledger import count_candidates
from codec.dataset.packed import open_split, packed_folder
from codec.errors import UserError
from codec.losses import LOSS_TERMS
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables, to_frequencies
from codec.pretrained.checkpoint import fingerprint, load_codec, model_checksum, save_model
from codec.pretrained.model_folder import read_training_info
from codec.recipe import read_recipe
from codec.training import fit_frequency_tables, step_lock, time_limit
from codec.training.data import CodecData
from codec.training.forecast import forecast
from codec.training.frequency_smoothing import UNIFORM_PRIORS
from codec.training.learning_rate import learning_rate_ratio
from codec.training.lr_range_test import run_lr_range_test
from codec.training.metrics_log import MetricsLog
from codec.training.module import CodecModule
from codec.training.state import TrainingState
from codec.training.step_lock import NO_LOCK, StepLockHolder
from codec.training.time_limit import TimeLimit
from codec.training.trainer import TrainingOptions, choose_validation_interval, train
from eval.training_health.examine import examine
from tests.helpers.tiny import TINY

LIVELY = [
    *("--codec.encoder.dropout=0.1", "--codec.decoder.dropout=0.1"),
    *(f"--augment.{name}=0.5" for name in ("gain", "noise", "mix", "band_limit", "equaliser", "reverb")),
]


def recipe(*overrides: str, name: str = "quickstart") -> Recipe:
    return read_recipe(name, [*TINY, "--train.steps=12", "--train.validate_every=4", *overrides])


def curves(run: Path) -> list[dict[str, str]]:
    """All but what depends on the clock."""
    with (run / "metrics.csv").open(newline="") as file:
        return [row for row in csv.DictReader(file) if row["term"] not in ("audio_s_per_s", "minutes", "judging_s")]


def flat(value: object, name: str = "") -> dict[str, object]:
    """Every number and tensor in nested dictionaries and lists, by its path."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else None
    if items is None:
        return {name: value}
    return {path: leaf for key, item in items for path, leaf in flat(item, f"{name}/{key}").items()}


def assert_same_end(one: Path, other: Path) -> None:
    """Weights, averages and both optimisers bit by bit, the kept model, and the curves."""
    states = [torch.load(run / "checkpoints/last.ckpt", map_location="cpu", weights_only=True) for run in (one, other)]
    assert states[0]["step"] == states[1]["step"]
    for part in ("state_dict", "optimizer_states"):
        first, second = (flat(state[part]) for state in states)
        assert first.keys() == second.keys() and len(first) > 10
        for name, value in first.items():
            same = torch.equal(value, second[name]) if isinstance(value, torch.Tensor) else value == second[name]
            assert same, name
    assert model_checksum(load_codec(one)) == model_checksum(load_codec(other))
    assert curves(one) == curves(other)


# --- interrupted and resumed --------------------------------------------------------------------------------


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("at", [5, 11], ids=["between", "last"])
def test_ctrl_c_finishes_the_step_and_the_run_goes_on_from_there(tmp_path, prepared, monkeypatch, at):
    plan, step = recipe(*LIVELY), CodecModule.training_step

    def interrupted(self, *args):
        if self.state.step == at:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    monkeypatch.setattr(CodecModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(plan, prepared, tmp_path / "stopped", quiet=True)
    assert torch.load(tmp_path / "stopped/checkpoints/last.ckpt", weights_only=True)["step"] == at + 1
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.undo()
    train(plan, prepared, tmp_path / "stopped", quiet=True)
    train(plan, prepared, tmp_path / "whole", quiet=True)
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")


@pytest.mark.parametrize("limit", [[], ["--train.max_minutes=1e-5"]])
def test_a_finished_run_is_left_as_it_is(tmp_path, prepared, limit):
    plan = recipe(*limit)
    first = train(plan, prepared, tmp_path, quiet=True)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert train(plan, prepared, tmp_path, quiet=True) == first
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_going_on_with_other_settings_is_said_and_those_before_are_kept(tmp_path, prepared, capsys):
    first, second = recipe(), recipe("--train.steps=16", "--train.validate_every=8", "--optim.lr=0.001")
    train(first, prepared, tmp_path, quiet=True)
    assert train(second, prepared, tmp_path).steps == 16
    told = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("with other settings"))
    for change in ("--optim.lr 0.002 -> 0.001", "--train.steps 12 -> 16", "--train.validate_every 4 -> 8"):
        assert change in told
    assert read_recipe(str(tmp_path / "recipe-until-step-12.yaml")) == first
    assert read_recipe(str(tmp_path / "recipe.yaml")) == second
    assert "until step 12 with the settings of recipe-until-step-12.yaml" in examine(tmp_path).progress


@pytest.mark.usefixtures("interruptible")
def test_a_short_run_is_judged_often_enough_for_a_verdict_also_when_resumed(tmp_path, prepared, monkeypatch, capsys):
    plan, step = (
        recipe("--train.steps=40", "--train.validate_every=1000", "--train.max_minutes=0"),
        CodecModule.training_step,
    )

    def interrupted(self, *args):
        if self.state.step == 21:
            signal.raise_signal(signal.SIGINT)
        return step(self, *args)

    train(plan, prepared, tmp_path / "whole")
    assert "validates every 4 steps" in capsys.readouterr().out
    assert [row["step"] for row in curves(tmp_path / "whole") if (row["split"], row["term"]) == ("val", "total")] == [
        str(step) for step in range(4, 41, 4)
    ]
    monkeypatch.setattr(CodecModule, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(plan, prepared, tmp_path / "stopped")
    monkeypatch.undo()
    train(plan, prepared, tmp_path / "stopped", quiet=True)
    assert_same_end(tmp_path / "whole", tmp_path / "stopped")
    limited = read_recipe("quickstart", ["--train.max_minutes=3"])
    assert [choose_validation_interval(limited, steps) for steps in (1000, 600, 400, 5, 0)] == [200, 200, 40, 1, 1]


def test_a_run_can_be_given_more_steps_but_no_other_architecture(tmp_path, prepared):
    train(recipe(), prepared, tmp_path, quiet=True)
    assert train(recipe("--train.steps=16"), prepared, tmp_path, quiet=True).steps == 16
    with pytest.raises(UserError, match="another architecture"):
        train(recipe("--codec.hop=160"), prepared, tmp_path, quiet=True)


# --- what a run leaves behind -------------------------------------------------------------------------------


def test_what_a_run_leaves_behind(tmp_path, prepared):
    plan, runs = recipe("--losses.l1=1"), count_candidates(prepared)
    result = train(plan, prepared, tmp_path, quiet=True)
    assert read_recipe(str(tmp_path / "recipe.yaml")) == plan
    assert json.loads((tmp_path / "run.json").read_text())["best_step"] == result.best_step
    assert load_codec(tmp_path).config == plan.codec
    assert list((tmp_path / "tensorboard").glob("events*"))
    assert count_candidates(prepared) == runs + 1
    with (prepared / "manifest.csv").open(newline="") as manifest:
        clips = [row for row in csv.DictReader(manifest) if row["split"] == "train"]
    told = read_training_info(tmp_path)["trained_on"]
    assert (told["clips"], told["groups"]) == (len(clips), len({row["group"] for row in clips}))
    assert told["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in clips), abs=0.1)
    assert not list(tmp_path.rglob("*.part"))
    rows = curves(tmp_path)
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
    assert train(recipe(), tmp_path / "data", tmp_path / "run", quiet=True).steps == 12


def test_the_clock_stops_a_run_which_is_judged_once_more(tmp_path, prepared):
    result = train(recipe("--train.max_minutes=1e-5"), prepared, tmp_path, quiet=True)
    assert result.stopped.startswith("the clock") and 1 <= result.steps < 12
    assert result.best_step == result.steps and load_codec(tmp_path)


def test_the_bar_follows_the_clock_where_that_ends_the_run(tmp_path, prepared, capsys):
    result = train(recipe("--train.max_minutes=1e-5"), prepared, tmp_path, quiet=True)
    assert f"100%|{'█' * 3}" in (told := capsys.readouterr().err) and f"| {result.steps}/{result.steps} [" in told
    state, metrics, lock = TrainingState(), MetricsLog(tmp_path / "none.csv"), StepLockHolder(NO_LOCK)
    limited = TimeLimit(recipe("--train.steps=1000", "--train.max_minutes=2"), state, metrics, lock)
    assert limited.expected_steps() is None
    limited.elapsed_s = 30.0
    for state.step, expected in ((10, 40), (100, 400), (400, 1000)):
        assert limited.expected_steps() == expected
    assert TimeLimit(recipe("--train.max_minutes=0"), TrainingState(), metrics, lock).expected_steps() == 12


def test_what_takes_time_is_said_before_it_is_done(tmp_path, prepared, capsys):
    train(recipe(), prepared, tmp_path / "run")
    first, weights, _, told = capsys.readouterr().out.splitlines()[:4]
    assert first == f"reading {prepared}" and weights == "first weights: fitted to 6 s of audio"
    assert told.startswith("forecast:") and "frequency tables" in told
    train(recipe("--train.steps=16"), prepared, tmp_path / "run")
    assert capsys.readouterr().out.splitlines()[1] == "continues from step 12"


def test_waiting_before_a_step_is_no_training(tmp_path, prepared, monkeypatch):
    """The first weights, each step and each batch of validation have their turns, and what these are waited for, an
    hour each by the clock, is not in the minutes."""
    turns, waited_s, worked = [], 0, []

    class Turns:
        def __enter__(self):
            nonlocal waited_s
            turns.append("begun")
            waited_s += 3600

        def __exit__(self, *_):
            turns.append("ended")

    class Watched(Codec):
        def initialise(self, *given):
            worked.append(("first weights", turns[-1]))
            super().initialise(*given)

        def forward(self, *given):
            worked.append(("step" if self.training else "validation", turns[-1]))
            return super().forward(*given)

    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + waited_s)
    for module in (time_limit, step_lock):
        monkeypatch.setattr(module, "time", clock)
    options = TrainingOptions(build=Watched, fit_tables=False, keep_audio_samples=False, step_lock=Turns())
    result = train(recipe(), prepared, tmp_path, quiet=True, options=options)
    kinds = Counter(worked)
    assert kinds == {("first weights", "begun"): 1, ("step", "begun"): 12, ("validation", "begun"): 3 * 2 * 2}
    assert turns == ["begun", "ended"] * len(worked)
    assert result.minutes < 60


def test_tables_are_those_of_the_training_codes(tmp_path, prepared):
    """Fitted when training is over, whether or not it was cut short in between."""
    plan = recipe("--codec.quantizer.contexts=1")
    train(plan, prepared, tmp_path, quiet=True)
    codec, info = load_codec(tmp_path), read_training_info(tmp_path)
    split = open_split(prepared, "train", 16000, 1)
    counts = np.zeros((3, 16), np.int64)
    for i, clip in enumerate(split.clips):
        wave = torch.from_numpy(split.waveform(i))[None]
        assert clip.seconds < 30
        for row, codes in zip(counts, codec.encode(wave)[0]):
            row += np.bincount(codes, minlength=16)
    assert info["tables"] == {"seconds": pytest.approx(sum(c.seconds for c in split.clips)), "frames": counts[0].sum()}
    for row, found in zip(counts, codec.tables.frequencies.double() / 2**24):
        spread = [max(np.sqrt(row.sum()), share * 16) for share in UNIFORM_PRIORS]
        expected = [(row + extra / 16) / (row.sum() + extra) for extra in spread]
        assert any(np.allclose(found, one, atol=2e-6, rtol=0) for one in expected)

    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    codec.tables.fit(torch.zeros(3, 16))  # as the run is between the last step and the fit
    save_model(tmp_path / "model", codec, {name: known for name, known in info.items() if name != "tables"})
    (tmp_path / "run.json").unlink()
    train(plan, prepared, tmp_path, quiet=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before and read_training_info(tmp_path) == info
    train(recipe("--codec.quantizer.contexts=1", "--train.steps=16"), prepared, tmp_path, quiet=True)
    assert "tables" in read_training_info(tmp_path)


def test_contexts_find_what_codes_depend_on():
    """A first code that mostly goes on from the one before, a second that mostly follows from the first, a third by
    chance; needs that change slowly."""
    rng, size, packets, frames = np.random.default_rng(0), 8, 400, 50
    sure = rng.random((2, packets, frames)) < 0.9
    codes = rng.integers(size, size=(packets, 3, frames))
    for t in range(1, frames):
        codes[:, 0, t] = np.where(sure[0][:, t], (codes[:, 0, t - 1] + 1) % size, codes[:, 0, t])
    codes[:, 1] = np.where(sure[1], (3 * codes[:, 0]) % size, codes[:, 1])
    level = np.repeat(rng.random((packets, 1, frames // 10)), 10, axis=2)
    need = torch.from_numpy(level - 0.3 * np.arange(3)[:, None]).float()
    fitted = FrequencyTables(3, size, 8)
    entries = torch.randn(3, size + 1, 4, generator=torch.Generator().manual_seed(0))
    fit_frequency_tables.fit_contexts(
        fitted, torch.from_numpy(codes), need, torch.arange(packets) % 8 == 0, entries, quiet=True
    )
    fitted.check()
    coder = RangeCoder(fitted.to_numpy())
    spent = [coder.bits(codes[:, : k + 1], False) / codes[:, 0].size for k in range(3)]
    # 0.9 + 0.1 / 8 for the code that is expected, 0.1 / 8 for each other one: 0.82 bits; without contexts, 3
    steps = np.diff([0, *spent])
    assert (steps[:2] > 0.8).all() and (steps[:2] < 1.6).all() and steps[2] == pytest.approx(3.0, abs=0.02)
    one = torch.from_numpy(codes).masked_fill(need < 0.4, NO_CODE).numpy()
    counts = (one != NO_CODE).sum(1)
    without = RangeCoder(FrequencyTables(3, size, 8).to_numpy()).bits(one, True)
    assert coder.bits(one, True) < 0.8 * without and np.unique(counts).size > 1


def test_tables_take_a_fixed_part_of_much_audio(prepared, monkeypatch):
    split, codec = open_split(prepared, "train", 16000, 1), Codec(recipe("--codec.quantizer.contexts=1").codec).eval()
    monkeypatch.setattr(fit_frequency_tables, "MAX_FITTED_S", 10.0)
    monkeypatch.setattr(fit_frequency_tables, "PIECE_S", 0.7)
    assert fit_frequency_tables.fit_tables(codec, split, quiet=True).seconds == 10.0
    first = codec.tables.frequencies.clone()
    fit_frequency_tables.fit_tables(codec, split, quiet=True)
    assert torch.equal(first, codec.tables.frequencies)


# --- starting from a model ----------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(0)
    codec = Codec(recipe().codec)
    codec.tables.frequencies.copy_(to_frequencies(torch.arange(16.0).expand(codec.tables.frequencies.shape)))
    codec.compatible_fingerprints = ("0123456789abcdef",)
    save_model(tmp_path / "model", codec, {"step": 1})
    return tmp_path / "model"


def test_a_model_can_grow_codebooks(tmp_path, prepared, model):
    before = load_codec(model)
    more = recipe("--codec.quantizer.codebooks=5", "--train.steps=1", "--optim.lr=1e-9", "--train.validate_every=1")
    train(more, prepared, tmp_path / "run", init_from=model, quiet=True)
    after = load_codec(tmp_path / "run")
    for network in ("encoder", "decoder"):
        torch.testing.assert_close(
            getattr(after, network).state_dict(), getattr(before, network).state_dict(), atol=1e-6, rtol=0
        )
    crops = CodecData(prepared, more).train_crops
    speech = torch.cat([crops[step] for step in range(8)])
    latent = after.analyse(
        speech[:, 0], after.mdct.initial_state(len(speech)), after.encoder.initial_state(len(speech))
    )[0]
    errors = [
        (after.quantizer.fused().decode(after.quantizer.fused().encode(latent, k)[0]) - latent).norm()
        for k in (3, 4, 5)
    ]
    assert errors[1] < 0.97 * errors[0] and errors[2] < 0.97 * errors[1]
    with pytest.raises(UserError, match="architecture"):
        train(recipe("--codec.quantizer.codebooks=2"), prepared, tmp_path / "less", init_from=model, quiet=True)


def test_fine_tuning_starts_from_the_weights_given(tmp_path, prepared, model):
    train(recipe("--optim.lr=1e-12"), prepared, tmp_path / "run", init_from=model, quiet=True)
    given, tuned = load_codec(model), load_codec(tmp_path / "run")
    for name, weight in given.decoder.state_dict().items():
        torch.testing.assert_close(tuned.decoder.state_dict()[name], weight, atol=1e-6, rtol=0)
    assert tuned.compatible_fingerprints == () and not torch.equal(given.tables.frequencies, tuned.tables.frequencies)
    with pytest.raises(UserError, match="architecture"):
        train(recipe("--codec.hop=160"), prepared, tmp_path / "other", init_from=model, quiet=True)
    assert not (tmp_path / "other").exists()


def test_a_frozen_encoder_keeps_codes_as_they_were(tmp_path, prepared, model):
    frozen = recipe("--train.freeze_encoder=true", "--optim.l2=0.1", "--optim.l1=0.1")
    train(frozen, prepared, tmp_path / "run", init_from=model, quiet=True)
    given, tuned = load_codec(model), load_codec(tmp_path / "run")
    for name, tensor in given.state_dict().items():
        assert name.startswith("decoder.") or torch.equal(tensor, tuned.state_dict()[name]), name
    assert not torch.equal(given.decoder.last.weight, tuned.decoder.last.weight)
    assert tuned.compatible_fingerprints == (fingerprint(given), "0123456789abcdef")
    assert "tables" not in read_training_info(tmp_path / "run")
    longer = replace(frozen, train=replace(frozen.train, steps=16))
    train(longer, prepared, tmp_path / "run", quiet=True)  # resumed, without saying again where it came from
    assert load_codec(tmp_path / "run").compatible_fingerprints == tuned.compatible_fingerprints
    with pytest.raises(UserError, match="--init-from"):
        train(frozen, prepared, tmp_path / "other", quiet=True)


def test_early_stopping_waits_so_many_validations(tmp_path, prepared, model):
    still = recipe(*("--train.freeze_encoder=true", "--optim.lr=1e-30", "--train.patience=2", "--train.steps=40"))
    result = train(still, prepared, tmp_path / "run", init_from=model, quiet=True)
    assert (result.steps, result.best_step) == (12, 4) and result.stopped.startswith("early stopping")


# --- batches ------------------------------------------------------------------------------------------------


def test_batches_are_pure_functions_of_seed_and_step(prepared):
    one, same, other = (CodecData(prepared, recipe(*LIVELY, f"--train.seed={seed}")) for seed in (0, 0, 1))
    late = [one.train_crops[step] for step in (7, 3)]
    assert torch.equal(late[1], same.train_crops[3]) and torch.equal(late[0], same.train_crops[7])
    assert not torch.equal(late[0], other.train_crops[7]) and not torch.equal(late[0], late[1])
    for mine, theirs in zip(one.evaluation_crops, other.evaluation_crops):
        assert torch.equal(mine[0], theirs[0])  # runs are compared on the same sound, whatever their seed


def test_worker_processes_give_the_same_batches(prepared):
    alone, helped = (CodecData(prepared, recipe(*LIVELY, f"--data.workers={count}")) for count in (0, 1))
    for mine, theirs in zip(alone.train_dataloader(), helped.train_dataloader(), strict=True):
        assert torch.equal(mine, theirs)


def test_crops_skip_silence_and_clips_count_by_length(tmp_path):
    folder = packed_folder(tmp_path, 16000, 1)
    folder.mkdir(parents=True)
    rng, rate = np.random.default_rng(0), 16000
    loud = rng.integers(-9000, 9000, 2 * rate).astype(np.int16)
    clips = [np.concatenate([0 * loud, loud]), loud // 8, np.array([4000] * 100, np.int16)]
    columns = "clip_id shard start frames path domain group seconds rms_dbfs bandwidth_hz noise_dbfs sha256"
    for split in ("train", "val"):
        np.save(folder / f"{split}-00000.npy", np.concatenate(clips)[:, None])
        starts = np.cumsum([0, *map(len, clips)])
        rows = [f"{i},{split}-00000.npy,{starts[i]},{len(c)},x,d,g,1,-20,8000,-60,0" for i, c in enumerate(clips)]
        (folder / f"{split}.csv").write_text("\n".join([columns.replace(" ", ","), *rows]) + "\n")
    (folder / "packed.json").write_text(json.dumps({"sample_rate": rate, "channels": 1, "version": 1}))
    crops = CodecData(tmp_path, recipe("--data.batch_size=400")).train_crops[0]
    level = crops.square().mean((1, 2)).sqrt()
    assert (level > 10 ** (-60 / 20)).all()
    # the half silent clip has twice the length, and half of its crops are drawn again
    assert abs(float((level > 0.08).float().mean()) - 0.5) < 0.1


# --- the step -----------------------------------------------------------------------------------------------


def test_the_learning_rate_warms_up_and_ends_where_the_recipe_says():
    plan = recipe("--train.steps=1000", "--optim.warmup_steps=10", "--optim.final_lr_ratio=0.1")
    ratios = [learning_rate_ratio(plan, step) for step in range(1001)]
    assert ratios[:10] == pytest.approx(np.arange(1, 11) / 10, rel=1e-3)
    assert ratios[500] == pytest.approx(0.55) and ratios[1000] == pytest.approx(0.1)
    assert all(np.diff(ratios[10:]) < 0)


def test_the_number_of_codebooks_is_drawn_as_the_recipe_says():
    module = CodecModule(recipe("--codec.quantizer.full_rate_share=0.4"))
    drawn = module.draw_codebooks(30000, module.generator_at(0))
    some = drawn[drawn < 3]
    assert len(some) / 30000 == pytest.approx(0.6, abs=0.02) and drawn.max() == 3
    torch.testing.assert_close(torch.histc(some, 4, 1, 3) / len(some), torch.full((4,), 0.25), atol=0.02, rtol=0)


def test_the_average_forgets_as_it_says(tmp_path, prepared, monkeypatch):
    seen, update = [], CodecModule.update_average

    def watched(self):
        before = self.average.decoder.last.weight.clone()
        update(self)
        seen.append(
            (
                self.state.step,
                before,
                self.codec.decoder.last.weight.clone(),
                self.average.decoder.last.weight.clone(),
            )
        )

    monkeypatch.setattr(CodecModule, "update_average", watched)
    train(recipe("--optim.ema_decay=0.3"), prepared, tmp_path, quiet=True)
    for step, before, weight, after in seen:
        decay = min(0.3, (1 + step) / (10 + step))
        torch.testing.assert_close(after, decay * before + (1 - decay) * weight)
    assert len(seen) == 12 and not torch.equal(seen[-1][2], seen[-1][3])


def test_regularisation_makes_weights_smaller(tmp_path, prepared, model):
    def size(name: str, *overrides: str) -> float:
        train(recipe("--optim.lr=0.01", *overrides), prepared, tmp_path / name, init_from=model, quiet=True)
        weights = load_codec(tmp_path / name).state_dict()
        return float(
            torch.stack([w.abs().mean() for n, w in weights.items() if w.ndim >= 2 and n.endswith("weight")]).sum()
        )

    free = size("free")
    assert size("l1", "--optim.l1=100") < 0.98 * free and size("l2", "--optim.l2=5") < 0.9 * free


def test_the_discriminator_starts_when_told_and_steps_are_counted_once(tmp_path, prepared):
    extra = [
        "--adversarial.weight=0.1",
        "--adversarial.width=4",
        "--adversarial.start_step=8",
        "--adversarial.loss=bce",
    ]
    assert train(recipe(*extra), prepared, tmp_path, quiet=True).steps == 12
    state = torch.load(tmp_path / "checkpoints/last.ckpt", weights_only=True)
    generator, discriminator = state["optimizer_states"]
    assert {int(entry["step"]) for entry in generator["state"].values()} == {12}
    assert {int(entry["step"]) for entry in discriminator["state"].values()} == {4}


def test_half_precision_trains(tmp_path, prepared):
    result = train(recipe("--train.precision=bf16"), prepared, tmp_path, quiet=True)
    assert result.steps == 12 and np.isfinite(result.best_validation_loss)


# --- before a run -------------------------------------------------------------------------------------------


def test_the_forecast_changes_nothing(prepared):
    plan = recipe(*LIVELY)
    module, data = CodecModule(plan), CodecData(prepared, plan)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    told = forecast(module, data, torch.device("cpu"))
    assert all(torch.equal(tensor, before[name]) for name, tensor in module.state_dict().items())
    assert module.codec.encoder.last.weight.grad is None
    assert told.seconds == pytest.approx(12 / told.steps_per_s)
    assert told.audio_s_per_s == pytest.approx(0.48 * told.steps_per_s)


def test_the_forecast_counts_both_stages_and_validations(prepared):
    """The wide discriminator makes a step several times slower; it learns on every third step."""
    extra = ["--adversarial.weight=0.1", "--adversarial.width=48", "--adversarial.every=3"]
    plan = recipe(*extra, "--train.steps=1000", "--adversarial.start_step=600", "--train.max_minutes=0")
    module, data = CodecModule(plan), CodecData(prepared, plan)
    told = forecast(module, data, torch.device("cpu"))
    assert told.steps_per_s > 1.5 * told.adversarial_steps_per_s and told.adversarial_from == 600
    assert told.seconds == pytest.approx(600 / told.steps_per_s + 400 / told.adversarial_steps_per_s)
    assert told.steps == 1000 and told.validation_s > 0
    text = told.text(250)
    assert "from step 600 on" in text and f"{told.adversarial_steps_per_s:.2f} steps/s" in text

    module.state.step = 700
    late = forecast(module, data, torch.device("cpu"))
    assert late.steps_per_s is None and late.steps == 300
    assert late.seconds == pytest.approx(300 / late.adversarial_steps_per_s)

    minutes = told.seconds / 2 / 60
    limited = CodecModule(replace(plan, train=replace(plan.train, max_minutes=minutes)))
    assert forecast(limited, data, torch.device("cpu")).seconds == pytest.approx(60 * minutes)


def test_the_learning_rate_test_stops_before_what_it_suggests_diverges(prepared):
    found = run_lr_range_test(recipe(), prepared)
    assert all(np.diff(found.rates) > 0) and 1e-6 < found.suggestion < found.rates[-1]
    lowest = int(np.argmin(found.losses))
    assert found.losses[0] == 1 and found.losses[lowest] < 0.97 < 1.2 * found.losses[lowest] < found.losses[-1]
    assert f"{found.suggestion:.1e}" in found.text()
