"""Models by name, by path and by fingerprint, through the command line; the built-in ones are made here."""

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec import cli
from codec.cli.models import MODEL_VARIABLE
from codec.config import CodecConfig, NetworkConfig, QuantizerConfig
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained import DEFAULT_MODEL, model_packages, registry
from codec.pretrained.checkpoint import fingerprint, load_codec, save_model
from codec.pretrained.export import export_model
from codec.pretrained.model_folder import read_fingerprints
from codec.pretrained.model_packages import OLDER_DISTRIBUTION, OLDER_MODELS, ModelPackage
from codec.recipe import read_recipe
from tests.helpers.pinning import PINS


def make(folder: Path, seed: int) -> Codec:
    torch.manual_seed(seed)
    network = NetworkConfig(width=8, depth=1, kernel=3, expansion=1)
    quantizer = QuantizerConfig(codebooks=4, latent_dim=8, codebook_size=16, codebook_dim=4)
    codec = Codec(CodecConfig(hop=160, encoder=network, decoder=network, quantizer=quantizer)).eval()
    save_model(folder, codec, {})
    return load_codec(folder)


@pytest.fixture
def models(tmp_path, monkeypatch) -> Path:
    """An empty folder in place of the built-in models and of all that are installed."""
    packages = [ModelPackage("ours", tmp_path / "models"), ModelPackage("others", tmp_path / "others")]
    for module in (registry, model_packages):
        monkeypatch.setattr(module, "model_packages", lambda: packages)
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(9000), 16000)
    return tmp_path / "models"


@pytest.fixture
def run(tmp_path, capsys):
    def run(*words: object) -> tuple[int, str, str]:
        """Exit status, what was printed, and the last line of what was complained of."""
        with pytest.raises(SystemExit) as ended:
            cli.main([str(word) for word in words])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, (printed.err.strip().splitlines() or [""])[-1]

    return run


def test_without_any_model_commands_name_the_option(tmp_path, models, run):
    status, _, complaint = run("encode", tmp_path / "a.wav", "--out", tmp_path)
    assert status == 2 and "no built-in model" in complaint and "--model" in complaint
    status, printed, _ = run("models")
    assert status == 0 and "no built-in model" in printed
    make(tmp_path / "run", 0)
    assert run("encode", tmp_path / "a.wav", "--out", tmp_path, "--model", tmp_path / "run")[0] == 0
    status, _, complaint = run("decode", tmp_path / "a.nac", "--out", tmp_path / "out")
    name = fingerprint(load_codec(tmp_path / "run"))[:8]
    assert status == 1 and f"a.nac: coded with model {name}" in run("decode", tmp_path / "a.nac", "--out", tmp_path)[2]
    assert "--model" in complaint or complaint


def test_the_default_model_encodes_and_each_file_finds_its_own(tmp_path, models, run, monkeypatch):
    made = {name: make(models / name, seed) for seed, name in enumerate((DEFAULT_MODEL, "other", "third"))}
    own = make(tmp_path / "own", 9)
    source = tmp_path / "a.wav"
    assert run("encode", source, "--out", tmp_path / "nac" / DEFAULT_MODEL)[0] == 0
    assert run("encode", source, "--out", tmp_path / "nac" / "other", "--model", "other")[0] == 0
    assert run("encode", source, "--out", tmp_path / "nac" / "third", "--model", models / "third")[0] == 0
    monkeypatch.setenv(MODEL_VARIABLE, str(tmp_path / "own"))
    assert run("encode", source, "--out", tmp_path / "nac" / "own")[0] == 0
    for name, codec in (made | {"own": own}).items():
        status, printed, _ = run("info", tmp_path / "nac" / name / "a.nac", "--json")
        assert status == 0 and json.loads(printed)[0]["fingerprint"] == fingerprint(codec)[:8]
    assert run("decode", tmp_path / "nac", "--out", tmp_path / "wav")[0] == 0
    assert "4 were up to date" in run("decode", tmp_path / "nac", "--out", tmp_path / "wav")[1]
    assert len({path.read_bytes() for path in (tmp_path / "wav").rglob("*.wav")}) == 4
    monkeypatch.delenv(MODEL_VARIABLE)
    status, printed, complaint = run("decode", tmp_path / "nac", "--out", tmp_path / "again")
    assert status == 1 and "3 done" in printed and fingerprint(own)[:8] in complaint
    assert run("decode", tmp_path / "nac" / "other", "--out", tmp_path / "wrong", "--model", "third")[0] == 1


