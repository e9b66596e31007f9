"""The phase without quantizer at the beginning of a training, and the fit of the codebooks at its end."""

from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import UserError
from codec.training import checkpointing
from codec.training.checkpointing import read_checkpoint
from codec.training.data_module import CodecData
from codec.training.forecast import forecast
from codec.training.metrics_log import read_curves
from codec.training.module import CodecModule
from codec.training.state import TrainingState
from codec.training.status import training_status
from codec.training.trainer import TrainingOptions, train
from eval.systems.bounds import WITHOUT_QUANTIZER
from eval.training_health.examine import examine
from eval.training_health.findings import check_codebooks
from tests.helpers.models import FSQ, RVQ, make_codec, noise_tensor
from tests.helpers.runs import assert_same_end, before_step, read_metrics, tiny_recipe

HALF = "--train.unquantized_share=0.5"
OPTIONS = TrainingOptions(fit_tables=False, keep_audio_samples=False)


@pytest.mark.parametrize("quantizer", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_the_decoder_gets_the_continuous_latent_and_the_codebooks_what_they_always_get(quantizer):
    codec = make_codec(quantizer).train()
    wave = noise_tensor(2, 1, 999)
    unquantized, quantized = codec(wave, quantize=False), codec(wave)
    assert torch.equal(unquantized.quantized.codes, quantized.quantized.codes)
    for decoded, item in zip(unquantized.waveform.detach().numpy(), wave.numpy()):
        np.testing.assert_allclose(decoded, WITHOUT_QUANTIZER.decode(codec.eval(), item), atol=1e-5)
    assert not torch.allclose(unquantized.waveform, quantized.waveform, atol=1e-2)
    unquantized.waveform.square().mean().backward()
    assert codec.encoder.first.weight.grad.abs().sum() > 0


def test_fitted_codebooks_are_in_use_and_networks_unchanged():
    codec = make_codec(RVQ)
    networks = {name: value.clone() for name, value in codec.state_dict().items() if "quantizer" not in name}
    wave = noise_tensor(8, 1, 4000).cumsum(2) / 20
    before = [len(codes.unique()) for codes in codec.encode(wave).transpose(0, 1)]
    codec.fit_codebooks(wave, torch.Generator().manual_seed(0))
    after = [len(codes.unique()) for codes in codec.encode(wave).transpose(0, 1)]
    assert min(after) > 0.8 * RVQ.codebook_size > 3 * before[0]
    assert all(torch.equal(value, codec.state_dict()[name]) for name, value in networks.items())


def test_the_phase_ends_at_its_share_once_and_for_all(tmp_path, prepared, monkeypatch):
    seen, compute = [], CodecModule.compute_step

    def watched(self, inputs, kind):
        seen.append((self.state.step, kind.quantize))
        return compute(self, inputs, kind)

    monkeypatch.setattr(CodecModule, "compute_step", watched)
    train(tiny_recipe(HALF), prepared, tmp_path, quiet=True, options=OPTIONS)
    assert seen == [(step, step >= 6) for step in range(12)]
    checkpoint = read_checkpoint(tmp_path / "checkpoints/last.ckpt", tmp_path)
    assert checkpoint["quantized_from"] == 6
    rows = [row for row in read_metrics(tmp_path) if row["term"] == "quantized_from"]
    assert [(row["split"], row["step"], float(row["value"])) for row in rows] == [("train", "6", 6.0)]
    seen.clear()
    train(tiny_recipe(HALF, "--train.steps=30"), prepared, tmp_path, quiet=True, options=OPTIONS)
    assert seen == [(step, True) for step in range(12, 30)]


class Killed(Exception):
    """Ends a run without a checkpoint of its own."""


def kill() -> None:
    raise Killed


@pytest.fixture(scope="module")
def whole(tmp_path_factory, prepared) -> Path:
    """A run that was not broken off. Do not write to it."""
    folder = tmp_path_factory.mktemp("whole")
    train(tiny_recipe(HALF), prepared, folder, quiet=True, options=OPTIONS)
    return folder


@pytest.mark.parametrize("step", [3, 6, 7])
def test_a_run_that_is_killed_before_at_or_after_the_end_of_the_phase_resumes(
    tmp_path, prepared, whole, step, monkeypatch
):
    monkeypatch.setattr(checkpointing, "CHECKPOINT_INTERVAL_S", 0.0)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        before_step(patch, step, kill)
        train(tiny_recipe(HALF), prepared, tmp_path / "broken", quiet=True, options=OPTIONS)
    train(tiny_recipe(HALF), prepared, tmp_path / "broken", quiet=True, options=OPTIONS)
    assert_same_end(whole, tmp_path / "broken")


def test_a_checkpoint_of_an_earlier_version_is_past_the_phase():
    state = TrainingState()
    stored = state.to_checkpoint()
    assert stored.pop("quantized_from") is None
    state.restore(stored)
    assert state.quantized_from == 0


def test_validations_of_the_phase_exhaust_no_patience(tmp_path, prepared):
    still = ["--optim.lr=1e-30", "--train.patience=1", "--train.steps=40"]
    ended = train(tiny_recipe(*still), prepared, tmp_path / "usual", quiet=True, options=OPTIONS)
    later = train(tiny_recipe(HALF, *still), prepared, tmp_path / "later", quiet=True, options=OPTIONS)
    assert ended.steps < 20 < later.steps < 40


def test_the_phase_is_named_by_forecast_status_and_health(tmp_path, prepared):
    recipe = tiny_recipe(HALF)
    module, data = CodecModule(recipe), CodecData(prepared, recipe)
    assert "until about step 6" in forecast(module, data, torch.device("cpu")).text(4)
    module.state.quantized_from = 6
    assert forecast(module, data, torch.device("cpu")).quantized_from is None
    train(recipe, prepared, tmp_path, quiet=True, options=OPTIONS)
    health = examine(tmp_path)
    assert health.standing.quantized_from == 6 and not health.standing.unquantized and "step 6" in health.text()
    curves = {place: curve for place, curve in read_curves(tmp_path).items() if place[1] != "quantized_from"}
    status = training_status(curves, recipe)
    assert status.unquantized and "without quantizer" in status.lines()[1]
    assert check_codebooks(status).state == "unknown"
    assert not training_status(curves, tiny_recipe()).unquantized


def test_codebooks_that_are_frozen_have_no_such_phase():
    with pytest.raises(UserError, match=r"train\.unquantized_share must be 0"):
        tiny_recipe(HALF, "--train.freeze_encoder=true")
