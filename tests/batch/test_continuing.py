"""Batches that continue where they were stopped, and batches that are refused."""

import os

import pytest

from codec.audio import reader
from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.bitstream.header_layout import MIN_HEADER_BYTES
from codec.coding.options import CodingOptions, DecodingOptions
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import error_of, file_names, wire_codec, write_band_noise


@pytest.fixture(scope="module")
def codec() -> Codec:
    return wire_codec()


def test_batch_keeps_the_tree_and_reports_what_failed(tmp_path, codec):
    write_band_noise(tmp_path / "in" / "a.wav")
    write_band_noise(tmp_path / "in" / "deep" / "er" / "b.c.FLAC", channels=2)
    (tmp_path / "in" / "deep" / "bad.wav").write_bytes(b"RIFF and no more")
    (tmp_path / "in" / "notes.txt").write_text("not a sound file")
    write_band_noise(tmp_path / "in" / ".hidden.wav")
    write_band_noise(tmp_path / "single.wav")
    sources = [tmp_path / "in", tmp_path / "single.wav", tmp_path / "missing.wav"]
    report = encode_batch(sources, tmp_path / "nac", LoadedModel(codec), CodingOptions(codebooks=2))
    assert file_names(tmp_path / "nac") == ["a.nac", "deep/er/b.c.nac", "single.nac"]
    assert [one.target for one in report.reports] == [tmp_path / "nac" / name for name in file_names(tmp_path / "nac")]
    assert [failure.path.name for failure in report.failures] == ["bad.wav", "missing.wav"]
    assert all(str(failure.path) in failure.reason for failure in report.failures)

    (tmp_path / "nac" / "broken.nac").write_bytes((tmp_path / "nac" / "a.nac").read_bytes()[: MIN_HEADER_BYTES - 1])
    back = decode_batch([tmp_path / "nac"], tmp_path / "out", LoadedModel(codec), suffix="flac")
    assert file_names(tmp_path / "out") == ["a.flac", "deep/er/b.c.flac", "single.flac"]
    assert [failure.path.name for failure in back.failures] == ["broken.nac"]


def test_batch_continues_where_it_stopped(tmp_path, codec):
    for index in range(3):
        write_band_noise(tmp_path / "in" / f"{index}.wav", seed=index)
    out = tmp_path / "out"

    def run(**options) -> tuple[list[str], list[str]]:
        batch = BatchOptions(force=options.pop("force", False))
        model = LoadedModel(options.pop("codec", codec))
        report = encode_batch([tmp_path / "in"], out, model, CodingOptions(**{"codebooks": 2, **options}), batch)
        return [one.source.stem for one in report.reports], [one.path.stem for one in report.skipped]

    assert run() == (["0", "1", "2"], [])
    first = (out / "0.nac").read_bytes()
    assert run() == ([], ["0", "1", "2"])
    (out / "1.nac").unlink()
    assert run() == (["1"], ["0", "2"])
    (out / "1.nac").write_bytes(first[:-1])  # damaged
    os.utime(tmp_path / "in" / "2.wav", (2e9, 2e9))  # changed since
    assert run() == (["1", "2"], ["0"])
    os.utime(tmp_path / "in" / "2.wav", (1e9, 1e9))
    assert run(codebooks=3) == (["0", "1", "2"], [])
    assert run(codec=wire_codec(codebooks=24), codebooks=3) == (["0", "1", "2"], [])
    assert run(codec=wire_codec(codebooks=24), codebooks=3, force=True) == (["0", "1", "2"], [])
    assert run() == (["0", "1", "2"], []) and (out / "0.nac").read_bytes() == first

    def back(**options) -> int:
        batch = BatchOptions(force=options.pop("force", False))
        return len(decode_batch([out], tmp_path / "wav", LoadedModel(codec), batch=batch, **options).reports)

    assert (back(), back(), back(force=True), back(suffix="flac")) == (3, 0, 3, 3)
    decode_batch(
        [out / "1.nac"], tmp_path / "wav", LoadedModel(codec), DecodingOptions(end=0.01)
    )  # a part, under the same name
    assert back() == 1


def test_contradictory_batches_are_refused(tmp_path, codec):
    out = tmp_path / "out"
    write_band_noise(tmp_path / "x" / "a.wav")
    write_band_noise(tmp_path / "y" / "a.wav")
    assert "a.nac" in error_of(encode_batch, [tmp_path / "x", tmp_path / "y"], out, LoadedModel(codec))
    (tmp_path / "empty").mkdir()
    assert "empty" in error_of(encode_batch, [tmp_path / "x", tmp_path / "empty"], out, LoadedModel(codec))
    assert "x" in error_of(decode_batch, [tmp_path / "x"], out, LoadedModel(codec))
    error_of(encode_batch, [], out, LoadedModel(codec))
    error_of(encode_batch, [tmp_path / "x"], out, LoadedModel(codec), CodingOptions(codebooks=99))
    error_of(CodingOptions, kbps=-3)
    error_of(decode_batch, [tmp_path / "x"], out, LoadedModel(codec), suffix="mp3")
    error_of(encode_batch, [tmp_path / "x"], tmp_path / "x" / "a.wav" / "out", LoadedModel(codec))
    assert not out.exists()
    twice = encode_batch(
        [tmp_path / "x", tmp_path / "x" / "a.wav"], out, LoadedModel(codec)
    )  # the same file, named twice
    assert len(twice.reports) == 1


def test_interrupted_batch_keeps_finished_files(tmp_path, codec, monkeypatch):
    for index in range(3):
        write_band_noise(tmp_path / "in" / f"{index}.wav", samples=100_000)
    real, calls = LoadedModel.stream_encoder, []

    def second_is_interrupted(self, *arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    monkeypatch.setattr(LoadedModel, "stream_encoder", second_is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode_batch([tmp_path / "in"], tmp_path / "out", LoadedModel(codec))
    assert file_names(tmp_path / "out") == ["0.nac"]
    report = encode_batch([tmp_path / "in"], tmp_path / "out", LoadedModel(codec))
    assert len(report.skipped) == 1 and len(report.reports) == 2


def test_each_header_is_read_once(tmp_path, codec, monkeypatch):
    for index in range(3):
        write_band_noise(tmp_path / "in" / f"{index}.wav", seed=index)
    opened: list[str] = []
    open_audio = reader._opened
    monkeypatch.setattr(reader, "_opened", lambda path: (opened.append(path.name), open_audio(path))[1])
    model = LoadedModel(codec)
    encode_batch([tmp_path / "in"], tmp_path / "out", model, CodingOptions(kbps=1), note=lambda text: None)
    assert sorted(opened) == sorted(2 * ["0.wav", "1.wav", "2.wav"])  # once for the header, once for the samples
    opened.clear()
    assert len(encode_batch([tmp_path / "in"], tmp_path / "out", model, CodingOptions(kbps=1)).skipped) == 3
    assert sorted(opened) == ["0.wav", "1.wav", "2.wav"]
