"""The wrapper for transformers, beside transformers' own EncodecModel with random weights."""

import inspect

import numpy as np
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoFeatureExtractor,
    AutoModel,
    EncodecConfig,
    EncodecFeatureExtractor,
    EncodecModel,
)

import codec as library
from codec.errors import UserError
from codec.pretrained.export import export_model
from codec.transformers import LatheConfig, LatheModel

HOP = 320


@pytest.fixture(scope="module")
def ours(model) -> LatheModel:
    return LatheModel.from_pretrained(str(model))


@pytest.fixture(scope="module")
def theirs() -> EncodecModel:
    """With frames and bandwidths as ours: three codebooks of 16 entries, 50 frames per second."""
    torch.manual_seed(0)
    config = EncodecConfig(
        sampling_rate=16000, target_bandwidths=[0.2, 0.4, 0.6], codebook_size=16, codebook_dim=8, hidden_size=8,
        num_filters=2, num_lstm_layers=1, upsampling_ratios=[8, 5, 4, 2],
    )  # fmt: skip
    model = EncodecModel(config).eval()
    for layer in model.quantizer.layers:  # which are zeros without training
        layer.codebook.embed.normal_(std=0.1)
    return model


@pytest.fixture(scope="module")
def sounds() -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [0.1 * generator.standard_normal(length).astype(np.float32) for length in (9000, 16000, 641)]


def batch_of(model, sounds: list[np.ndarray]) -> dict[str, torch.Tensor]:
    extractor = EncodecFeatureExtractor(sampling_rate=model.config.sampling_rate)
    return extractor(sounds, sampling_rate=model.config.sampling_rate, return_tensors="pt")


@pytest.mark.parametrize("name", ["encode", "decode", "forward"])
def test_calls_have_the_same_signature(name):
    own, other = (inspect.signature(getattr(one, name)).parameters for one in (LatheModel, EncodecModel))
    assert list(own) == list(other)
    for parameter in own:
        assert own[parameter].kind == other[parameter].kind
        assert other[parameter].default in (own[parameter].default, inspect.Parameter.empty), parameter


def test_configurations_have_the_same_meaning(ours, theirs):
    for name in (
        *("sampling_rate", "audio_channels", "normalize", "chunk_length_s", "hop_length", "frame_rate"),
        *("codebook_size", "num_quantizers", "target_bandwidths"),
    ):
        assert getattr(ours.config, name) == getattr(theirs.config, name), name


@pytest.mark.parametrize("bandwidth", [0.2, 0.4])
@torch.no_grad()
def test_results_have_the_same_fields_and_shapes(ours, theirs, sounds, bandwidth):
    found = []
    for model in (ours, theirs):
        batch = batch_of(model, sounds)
        encoded = model.encode(**batch, bandwidth=bandwidth)
        decoded = model.decode(encoded.audio_codes, encoded.audio_scales, batch["padding_mask"])
        both = model(**batch, bandwidth=bandwidth)
        assert torch.equal(both.audio_codes, encoded.audio_codes)
        torch.testing.assert_close(both.audio_values, decoded.audio_values)
        again = model(**batch, audio_codes=encoded.audio_codes, audio_scales=encoded.audio_scales)
        torch.testing.assert_close(again.audio_values, both.audio_values)
        pair = model(**batch, bandwidth=bandwidth, return_dict=False)
        assert isinstance(pair, tuple) and torch.equal(pair[0], both.audio_codes)
        codes, scales, pad = model.encode(**batch, bandwidth=bandwidth, return_dict=False)
        assert isinstance(model.decode(codes, scales, return_dict=False), tuple)
        found.append((encoded, decoded, both, scales, pad))
    (encoded, decoded, both, scales, pad), expected = found
    for one, other in zip((encoded, decoded, both), expected):
        assert type(one) is type(other) and list(one) == list(other)
    assert encoded.audio_codes.dtype == expected[0].audio_codes.dtype
    assert encoded.audio_codes.shape[:3] == expected[0].audio_codes.shape[:3]
    # the window of the transform reaches one frame further than their last frame
    assert encoded.audio_codes.shape[3] - expected[0].audio_codes.shape[3] in (0, 1)
    assert both.audio_values.shape == decoded.audio_values.shape == expected[2].audio_values.shape
    assert (scales, pad) == expected[3:] == ([None], 0)


