"""Runs that start from the weights of another model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.frequency_tables import to_frequencies
from codec.pretrained.checkpoint import fingerprint, load_codec, save_model
from codec.pretrained.model_folder import read_training_info
from codec.training.data_module import CodecData
from codec.training.metrics_log import read_curves
from codec.training.status import explain_best
from codec.training.trainer import train
from tests.helpers.runs import tiny_recipe


@pytest.fixture
def model(tmp_path) -> Path:
    torch.manual_seed(0)
    codec = Codec(tiny_recipe().codec)
    codec.tables.frequencies.copy_(to_frequencies(torch.arange(16.0).expand(codec.tables.frequencies.shape)))
    codec.compatible_fingerprints = ("0123456789abcdef",)
    save_model(tmp_path / "model", codec, {"step": 1, "tables": {"seconds": 1.0, "frames": 50}})
    return tmp_path / "model"


def test_a_model_can_grow_codebooks(tmp_path, prepared, model):
    before = load_codec(model)
    more = tiny_recipe(
        "--codec.quantizer.codebooks=5", "--train.steps=1", "--optim.lr=1e-9", "--train.validate_every=1"
    )
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
    with pytest.raises(UserError, match=str(model)):
        train(tiny_recipe("--codec.quantizer.codebooks=2"), prepared, tmp_path / "less", init_from=model, quiet=True)


def test_a_model_can_grow_latent_dimensions(tmp_path, prepared, model):
    before = load_codec(model)
    dimensions = before.config.quantizer.latent_dim
    wider = tiny_recipe(
        f"--codec.quantizer.latent_dim={dimensions + 3}",
        "--codec.quantizer.frame_weights=learned",
        "--train.steps=1",
        "--optim.lr=1e-9",
        "--train.validate_every=1",
    )
    train(wider, prepared, tmp_path / "run", init_from=model, quiet=True)
    after = load_codec(tmp_path / "run")
    assert after.config.quantizer.latent_dim == dimensions + 3
    for name, weight in before.decoder.state_dict().items():
        ours = after.decoder.state_dict()[name]
        torch.testing.assert_close(ours[tuple(slice(size) for size in weight.shape)], weight, atol=1e-6, rtol=0)


def test_a_model_can_grow_a_band(tmp_path, prepared):
    recipe = tiny_recipe("--train.steps=1", "--optim.lr=1e-9", "--train.validate_every=1")
    half = replace(recipe.codec, sample_rate=recipe.codec.sample_rate // 2, hop=recipe.codec.hop // 2)
    before = Codec(half)
    save_model(tmp_path / "half", before, {"step": 1})
    train(recipe, prepared, tmp_path / "run", init_from=tmp_path / "half", quiet=True)
    after = load_codec(tmp_path / "run").decoder.direct.unflatten(0, (-1, recipe.codec.hop))
    within, above = after[:, : half.hop].flatten(0, 1), after[:, half.hop :]
    torch.testing.assert_close(within, before.decoder.direct, atol=1e-6, rtol=0)
    assert above.numel() == within.numel() and not above.any()


def test_fine_tuning_starts_from_the_given_weights(tmp_path, prepared, model):
    result = train(tiny_recipe("--optim.lr=1e-12"), prepared, tmp_path / "run", init_from=model, quiet=True)
    given, tuned = load_codec(model), load_codec(tmp_path / "run")
    for name, weight in given.decoder.state_dict().items():
        torch.testing.assert_close(tuned.decoder.state_dict()[name], weight, atol=1e-6, rtol=0)
    assert tuned.compatible_fingerprints == () and not torch.equal(given.tables.frequencies, tuned.tables.frequencies)
    curves = read_curves(tmp_path / "run")
    assert curves["val", "total"].steps == (0, 4, 8, 12) and curves["train_fixed", "mel"].steps[0] == 0
    assert result.best_step == curves["val", "total"].steps[int(np.argmin(curves["val", "total"].values))]
    with pytest.raises(UserError, match=str(model)):
        train(tiny_recipe("--codec.hop=160"), prepared, tmp_path / "other", init_from=model, quiet=True)
    assert not (tmp_path / "other").exists()


def test_a_run_keeps_its_skip_paths_fixed_or_trained(tmp_path, prepared):
    train(tiny_recipe("--train.steps=2"), prepared, tmp_path / "run", quiet=True)
    recipe = (tmp_path / "run/recipe.yaml").read_text()
    with pytest.raises(UserError, match="skip_lr_ratio"):
        train(tiny_recipe("--train.steps=4", "--optim.skip_lr_ratio=0.1"), prepared, tmp_path / "run", quiet=True)
    assert (tmp_path / "run/recipe.yaml").read_text() == recipe


def test_a_frozen_encoder_keeps_codes_as_they_were(tmp_path, prepared, model):
    frozen = tiny_recipe("--train.freeze_encoder=true", "--optim.l2=0.1", "--optim.l1=0.1")
    train(frozen, prepared, tmp_path / "run", init_from=model, quiet=True)
    given, tuned = load_codec(model), load_codec(tmp_path / "run")
    for name, tensor in given.state_dict().items():
        assert name.startswith("decoder.") or torch.equal(tensor, tuned.state_dict()[name]), name
    assert not torch.equal(given.decoder.last.weight, tuned.decoder.last.weight)
    assert tuned.compatible_fingerprints == (fingerprint(given), "0123456789abcdef")
    assert "tables" not in read_training_info(tmp_path / "run")
    longer = replace(frozen, train=replace(frozen.train, steps=16))
    train(longer, prepared, tmp_path / "run", quiet=True)  # resumed, without --init-from
    assert load_codec(tmp_path / "run").compatible_fingerprints == tuned.compatible_fingerprints
    with pytest.raises(UserError, match="--init-from"):
        train(frozen, prepared, tmp_path / "other", quiet=True)


def test_a_parent_that_no_step_improves_remains_the_model_until_patience_ends(tmp_path, prepared, model):
    still = tiny_recipe(*("--train.freeze_encoder=true", "--optim.lr=1e-30", "--train.patience=2", "--train.steps=40"))
    result = train(still, prepared, tmp_path / "run", init_from=model, quiet=True)
    assert (result.steps, result.best_step) == (8, 0) and result.stopped.startswith("early stopping")
    given, kept = load_codec(model), load_codec(tmp_path / "run")
    assert fingerprint(kept) == fingerprint(given) and kept.compatible_fingerprints == given.compatible_fingerprints
    for name, tensor in given.state_dict().items():
        assert torch.equal(tensor, kept.state_dict()[name]), name
    assert "started from" in explain_best(read_curves(tmp_path / "run")["val", "total"], 0)


def test_regularisation_makes_weights_smaller(tmp_path, prepared, model):
    def size(name: str, *overrides: str) -> float:
        train(tiny_recipe("--optim.lr=0.01", *overrides), prepared, tmp_path / name, init_from=model, quiet=True)
        weights = load_codec(tmp_path / name).state_dict()
        return float(
            torch.stack([w.abs().mean() for n, w in weights.items() if w.ndim >= 2 and n.endswith("weight")]).sum()
        )

    free = size("free")
    assert size("l1", "--optim.l1=100") < 0.98 * free and size("l2", "--optim.l2=5") < 0.9 * free
