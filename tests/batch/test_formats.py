"""Formats of sources and of outputs."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.batch.tokenize import encode_tokens
from codec.cli import main
from codec.coding.options import CodingOptions, DecodingOptions
from codec.coding.pipes import encode_stream
from codec.coding.shards import read_array
from codec.coding.shards import read_shard as shard_contents
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import ModelFinder, load_model
from tests.helpers.coding import read_files, write_noise

SOURCES = [
    *((".wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    *((".flac", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24")),
    *((".aiff", subtype) for subtype in ("PCM_S8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")),
    (".ogg", "VORBIS"),
    (".mp3", "MPEG_LAYER_III"),
]


def test_all_sample_formats_give_the_same_codes(tmp_path, codec):
    """One channel to eight (MP3 and Ogg: two), at rates that are no one's own."""
    for number, (suffix, subtype) in enumerate(SOURCES):
        channels = 1 + number % (2 if suffix in (".mp3", ".ogg") else 8)
        source = write_noise(tmp_path / f"in/{suffix[1:]}_{subtype}{suffix}", 0.3, 22050, channels, subtype=subtype)
        samples = soundfile.read(source, dtype="float32", always_2d=True)[0]
        source = tmp_path / f"float/{source.stem}.wav"
        source.parent.mkdir(exist_ok=True)
        soundfile.write(source, samples, 22050, subtype="FLOAT")
    assert not encode_batch([tmp_path / "in"], tmp_path / "nac", LoadedModel(codec)).failures
    assert not encode_batch([tmp_path / "float"], tmp_path / "expected", LoadedModel(codec)).failures
    assert read_files(tmp_path / "nac") == read_files(tmp_path / "expected")
    assert not decode_batch([tmp_path / "nac"], tmp_path / "out", LoadedModel(codec), suffix="flac").failures
    for path in (tmp_path / "float").iterdir():
        source, back = soundfile.info(path), soundfile.info(tmp_path / f"out/{path.stem}.flac")
        assert (back.frames, back.samplerate, back.channels) == (source.frames, 22050, source.channels)


