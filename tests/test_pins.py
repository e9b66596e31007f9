"""Formats and figures that must not change by themselves, held against files in ``tests/pins/``.

``python tests/test_pins.py`` writes those files anew, which is right only where a change is meant: a version of the
format, other weights, a training step that computes something else. What the tests compare exactly is exact on every
machine; codes of a waveform, decoded waveforms and losses have the tolerance that floating-point products need.
"""

import contextlib
import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch

import codec
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader
from codec.bitstream.writer import PacketWriter
from codec.cli import main
from codec.cli.reference import reference
from codec.pretrained.checkpoint import checksum, fingerprint
from codec.recipe import read_recipe
from codec.training.trainer import train

PINS = Path(__file__).parent / "pins"
MODELS = ("speech_16k", "speech_16k_v2")
RATE = 16000
STEPS = 50
TRAINING = [
    "--data.batch_size=2", "--data.crop_s=0.24", "--train.validation_clips=2", f"--train.steps={STEPS}",
    f"--train.validate_every={STEPS}", "--optim.lr=1e-4", "--optim.warmup_steps=0", "--augment.quiet=0",
]  # fmt: skip
"""From the weights that ship, so that k-means, in which a last bit decides much, has no part in it."""


def waveform(seconds: float = 3.0) -> np.ndarray:
    """Return a voiced sound with a moving pitch, a moving formant and pauses, float32 ``[samples]``."""
    time = np.arange(int(seconds * RATE)) / RATE
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * time)) / RATE
    harmonics = sum(
        np.sin(k * phase) * np.exp(-(((k * 120 - 900 - 500 * np.sin(2 * np.pi * 0.4 * time)) / 700) ** 2)) / (1 + k / 9)
        for k in range(1, 40)
    )
    loud = 0.12 * (np.sin(2 * np.pi * 1.5 * time) > -0.6) * (1 + 0.5 * np.sin(2 * np.pi * 3.1 * time))
    return (harmonics * loud).astype(np.float32)


def stored_codes(name: str) -> list[np.ndarray]:
    model = codec.load(name).model
    with PacketReader(PINS / f"{name}.nac") as reader:
        return [np.asarray(codes) for codes in reader.codes(RangeCoder(model.tables.to_numpy()))]


def losses(run: Path) -> list[list[str]]:
    """Step, split, term and value of every loss in the curves of a run."""
    with (run / "metrics.csv").open(newline="") as file:
        return [
            [row["step"], row["split"], row["term"], row["value"]]
            for row in csv.DictReader(file)
            if row["term"] in ("total", "l1", "mdct_l1", "mel", "nmr", "commitment", "grad_norm")
        ]


def trained(data: Path, run: Path) -> Path:
    weights = Path(codec.__file__).parent / "pretrained" / "speech_16k_v2"
    train(read_recipe("speech_16k", TRAINING), data, run, init_from=weights, quiet=True)
    return run


@pytest.fixture(scope="module")
def expected() -> dict:
    return json.loads((PINS / "expected.json").read_text())


@pytest.mark.parametrize("name", MODELS)
def test_names_of_models_are_those_in_every_file_coded_so_far(name, expected):
    model = codec.load(name).model
    assert [fingerprint(model), checksum(model)] == expected["models"][name]


@pytest.mark.parametrize("name", MODELS)
def test_stored_codes_become_the_same_bytes(name, tmp_path):
    source = PINS / f"{name}.nac"
    coder = codec.load(name).coder
    with (
        PacketReader(source) as reader,
        PacketWriter(tmp_path / "again.nac", reader.header, coder, reader.tags) as writer,
    ):
        for codes in reader.codes(coder):
            writer.write(codes)
        writer.finish(reader.header.samples)
    assert (tmp_path / "again.nac").read_bytes() == source.read_bytes()


@pytest.mark.parametrize("name", MODELS)
def test_stored_files_have_the_same_codes(name, expected):
    values = np.concatenate(stored_codes(name), axis=2)
    assert list(values.shape) == expected["shapes"][name]
    assert np.array_equal(values, np.load(PINS / f"{name}.npz")["stored"])


