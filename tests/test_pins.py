"""Formats and figures that must not change by themselves, held against files in ``tests/pins/``.

``python -m tests.test_pins`` writes those files anew, which is right only where a change is meant: a version of the
format, other weights, a training step that computes something else. What the tests compare exactly is exact on every
machine; codes of a waveform, decoded waveforms and losses have the tolerance that floating-point products need.
"""

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from safetensors import safe_open

import codec
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader
from codec.bitstream.writer import PacketWriter
from codec.pretrained.checkpoint import fingerprint, model_checksum
from codec.recipe import read_recipe
from codec.training.trainer import TrainingOptions, train
from tests import test_pins_names, test_pins_resume
from tests.helpers.pinning import (
    PINS,
    RATE,
    SMALLEST,
    assert_same_losses,
    keys,
    losses,
    lost,
    ran,
    store,
    stored,
    waveform,
)  # fmt: skip
from tests.helpers.tiny import tiny_model

BUILT_IN = ("speech_16k", "speech_16k_v2")
MODELS = {**dict.fromkeys(BUILT_IN), "fsq": PINS / "fsq"}
"""With the folders of those that are not built in."""
STEPS = 50
TERMS = {"total", "l1", "mdct_l1", "mel", "nmr", "commitment", "grad_norm"}
TRAINING = [
    "--data.batch_size=2", "--data.crop_s=0.24", "--train.validation_clips=2", f"--train.steps={STEPS}",
    f"--train.validate_every={STEPS}", "--optim.lr=1e-4", "--optim.warmup_steps=0", "--augment.quiet=0",
]  # fmt: skip
"""From the weights that ship, so that k-means, in which a last bit decides much, has no part in it."""


def written_name(name: str, tags: bool) -> str:
    return f"{name}.version_3{'' if tags else '.short'}.nac"


def load(name: str) -> codec.AudioCodec:
    return codec.load(MODELS[name] or name)


def stored_codes(name: str) -> list[np.ndarray]:
    model = load(name).model.codec
    with PacketReader(PINS / f"{name}.nac") as reader:
        return [np.asarray(codes) for codes in reader.codes(RangeCoder(model.tables.to_numpy()))]


def trained(data: Path, run: Path) -> Path:
    weights = Path(codec.__file__).parent / "pretrained" / "speech_16k_v2"
    options = TrainingOptions(fit_tables=False, keep_audio_samples=False)
    train(read_recipe("speech_16k", TRAINING), data, run, init_from=weights, quiet=True, options=options)
    return run


@pytest.fixture(scope="module")
def expected() -> dict:
    return stored("expected.json")


@pytest.mark.parametrize("name", MODELS)
def test_names_of_models_are_those_in_every_file_coded_so_far(name, expected):
    model = load(name).model.codec
    assert [fingerprint(model), model_checksum(model)] == expected["models"][name]


def rewrite(name: str, source: Path, target: Path, *, tags: bool) -> None:
    """Write the codes of a file to one of the version that is written."""
    coder = RangeCoder(load(name).model.codec.tables.to_numpy())
    with (
        PacketReader(source) as reader,
        PacketWriter(target, reader.header, coder, reader.tags if tags else {}) as writer,
    ):
        for codes in reader.codes(coder):
            writer.write(codes)
        writer.finish(reader.header.samples)


@pytest.mark.parametrize("tags", [True, False])
@pytest.mark.parametrize("name", MODELS)
def test_stored_codes_become_the_same_bytes(name, tags, tmp_path):
    rewrite(name, PINS / f"{name}.nac", tmp_path / "again.nac", tags=tags)
    stored = PINS / written_name(name, tags)
    assert (tmp_path / "again.nac").read_bytes() == stored.read_bytes()
    rewrite(name, stored, tmp_path / "once_more.nac", tags=tags)
    assert (tmp_path / "once_more.nac").read_bytes() == stored.read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_stored_files_have_the_same_codes(name, expected):
    values = np.concatenate(stored_codes(name), axis=2)
    assert list(values.shape) == expected["shapes"][name]
    assert np.array_equal(values, np.load(PINS / f"{name}.npz")["stored"])


@pytest.mark.parametrize("name", MODELS)
def test_stored_files_sound_the_same(name):
    decoded = codec.open(PINS / f"{name}.nac", MODELS[name])
    with decoded as sound:
        wave = sound.read(0, sound.samples)
    assert np.abs(wave[:, ::16] - np.load(PINS / f"{name}.npz")["decoded"]).max() < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_codes_of_a_waveform(name):
    codes = load(name).encode(waveform(), RATE).codes
    assert (codes == np.load(PINS / f"{name}.npz")["codes"]).mean() >= 0.999


def test_losses_of_the_first_steps(expected, prepared, tmp_path):
    assert_same_losses(losses(trained(prepared, tmp_path / "run"), TERMS), expected["losses"])


# --- models ---------------------------------------------------------------------------------------------------


def exported(name: str, folder: Path) -> dict:
    """Return the names in what ``codec export`` writes, and the type and shape of each tensor."""
    ran("export", MODELS[name] or name, "--out", folder)
    with safe_open(folder / "model.safetensors", "np") as file:
        tensors = {key: file.get_slice(key) for key in sorted(file.keys())}
        described = {key: [value.get_dtype(), *value.get_shape()] for key, value in tensors.items()}
        metadata = dict.fromkeys(file.metadata())
    return {
        "tensors": described,
        "metadata": metadata,
        "config": keys(json.loads((folder / "config.json").read_text())),
    }