def test_a_finer_decoder_serves_where_the_model_itself_is_not_there(tmp_path, models, run):
    parent = make(tmp_path / "parent", 0)
    assert run("encode", tmp_path / "a.wav", "--out", tmp_path, "--model", tmp_path / "parent")[0] == 0
    child = load_codec(tmp_path / "parent")
    child.decoder.last.bias += 0.1
    child.compatible_fingerprints = (fingerprint(parent),)
    save_model(models / "child", child, {})
    assert run("decode", tmp_path / "a.nac", "--out", tmp_path / "child")[0] == 0
    save_model(models / "parent", parent, {})
    assert run("decode", tmp_path / "a.nac", "--out", tmp_path / "both")[0] == 0
    assert run("decode", tmp_path / "a.nac", "--out", tmp_path / "named", "--model", "parent")[0] == 0
    sounds = [(tmp_path / name / "a.wav").read_bytes() for name in ("child", "both", "named")]
    assert sounds[0] != sounds[1] == sounds[2]


def test_models_are_listed(tmp_path, models, run, monkeypatch):
    codec = make(models / DEFAULT_MODEL, 0)
    (models / "not_a_model").mkdir()
    status, printed, _ = run("models")
    head, line, absent = printed.splitlines()
    assert status == 0 and head.split()[0] == "model"
    assert line.split()[:3] == [DEFAULT_MODEL, fingerprint(codec), "16000"] and line.split()[-1] == "ours"
    assert set(OLDER_MODELS.values()) <= set(absent.replace(";", "").split())
    monkeypatch.setenv(MODEL_VARIABLE, str(models / DEFAULT_MODEL))
    found = json.loads(run("models", "--json")[1])
    assert [model["name"] for model in found] == [DEFAULT_MODEL, str(models / DEFAULT_MODEL)]
    make(models.parent / "own", 1)
    monkeypatch.setenv(MODEL_VARIABLE, str(models.parent / "own"))
    assert [model["distribution"] for model in json.loads(run("models", "--json")[1])] == ["ours", None]
    assert found[0]["parameters"] == sum(weight.numel() for weight in codec.parameters())
    assert found[0]["min_kbps"] == pytest.approx((4 + 8 * 8.25 / 100) * 50 / 1000)
    assert found[0]["max_kbps"] == pytest.approx((16 + 8 * 8.25 / 100) * 50 / 1000)


def test_models_of_other_packages_are_found_by_name_and_fingerprint_and_ours_come_first(tmp_path, models, run):
    theirs = make(models.parent / "others" / "theirs", 0)
    for folder, seed in ((models, 1), (models.parent / "others", 2)):
        make(folder / "both", seed)
    listed = {model["name"]: model for model in json.loads(run("models", "--json")[1])}
    assert {name: model["distribution"] for name, model in listed.items()} == {"both": "ours", "theirs": "others"}
    assert listed["both"]["fingerprint"] == fingerprint(load_codec(models / "both"))
    assert run("encode", tmp_path / "a.wav", "--out", tmp_path, "--model", "theirs")[0] == 0
    printed = run("info", tmp_path / "a.nac", "--json")[1]
    assert json.loads(printed)[0]["model"] == "theirs"
    assert fingerprint(theirs).startswith(json.loads(printed)[0]["fingerprint"])
    assert run("decode", tmp_path / "a.nac", "--out", tmp_path / "out")[0] == 0