@pytest.mark.parametrize(
    ("suffix", "bits", "subtype"),
    [
        *((".wav", None, "PCM_16"), (".wav", "16", "PCM_16"), (".wav", "24", "PCM_24"), (".wav", "32f", "FLOAT")),
        *((".flac", None, "PCM_16"), (".flac", "24", "PCM_24"), (".ogg", None, "VORBIS")),
    ],
)
def test_sample_formats_of_outputs_and_clipping(tmp_path, codec, suffix, bits, subtype):
    rate, loud = 16000, 4.0
    noise = np.convolve(np.random.default_rng(0).standard_normal(rate), np.hanning(99))
    soundfile.write(tmp_path / "a.wav", loud * noise / np.abs(noise).max(), rate, subtype="FLOAT")
    assert not encode_batch([tmp_path / "a.wav"], tmp_path, LoadedModel(codec)).failures
    decode_batch([tmp_path / "a.nac"], tmp_path / "float", LoadedModel(codec), bits="32f")
    truth, _ = soundfile.read(tmp_path / "float/a.wav")
    beyond = int((np.abs(truth) > 1).sum())

    batch = decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=bits)
    path = tmp_path / f"out/a{suffix}"
    assert soundfile.info(path).subtype == subtype
    back, _ = soundfile.read(path)
    if subtype == "FLOAT":
        assert batch.summary.clipped_samples == 0 and (back == truth).all()
    else:
        assert batch.summary.clipped_samples == beyond > 0
        assert f"{beyond:,} samples beyond full scale" in batch.summary.text()
        if suffix != ".ogg":  # clipped, not wrapped around
            step = 2.0 ** (1 - int(bits or 16))
            np.testing.assert_allclose(back, truth.clip(-1, 1 - step), atol=0.51 * step)
    assert decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=bits).skipped
    if suffix != ".ogg":
        other = "24" if bits != "24" else "16"
        assert decode_batch(
            [tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=other
        ).reports


def test_audio_above_the_band_of_the_model_is_reported(tmp_path, model, capsys):
    time = np.arange(96000) / 48000
    low = 0.3 * np.sin(2 * np.pi * 440 * time)
    soundfile.write(tmp_path / "speech.wav", low, 48000)
    soundfile.write(tmp_path / "music.wav", low + 0.1 * np.sin(2 * np.pi * 12000 * time), 48000)
    for command in ("encode", "tokens"):
        words = [command, str(tmp_path), "--out", str(tmp_path / command), "--model", str(model)]
        with pytest.raises(SystemExit) as ended:
            main([*words, "--json"])
        told = json.loads(capsys.readouterr().out)
        assert ended.value.code == 0 and told["summary"]["above_band"] == 1
        shares = {Path(one["source"]).stem: one["above_band_share"] for one in told["done"]}
        assert shares["music"] == pytest.approx(0.1, abs=0.002) and shares["speech"] < 1e-6
        with pytest.raises(SystemExit) as ended:
            main([*words, "--force"])
        assert ended.value.code == 0 and re.search("^band +1 ", capsys.readouterr().out, re.M)


def test_samples_of_sources_beyond_full_scale_are_counted(tmp_path, codec):
    wave = np.full(5000, 0.5, np.float32)
    wave[100:130], wave[200], wave[300] = -7.8, 1.0, -1.0
    soundfile.write(tmp_path / "loud.wav", wave, 16000, subtype="FLOAT")
    write_noise(tmp_path / "good.wav")
    coded = encode_batch([tmp_path], tmp_path / "nac", LoadedModel(codec))
    assert [(report.source.name, report.over_full_scale) for report in coded.reports] == [
        ("good.wav", 0),
        ("loud.wav", 30),
    ]
    assert "30 samples" in coded.summary.text()
    assert encode_tokens([tmp_path / "loud.wav"], tmp_path / "tok", LoadedModel(codec)).summary.too_loud_samples == 30
    quiet = encode_batch([tmp_path / "good.wav"], tmp_path / "one", LoadedModel(codec))
    assert quiet.summary.too_loud_samples == 0 and "loud" not in quiet.summary.text()
    with (tmp_path / "loud.wav").open("rb") as source, (tmp_path / "live.nac").open("wb") as output:
        assert encode_stream(source, output, LoadedModel(codec)).over_full_scale == 30


@pytest.mark.parametrize(("suffix", "bits", "says"), [(".flac", "32f", ".wav"), (".ogg", "16", ".wav or .flac")])
def test_bits_that_a_format_cannot_hold_are_refused(tmp_path, codec, suffix, bits, says):
    with pytest.raises(UserError, match=f"^{suffix} .*{bits} bits.* --suffix {says}"):
        decode_batch([tmp_path], tmp_path / "out", LoadedModel(codec), suffix=suffix, bits=bits)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("seconds", "channels", "says"),
    [(0.0, 1, "FLAC cannot hold a sound without samples"), (0.1, 9, "FLAC holds at most 8 channels, not 9")],
)
def test_audio_that_flac_cannot_hold_is_refused(tmp_path, codec, seconds, channels, says):
    write_noise(tmp_path / "a.wav", seconds, channels=channels)
    assert not encode_batch([tmp_path / "a.wav"], tmp_path, LoadedModel(codec)).failures
    (failure,) = decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=".flac").failures
    assert "a.flac: " in failure.reason and "--suffix .wav" in failure.reason and not read_files(tmp_path / "out")
    for suffix in (".wav", ".ogg"):
        assert decode_batch([tmp_path / "a.nac"], tmp_path / "out", LoadedModel(codec), suffix=suffix).reports
        assert soundfile.info(tmp_path / f"out/a{suffix}").frames == 16000 * seconds


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_files_are_coded_on_a_gpu(tmp_path, codec, model):
    for number, rate in enumerate((16000, 8000, 44100)):
        write_noise(tmp_path / f"in/{number}.wav", 10.0 + number, rate, channels=1 + number)
    there = load_model(str(model), "cuda")
    for place, one, models in (
        ("cpu", LoadedModel(codec), ModelFinder([model])),
        ("gpu", there, ModelFinder([model], "cuda")),
    ):
        assert not encode_batch(
            [tmp_path / "in"],
            tmp_path / f"nac/{place}",
            one,
            CodingOptions(kbps=1),
            BatchOptions(concurrent_files=3),
        ).failures
        assert not encode_tokens(
            [tmp_path / "in"], tmp_path / f"tok/{place}", one, BatchOptions(concurrent_files=3)
        ).failures
        assert not decode_batch(
            [tmp_path / "nac/cpu"],
            tmp_path / f"wav/{place}",
            models,
            DecodingOptions(),
            BatchOptions(concurrent_files=3),
            bits="32f",
        ).failures
    for name in ("0", "1", "2"):
        shards = [shard_contents(path).samples for path in (tmp_path / "tok").rglob("*.tar")]
        codes = [read_array(sample) for samples in shards for sample in samples if sample.key == name]
        assert (codes[0] == codes[1]).mean() > 0.999
        waves = [soundfile.read(tmp_path / f"wav/{place}/{name}.wav")[0] for place in ("cpu", "gpu")]
        np.testing.assert_allclose(*waves, atol=1e-3)