@pytest.mark.parametrize("name", MODELS)
def test_tensors_and_settings_of_models_keep_their_names(name, tmp_path):
    old, new = stored("models.json")[name], exported(name, tmp_path / "model")
    assert new["tensors"] == old["tensors"]
    assert lost(old, new) == []


# --- shards of tokens -----------------------------------------------------------------------------------------

SHARD = PINS / "tokens-000000.tar"


def tokens(folder: Path) -> Path:
    """Return a shard of a sound with one channel and one with two, the latter with a column of a manifest."""
    wave, before = waveform(), Path.cwd()
    (folder / "in" / "more").mkdir(parents=True)
    soundfile.write(folder / "in" / "one.wav", wave, RATE, "FLOAT")
    soundfile.write(folder / "in" / "more" / "t.w%o.wav", np.stack([wave, 0.5 * wave[::-1]], 1), RATE, "FLOAT")
    (folder / "manifest.csv").write_text("path,transcript\nin/more/t.w%o.wav,pinned\n", encoding="utf-8")
    os.chdir(folder)  # shards say where the sources were, as the command named them
    try:
        words = ("--model", "speech_16k_v2", "--codebooks", 2, "--manifest", "manifest.csv", "--per-shard", 2)
        ran("tokens", "in", "--out", "tokens", *words)
    finally:
        os.chdir(before)
    return folder / "tokens" / SHARD.name


def members(shard: Path) -> dict[str, object]:
    """Return the content of a shard as WebDataset would find it."""
    found: dict[str, object] = {}
    with tarfile.open(shard) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            data = file.read()
            if member.name.endswith(".npy"):
                found[member.name] = np.load(io.BytesIO(data), allow_pickle=False)
            else:
                found[member.name] = json.loads(data)
    return found


def test_shards_of_tokens_hold_what_they_held(tmp_path):
    old, new = members(SHARD), members(tokens(tmp_path))
    assert list(new) == list(old)
    for name, value in old.items():
        if isinstance(value, np.ndarray):
            assert (new[name].dtype, new[name].shape) == (value.dtype, value.shape)
            assert (new[name] == value).mean() >= 0.999
        else:
            assert {key: new[name].get(key) for key in value} == value


def decoded_tokens(folder: Path) -> dict[str, np.ndarray]:
    """Return some samples of the sounds that the stored shard becomes, and their place."""
    ran("decode", SHARD, "--out", folder, "--bits", "32f")
    return {
        path.relative_to(folder).as_posix(): soundfile.read(path, dtype="float32")[0][::16]
        for path in sorted(folder.rglob("*.wav"))
    }


def test_stored_shards_sound_the_same(tmp_path):
    new = decoded_tokens(tmp_path / "wav")
    with np.load(PINS / "tokens.npz") as old:
        assert list(new) == old.files
        for name in old.files:
            assert np.abs(new[name] - old[name]).max() < 1e-4


def test_codes_in_stored_shards_are_those_of_nac_files():
    (first,) = (value for name, value in members(SHARD).items() if name == "one.npy")
    assert np.array_equal(first, np.load(PINS / "speech_16k_v2.npz")["codes"][:2])


def _write(folder: Path) -> None:
    from data_prep.options import PrepareOptions
    from data_prep.prepare import prepare
    from data_prep.synthetic_corpus import synthesise_corpus

    torch.set_num_threads(1)
    PINS.mkdir(exist_ok=True)
    tiny_model(PINS / "fsq", *SMALLEST, "--codec.quantizer.kind=fsq")
    wave = waveform()
    content: dict[str, Any] = {"models": {}, "shapes": {}}
    for name in MODELS:
        loaded = load(name)
        path = PINS / f"{name}.nac"
        if not path.exists():  # those of older versions cannot be written anew
            loaded.save(path, wave, RATE, kbps=3, tags={"title": "Pinned", "artist": "Lathe"})
        for tags in (True, False):
            rewrite(name, path, PINS / written_name(name, tags), tags=tags)
        stored = np.concatenate(stored_codes(name), axis=2)
        with codec.open(path, MODELS[name]) as sound:
            decoded = sound.read(0, sound.samples)[:, ::16]
        codes = loaded.encode(wave, RATE).codes.astype(np.int16)
        np.savez_compressed(PINS / f"{name}.npz", stored=stored.astype(np.int16), decoded=decoded, codes=codes)
        content["models"][name] = [loaded.fingerprint, model_checksum(loaded.model.codec)]
        content["shapes"][name] = list(stored.shape)
    corpus = synthesise_corpus(folder / "corpus", minutes=2.0)
    prepare([corpus], folder / "data", PrepareOptions(sample_rate=16000, workers=1))
    content["losses"] = losses(trained(folder / "data", folder / "run"), TERMS)
    (PINS / "expected.json").write_text(json.dumps(content, indent=1) + "\n")
    store("models.json", {name: exported(name, folder / f"exported-{name}") for name in MODELS})
    shutil.copyfile(tokens(folder / "sounds"), SHARD)
    np.savez_compressed(PINS / "tokens.npz", **decoded_tokens(folder / "wav"))
    test_pins_names.write(folder / "names")
    test_pins_resume.write(folder / "resume")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        _write(Path(made))
