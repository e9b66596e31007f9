"""Models by folder, by built-in name, and from the Hugging Face Hub, which a loopback server stands for."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import codec as library
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.checkpoint import load_codec, model_checksum
from codec.pretrained.model_folder import WEIGHTS, read_training_info
from tests.helpers.hub_server import hub_server
from tests.helpers.tiny import tiny_model

ASK = """
import json, sys
import codec
for name, options in json.loads(sys.argv[1]):
    try:
        print(codec.from_pretrained(name, **options).fingerprint)
    except codec.UserError as error:
        print("refused:", error)
"""


def ask(questions: list[tuple[str, dict[str, str]]], folder: Path, endpoint: str) -> list[str]:
    """Load models in a process of its own, whose cache is in a folder; return fingerprints and complaints."""
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HOME": str(folder / "cache"), "HF_HUB_DISABLE_XET": "1"}
    environment |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    done = subprocess.run(
        [sys.executable, "-c", ASK, json.dumps(questions)], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_models_of_the_hub(tmp_path, model):
    other = tiny_model(tmp_path / "other", seed=1)
    for folder in (tmp_path / "half", tmp_path / "empty"):
        folder.mkdir()
        (folder / "README.md").write_text("no model")
    shutil.copy(model / "config.json", tmp_path / "half")
    repositories = {
        "someone/speech": {"main": model, "v2": other},
        "someone/half": {"main": tmp_path / "half"},
        "someone/empty": {"main": tmp_path / "empty"},
    }
    first, second = (library.load(folder).fingerprint for folder in (model, other))
    with hub_server(repositories) as endpoint:
        found = ask(
            [
                ("someone/speech", {}),
                ("someone/speech", {"revision": "v2"}),
                ("hf://someone/speech@v2", {}),
                ("someone/speech", {"revision": "v3"}),
                ("someone/nothing", {}),
                ("someone/half", {}),
                ("someone/empty", {}),
                ("speech_16k_v2", {"revision": "v2"}),
                ("hf://speech", {}),
            ],
            tmp_path,
            endpoint,
        )
    assert found[:3] == [first, second, second]
    for line, words in zip(
        found[3:],
        ["no revision v3", "no such repository", f"no {WEIGHTS}", "no config.json and no", "built-in", "OWNER/NAME"],
        strict=True,
    ):
        assert line.startswith("refused: ") and words in line, line
    # the server is gone now; what was downloaded is still there
    found = ask([("someone/speech", {}), ("someone/unseen", {})], tmp_path, endpoint)
    assert found[0] == first and found[1].startswith("refused: hf://someone/unseen: cannot be downloaded")


def test_a_folder_is_preferred_and_only_from_pretrained_asks_the_hub(tmp_path, model, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(model, tmp_path / "someone/speech")
    assert library.from_pretrained("someone/speech").fingerprint == library.load(model).fingerprint
    with pytest.raises(UserError, match="hf://someone/other for one of the Hugging Face Hub"):
        library.load("someone/other")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    monkeypatch.setattr("codec.runtime.extras.installed", lambda name: name != "huggingface_hub")
    with pytest.raises(UserError, match=r"pip install 'lathe-codec\[hub\]'"):
        library.from_pretrained("someone/other")


def test_a_saved_model_is_the_same_model(tmp_path, model):
    """With its card, with what is known of its training, and again when it is saved over itself."""
    loaded = library.load(model)
    loaded.save_pretrained(tmp_path / "saved")
    again = library.from_pretrained(tmp_path / "saved")
    assert model_checksum(again.model.network) == model_checksum(load_codec(model))
    assert read_training_info(tmp_path / "saved") == read_training_info(model) != {}
    assert loaded.fingerprint in (tmp_path / "saved/README.md").read_text()
    before = {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()}
    again.save_pretrained(tmp_path / "saved")
    assert {path.name: path.read_bytes() for path in (tmp_path / "saved").iterdir()} == before
    made = library.AudioCodec(Codec(loaded.model.config))
    made.save_pretrained(tmp_path / "made")
    wave = 0.1 * np.random.default_rng(0).standard_normal(8000)
    sounds = [c.decode(c.encode(wave, 16000)) for c in (made, library.load(tmp_path / "made"))]
    assert np.array_equal(*sounds)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_converted_decoder_is_not_saved(tmp_path, model, dtype):
    if dtype == "int8" and not torch.backends.mkldnn.is_available():
        pytest.skip("no products of 8-bit integers")
    with pytest.raises(UserError, match="loaded with dtype float32"):
        library.load(model, dtype=dtype).save_pretrained(tmp_path / "saved")
    assert not (tmp_path / "saved").exists()
