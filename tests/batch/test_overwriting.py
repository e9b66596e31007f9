"""Outputs that exist already."""

import os
from pathlib import Path

import pytest
import soundfile

from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.batch.report import BatchReport
from codec.batch.tokenize import encode_tokens
from codec.coding.options import CodingOptions, DecodingOptions
from codec.errors import UserError
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import read_files, write_noise


def refused(batch: BatchReport) -> list[str]:
    assert not batch.reports and not batch.skipped
    assert all("--force" in one.reason for one in batch.failures)
    return [one.path.name for one in batch.failures]


def test_only_earlier_outputs_are_replaced(tmp_path, codec):
    """In a folder of sounds with their .nac files beside them, and where other sounds have the same names."""
    x, y = tmp_path / "x", tmp_path / "y"
    for name in ("a.wav", "b.wav"):
        write_noise(x / name)
    assert len(encode_batch([x], x, LoadedModel(codec), CodingOptions(codebooks=2)).reports) == 2
    before = read_files(x)
    for mtime in (1e9, 2e9):  # originals older and newer than what was made of them
        os.utime(x / "a.wav", (mtime, mtime))
        assert refused(decode_batch([x], x, LoadedModel(codec))) == ["a.nac", "b.nac"]
    assert read_files(x) == before
    assert len(decode_batch([x], x, LoadedModel(codec), DecodingOptions(), BatchOptions(force=True)).reports) == 2
    assert len(decode_batch([x], x, LoadedModel(codec), bits="24").reports) == 2  # earlier outputs by now

    # by now the .nac files are the nearest to an original that there is
    assert refused(encode_batch([x], x, LoadedModel(codec), CodingOptions(codebooks=3))) == ["a.wav", "b.wav"]
    write_noise(y / "a.wav", 0.7)
    assert refused(encode_batch([y / "a.wav"], x, LoadedModel(codec), CodingOptions(codebooks=2))) == ["a.wav"]
    assert all(read_files(x)[name] == before[name] for name in ("a.nac", "b.nac"))
    write_noise(y / "b.wav")
    (y / "b.nac").write_text("other work")
    assert refused(encode_batch([y / "b.wav"], y, LoadedModel(codec))) == ["b.wav"]
    (y / "a.nac").symlink_to("nowhere")
    assert refused(encode_batch([y / "a.wav"], y, LoadedModel(codec))) == ["a.wav"]
    assert (
        not encode_batch([y], y, LoadedModel(codec), CodingOptions(), BatchOptions(force=True)).failures
        and not (y / "a.nac").is_symlink()
    )


def test_a_single_file_becomes_the_file_that_out_names(tmp_path, codec, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = write_noise(Path("a.wav")), write_noise(Path("b.wav"))
    encode_batch([a], Path("nac"), LoadedModel(codec))
    assert encode_batch([a], Path("new/one.nac"), LoadedModel(codec)).reports[0].target == Path("new/one.nac")
    assert read_files(Path("new")) == {"one.nac": Path("nac/a.nac").read_bytes()}
    assert encode_batch([a], Path("new/one.nac"), LoadedModel(codec)).skipped
    assert refused(encode_batch([write_noise(Path("c.wav"), 0.7)], Path("new/one.nac"), LoadedModel(codec))) == [
        "c.wav"
    ]
    for suffix in (".wav", ".flac", ".ogg"):
        assert decode_batch([Path("new/one.nac")], Path(f"new/x{suffix}"), LoadedModel(codec)).reports
        assert decode_batch([Path("new/one.nac")], Path(f"new/x{suffix}"), LoadedModel(codec)).skipped
        assert soundfile.info(f"new/x{suffix}").format == suffix[1:].upper()
    assert refused(decode_batch([Path("new/one.nac")], a, LoadedModel(codec))) == ["one.nac"]
    before = read_files(tmp_path)
    for run, what, out, more, says in (
        (encode_batch, [a, b], "two.nac", {}, "two.nac: one file, but 2 are to be written; name a folder"),
        (encode_batch, [a], "a.wav", {}, "a.wav: encode writes .nac files"),
        (decode_batch, [Path("nac"), Path("new")], "two.wav", {}, "two.wav: one file, but 2"),
        (decode_batch, [Path("new/one.nac")], "x.wav", {"suffix": ".flac"}, "--suffix .flac"),
        (decode_batch, [Path("new/one.nac")], "x.mp3", {}, "cannot decode to '.mp3'; use one of .wav"),
    ):
        with pytest.raises(UserError, match=says):
            run(what, Path(out), codec, **more)
    assert read_files(tmp_path) == before
    Path("folder.nac").mkdir()
    assert encode_batch([a], Path("folder.nac"), LoadedModel(codec)).reports[0].target == Path("folder.nac/a.nac")
    assert encode_tokens([a], Path("tok"), LoadedModel(codec)).reports
    assert decode_batch([Path("tok")], Path("new/token.wav"), LoadedModel(codec)).reports[0].target == Path(
        "new/token.wav"
    )