@pytest.mark.parametrize("name", MODELS)
def test_stored_files_sound_the_same(name):
    decoded = codec.open(PINS / f"{name}.nac")
    with decoded as sound:
        wave = sound.read(0, sound.samples)
    assert np.abs(wave[:, ::16] - np.load(PINS / f"{name}.npz")["decoded"]).max() < 1e-4


@pytest.mark.parametrize("name", MODELS)
def test_codes_of_a_waveform(name):
    codes = codec.load(name).encode(waveform(), RATE).codes
    assert (codes == np.load(PINS / f"{name}.npz")["codes"]).mean() >= 0.999


def test_losses_of_the_first_steps(expected, prepared, tmp_path):
    found = losses(trained(prepared, tmp_path / "run"))
    assert [row[:3] for row in found] == [row[:3] for row in expected["losses"]]
    assert [float(row[3]) for row in found] == pytest.approx([float(row[3]) for row in expected["losses"]], rel=1e-4)


def settings() -> list[str]:
    return sorted(line.split("`")[1] for line in reference().splitlines() if line.startswith("| `"))


def test_settings_of_recipes_keep_their_names(expected):
    assert set(expected["settings"]) <= set(settings())


def printed(*words: str) -> dict:
    with contextlib.redirect_stdout(io.StringIO()) as output, pytest.raises(SystemExit) as ended:
        main([*words, "--json"])
    assert ended.value.code == 0
    return json.loads(output.getvalue())


def keys(value: object) -> object:
    """Return the names in nested JSON, of a list those of its first element."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items() if name != "tags"}
    return [keys(value[0])] if isinstance(value, list) and value else None


def subset(old: object, new: object) -> bool:
    """Tell whether every name in ``old`` is in ``new``."""
    if isinstance(old, dict):
        return isinstance(new, dict) and all(name in new and subset(item, new[name]) for name, item in old.items())
    return not isinstance(old, list) or not old or (isinstance(new, list) and subset(old[0], (new or [None])[0]))


def results(folder: Path) -> dict:
    """Return the names in what commands print as JSON, from the stored file and the waveform."""
    codec_file = PINS / "speech_16k_v2.nac"
    return {
        "info": keys(printed("info", str(codec_file))),
        "decode": keys(printed("decode", str(codec_file), "--out", str(folder / "wav"))),
        "encode": keys(printed("encode", str(folder / "wav"), "--out", str(folder / "nac"), "--kbps", "3")),
        "tokens": keys(printed("tokens", str(folder / "wav"), "--out", str(folder / "tokens"))),
        "models": keys(printed("models")),
    }


def test_names_in_json(expected, tmp_path):
    assert subset(expected["json"], results(tmp_path))


def test_columns_of_tables(expected, prepared):
    with (prepared / "manifest.csv").open(newline="") as file:
        header = next(csv.reader(file))
    old = expected["manifest"]
    assert header[: len(old)] == old


def _write(folder: Path) -> None:
    from data_prep.prepare import prepare
    from data_prep.synthetic_corpus import synthesise

    torch.set_num_threads(1)
    PINS.mkdir(exist_ok=True)
    wave, content = waveform(), {"models": {}, "shapes": {}}
    for name in MODELS:
        loaded = codec.load(name)
        path = PINS / f"{name}.nac"
        loaded.save(path, wave, RATE, kbps=3, tags={"title": "Pinned", "artist": "Lathe"})
        stored = np.concatenate(stored_codes(name), axis=2)
        with codec.open(path) as sound:
            decoded = sound.read(0, sound.samples)[:, ::16]
        codes = loaded.encode(wave, RATE).codes.astype(np.int16)
        np.savez_compressed(PINS / f"{name}.npz", stored=stored.astype(np.int16), decoded=decoded, codes=codes)
        content["models"][name] = [fingerprint(loaded.model), checksum(loaded.model)]
        content["shapes"][name] = list(stored.shape)
    corpus = synthesise(folder / "corpus", minutes=2.0)
    prepare([corpus], folder / "data", sample_rate=16000, workers=1)
    with (folder / "data" / "manifest.csv").open(newline="") as file:
        content["manifest"] = next(csv.reader(file))
    content |= {
        "losses": losses(trained(folder / "data", folder / "run")),
        "settings": settings(),
        "json": results(folder),
    }
    (PINS / "expected.json").write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as made:
        _write(Path(made))