def test_known_fingerprints_are_those_of_the_older_models_and_the_default_is_not_one_of_them():
    (older,) = {
        package.folder for package in model_packages.model_packages() if package.distribution == OLDER_DISTRIBUTION
    }
    found = {folder.parent.name: read_fingerprints(folder.parent) for folder in older.glob("*/config.json")}
    assert {name: [own for own, known in OLDER_MODELS.items() if known == name] for name in found} == found
    assert DEFAULT_MODEL not in OLDER_MODELS.values()


@pytest.mark.parametrize("name", ["speech_16k.nac", "speech_16k.version_3.nac"])
def test_a_file_of_an_older_model_names_the_command_that_installs_it(tmp_path, models, run, name):
    status, _, complaint = run("decode", PINS / name, "--out", tmp_path / "out")
    assert status == 1 and name in complaint and f"pip install {OLDER_DISTRIBUTION}" in complaint
    assert not list((tmp_path / "out").glob("*.wav"))
    assert json.loads(run("info", PINS / name, "--json")[1])[0]["model"] == "speech_16k"


@pytest.mark.parametrize(
    "words",
    ["encode a.wav --out x --model {}", "evaluate {} --data x --out x", "health {} --out x", "export {} --out x"],
)
def test_the_name_of_an_older_model_names_the_command_that_installs_it(tmp_path, models, run, words, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in OLDER_MODELS.values():
        status, _, complaint = run(*words.format(name).split())
        assert status == 2 and name in complaint and f"pip install {OLDER_DISTRIBUTION}" in complaint


@pytest.mark.parametrize("content", [b"", b"{}", b'{"fingerprint": 1}'])
def test_a_damaged_built_in_model_is_named(tmp_path, models, run, content):
    make(models / DEFAULT_MODEL, 0)
    assert run("encode", tmp_path / "a.wav", "--out", tmp_path)[0] == 0
    (models / DEFAULT_MODEL / "config.json").write_bytes(content)
    for words, expected in ((["encode", tmp_path / "a.wav"], 2), (["decode", tmp_path / "a.nac"], 1)):
        status, _, complaint = run(*words, "--out", tmp_path / "out")
        assert status == expected and "speech_16k" in complaint
    assert run("models")[0] == 2


def test_a_misspelt_model_is_named(tmp_path, models, run):
    make(models / DEFAULT_MODEL, 0)
    status, _, complaint = run("encode", tmp_path / "a.wav", "--out", tmp_path, "--model", "speach_16k")
    assert status == 2 and "speach_16k" in complaint and "speech_16k" in complaint


def test_an_exported_model_is_half_as_large_and_nearly_the_same(tmp_path):
    torch.manual_seed(0)
    codec = Codec(read_recipe("quickstart").codec).eval().requires_grad_(False)
    save_model(tmp_path / "run/model", codec, {"step": 3})
    (tmp_path / "run/recipe.yaml").write_text("train: {steps: 3}")
    exported = export_model(tmp_path / "run", tmp_path / "small")
    back = load_codec(tmp_path / "small")
    assert fingerprint(back) == fingerprint(exported) != fingerprint(codec)
    sizes = [(tmp_path / place / "model.safetensors").stat().st_size for place in ("small", "run/model")]
    modes = {path.stat().st_mode for path in (tmp_path / "small").iterdir() if path.is_file()}
    assert len(modes) == 1  # of the weights, too
    assert sizes[0] < 0.7 * sizes[1] and (tmp_path / "small/recipe.yaml").is_file()
    wave = 0.1 * torch.randn(1, 1, 16000)
    codes = codec.encode(wave)
    assert (back.encode(wave)[:, 0] == codes[:, 0]).float().mean() > 0.95
    decoded = codec.decode(codes)
    assert (back.decode(codes) - decoded).norm() < 0.01 * decoded.norm()
    with pytest.raises(UserError, match=str(tmp_path / "small")):
        export_model(tmp_path / "run", tmp_path / "small")
    (tmp_path / "here").mkdir()
    with contextlib.chdir(tmp_path / "here"), pytest.raises(UserError, match="current folder"):
        export_model(tmp_path / "run", Path())