@torch.no_grad()
def test_padding_is_masked_as_theirs_is(ours, theirs, sounds):
    """What stands where the mask is 0 does not matter; the mask may have an axis for channels; decoding cuts to it."""
    for model in (ours, theirs):
        batch = batch_of(model, sounds)
        values, mask = batch["input_values"], batch["padding_mask"]
        expected = model.encode(values, mask).audio_codes
        noisy = values + (1 - mask[:, None]) * torch.randn_like(values)
        assert torch.equal(model.encode(noisy, mask).audio_codes, expected)
        assert torch.equal(model.encode(noisy, mask[:, None].bool()).audio_codes, expected)
        assert not torch.equal(model.encode(noisy).audio_codes, expected)
        whole = model.decode(expected, [None]).audio_values
        assert whole.shape[-1] > 12000
        assert torch.equal(model.decode(expected, [None], mask[:, :12000]).audio_values, whole[..., :12000])


def test_a_batch_gives_what_its_items_give_alone(ours, model, sounds):
    """And what codec.load gives."""
    batch = batch_of(ours, sounds)
    together = ours(**batch)
    plain = library.load(model)
    for index, sound in enumerate(sounds):
        alone = ours(**batch_of(ours, [sound]))
        frames = alone.audio_codes.shape[-1]
        assert torch.equal(together.audio_codes[:, index : index + 1, :, :frames], alone.audio_codes)
        torch.testing.assert_close(
            together.audio_values[index : index + 1, :, : len(sound)], alone.audio_values, atol=1e-6, rtol=0
        )
        codes = plain.encode(sound, 16000).codes
        assert np.array_equal(alone.audio_codes[0, 0].numpy(), codes)
        np.testing.assert_allclose(
            alone.audio_values[0, 0].numpy()[:, None], plain.decode(codes)[: len(sound), None], atol=1e-6
        )


def test_bad_input_is_refused(ours, theirs):
    wave = torch.zeros(1, 1, 1600)
    for model in (ours, theirs):
        with pytest.raises(ValueError, match=r"doesn't support the bandwidth 7.0. Select one of \[0.2, 0.4, 0.6\]"):
            model.encode(wave, bandwidth=7.0)
        with pytest.raises(ValueError, match="Expected one frame, got 2"):
            model.decode(torch.zeros(2, 1, 3, 5, dtype=torch.long), [None, None])
    with pytest.raises(ValueError, match="give channels as items"):
        ours.encode(torch.zeros(1, 2, 1600))
    with pytest.raises(ValueError, match="codes from 0 to 15"):
        ours.decode(torch.full((1, 1, 3, 5), 16))


def test_folders_are_read_and_written_offline(ours, model, tmp_path, monkeypatch):
    """By AutoModel and by codec.load alike, as codec export and save_pretrained write them."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    ours.save_pretrained(tmp_path / "saved")
    export_model(model, tmp_path / "exported")
    for folder in (tmp_path / "saved", tmp_path / "exported"):
        assert isinstance(AutoConfig.from_pretrained(folder), LatheConfig)
        found = AutoModel.from_pretrained(folder)
        assert not found.training
        extractor = AutoFeatureExtractor.from_pretrained(folder)
        assert isinstance(found, LatheModel) and isinstance(extractor, EncodecFeatureExtractor)
        assert extractor.sampling_rate == found.config.sampling_rate == 16000
        wave = extractor(np.ones(9000), sampling_rate=16000, return_tensors="pt")
        expected = library.load(folder)
        codes = expected.encode(np.ones(9000), 16000).codes
        assert np.array_equal(found.encode(**wave).audio_codes[0, 0].numpy(), codes)
    assert library.load(tmp_path / "saved").fingerprint == library.load(model).fingerprint
    random = LatheModel(LatheConfig(ours.config.codec))
    random.save_pretrained(tmp_path / "random")
    again = LatheModel.from_pretrained(tmp_path / "random")
    wave = torch.randn(1, 1, 4000)
    assert torch.equal(again(wave).audio_values, random(wave).audio_values)


def test_options_without_meaning_are_refused(model, tmp_path):
    with pytest.raises(TypeError, match="computes in float32"):
        LatheModel.from_pretrained(model, dtype=torch.float16)
    with pytest.raises(TypeError, match="HF_HOME"):
        LatheModel.from_pretrained(model, cache_dir=tmp_path)
    with pytest.raises(UserError, match="not a model"):
        LatheModel.from_pretrained(tmp_path)
