"""Stored models: written and read back, their fingerprints, and damage."""

import json
import resource

import pytest
import torch
from safetensors.torch import load_file, save_file

from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint, load_codec, model_checksum, save_model
from codec.pretrained.model_folder import read_fingerprints, read_training_info
from tests.helpers.models import FSQ, RVQ, make_codec, noise_tensor


@pytest.fixture(scope="module", params=[RVQ, FSQ], ids=["rvq", "fsq"])
def codec(request) -> Codec:
    return make_codec(request.param)


def test_model_comes_back_from_disk(codec, tmp_path):
    save_model(tmp_path / "run" / "model", codec, {"step": 3})
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        back = load_codec(place)
        assert back.config == codec.config and model_checksum(back) == model_checksum(codec) and not back.training
        assert fingerprint(back) == fingerprint(codec) and back.compatible_fingerprints == ()
    wave = noise_tensor(1, 1, 500)
    assert torch.equal(back.encode(wave), codec.encode(wave))


@pytest.mark.parametrize("name", [model_checksum, fingerprint])
def test_names_are_of_weights_and_architecture(name):
    codec, same, other = make_codec(RVQ), make_codec(RVQ), make_codec(RVQ, seed=1)
    assert name(codec) == name(same) != name(other)
    with torch.no_grad():
        weight = same.decoder.last.bias
        weight[3] = torch.nextafter(weight[3], torch.tensor(9.0))
    assert name(codec) != name(same)
    object.__setattr__(codec.config, "power", 0.55)
    assert name(codec) != name(make_codec(RVQ))


def test_fingerprint_names_what_decodes_and_nothing_else(codec):
    """Every tensor in turn: the name changes if and only if a decode, or what it is decoded from, can."""
    config = codec.config.quantizer
    one = make_codec(config)
    before, whole, seen = fingerprint(one), model_checksum(one), set()
    for name, tensor in one.state_dict().items():
        kept = tensor.clone()
        tensor.flatten()[0] += 1
        matters = not name.startswith("encoder.") and "usage" not in name
        assert (fingerprint(one) != before) == matters and model_checksum(one) != whole, name
        tensor.copy_(kept)
        seen.add(name.split(".")[0])
    assert seen >= {"encoder", "decoder", "tables"} and fingerprint(one) == before
    decoding = one.decoding_state()
    other = make_codec(config, seed=1)
    other.load_state_dict(decoding, strict=False)
    codes = one.encode(noise_tensor(1, 1, 500))
    assert torch.equal(one.decode(codes), other.decode(codes)) and fingerprint(other) == before


def test_compatible_fingerprints_are_stored(tmp_path):
    codec = make_codec(RVQ)
    codec.compatible_fingerprints = ("0123456789abcdef", "00112233445566ff")
    save_model(tmp_path, codec, {})
    assert load_codec(tmp_path).compatible_fingerprints == codec.compatible_fingerprints


@pytest.mark.parametrize(
    "name, damage",
    [
        ("model.safetensors", lambda data: data[: len(data) // 2]),
        ("model.safetensors", lambda data: b""),
        ("model.safetensors", lambda data: b"\x80\x04 not tensors" * 40),
        ("config.json", lambda data: data[:40]),
        ("config.json", lambda data: b"\xff\xfe"),
        ("config.json", lambda data: b"[]"),
        ("config.json", lambda data: data.replace(b'"hop": 8', b'"hop": 16')),
        ("config.json", lambda data: data.replace(b'"hop"', b'"hopp"')),
        ("config.json", lambda data: json.dumps({"info": {}}).encode()),
    ],
)
def test_damaged_model_is_one_line(tmp_path, name, damage):
    save_model(tmp_path, make_codec(RVQ), {})
    file = tmp_path / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError) as error:
        load_codec(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_weights_are_read_by_the_configuration_that_they_came_with(tmp_path):
    """As after a kill between the two renames by which another model takes the place of one."""
    models = {seed: make_codec(RVQ, seed=seed) for seed in (0, 1)}
    for seed, codec in models.items():
        save_model(tmp_path / str(seed), codec, {"step": seed})
    (tmp_path / "0/model.safetensors").replace(tmp_path / "1/model.safetensors")
    assert fingerprint(load_codec(tmp_path / "1")) == fingerprint(models[0]) == read_fingerprints(tmp_path / "1")[0]
    assert read_training_info(tmp_path / "1") == {"step": 0}


def test_weights_without_a_configuration_of_their_own_must_be_those_of_config_json(tmp_path):
    """As built-in models are, which are older."""
    for seed in (0, 1):
        save_model(tmp_path / str(seed), make_codec(RVQ, seed=seed), {})
        weights = load_file(tmp_path / f"{seed}/model.safetensors")
        save_file(weights, tmp_path / f"{seed}/model.safetensors")
        assert load_codec(tmp_path / str(seed))
    (tmp_path / "0/model.safetensors").replace(tmp_path / "1/model.safetensors")
    with pytest.raises(UserError, match=str(tmp_path / "1")):
        load_codec(tmp_path / "1")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("encoder", "width", 9000),
        ("encoder", "depth", 1000),
        ("quantizer", "codebooks", 1000),
        ("decoder", "width", "8"),
    ],
)
def test_a_config_that_describes_more_than_the_weights_hold_takes_no_memory(tmp_path, section, name, value):
    save_model(tmp_path, make_codec(RVQ), {})
    content = json.loads((tmp_path / "config.json").read_text())
    content["codec"][section][name] = value
    (tmp_path / "config.json").write_text(json.dumps(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match=str(tmp_path)):
        load_codec(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_what_is_not_a_model_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=str(path)):
            load_codec(path)
