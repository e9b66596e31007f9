"""``--salvage``: what can be read of truncated and damaged sources."""

import json
import re
import tarfile

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.bitstream.reader import PacketReader
from codec.cli import FAILED
from codec.cli.common import describe_losses
from codec.coding.salvage import SourceLosses, parse_losses
from tests.helpers.audio import noise


def test_a_damaged_source_is_refused_or_what_can_be_read_is_encoded(codec, place, tmp_path):
    wave = noise(1, 16000 * 6, level=0.2)
    (tmp_path / "in").mkdir()
    for name in ("whole.wav", "cut.wav", "bit.flac"):
        audio.write(tmp_path / "in" / name, wave, 16000)
    cut, bit = tmp_path / "in/cut.wav", tmp_path / "in/bit.flac"
    cut.write_bytes(cut.read_bytes()[: 44 + 2 * 16000 * 2])
    data = bytearray(bit.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    bit.write_bytes(data)
    soundfile.write(tmp_path / "in/nan.wav", np.full(16000, np.nan, np.float32), 16000, subtype="FLOAT")
    words = ["encode", tmp_path / "in", "--out", tmp_path / "out", "--model", place / "model", "--json"]

    refused = codec(*words)
    assert refused.status == FAILED and len(refused.complaints) == 3
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["whole.nac"]

    for again in (False, True):  # the second time, they are up to date
        ran = codec(*words, "--salvage")
        result = json.loads(ran.out)
        assert ran.status == FAILED and len(ran.complaints) == 3
        assert result["summary"]["damaged"] == 2 and result["summary"]["failed"] == 1
        kept = {one["source"]: one["lost_s"] for one in result["skipped" if again else "done"]}
        assert kept[str(cut)] and len(kept[str(bit)]) == 1
        start, end = kept[str(bit)][0]
        assert 3.5 < start <= 4 < end < 4.5  # one frame
        assert len(result["skipped"]) == (3 if again else 1)
    again = codec(*words)  # without the option, what was salvaged is not the output of a damaged source
    failed = {one["source"]: one["reason"] for one in json.loads(again.out)["failed"]}
    assert again.status == FAILED and len(failed) == 3
    assert [name for name in map(str, (cut, bit, tmp_path / "in/nan.wav")) if "--salvage" in failed[name]] == [
        str(cut),
        str(bit),
    ]
    with PacketReader(tmp_path / "out/cut.nac") as reader:
        assert reader.header.samples == 2 * 16000 and reader.tags["salvaged"].startswith("up to 2.00 s; ")
    with PacketReader(tmp_path / "out/bit.nac") as reader:
        assert reader.header.samples == 6 * 16000 and reader.tags["salvaged"].startswith("without ")
    with PacketReader(tmp_path / "out/whole.nac") as reader:
        assert "salvaged" not in reader.tags
    assert codec("decode", tmp_path / "out/cut.nac", "--out", tmp_path, "--model", place / "model").status == 0
    assert soundfile.info(tmp_path / "cut.wav").frames == 2 * 16000


def test_salvage_is_advised_only_where_something_can_be_read(codec, place, tmp_path):
    audio.write(tmp_path / "a.flac", noise(1, 16000 * 2, level=0.2), 16000)
    data = (tmp_path / "a.flac").read_bytes()
    start = data.index(b"\xff\xf8")
    for name, kept in (("none.flac", data[: start + 200]), ("some.flac", data[:-200])):
        (tmp_path / name).write_bytes(kept)
    for command in ("encode", "tokens"):
        words = [command, tmp_path / "none.flac", tmp_path / "some.flac", "--out", tmp_path / command]
        told = codec(*words, "--model", place / "model").complaints
        assert ["--salvage" in line for line in sorted(told)] == [False, True]


def test_what_stands_for_lost_audio_is_named_as_it_is(tmp_path):
    spans = [(0.5, 1.0)]
    assert describe_losses(spans, None, "lost, with silence in its place").endswith("in its place: 0.50 to 1.00 s")
    assert describe_losses([(1.0, 1.004)], 1.0) == describe_losses([(1.0, 1.0)], 1.0)
    path = tmp_path / "a.flac"
    audio.write(path, noise(1, 16000 * 6, level=0.2), 16000)
    data = bytearray(path.read_bytes())
    data[len(data) * 2 // 3] ^= 4
    path.write_bytes(data)
    with pytest.raises(audio.AudioError) as damage:
        audio.read(path)
    assert len(re.findall(r"\d\.\d\d s", damage.value.reason)) == 1  # one time, not that of each decoder


def test_flac_is_read_behind_damage_at_its_place(tmp_path):
    wave = noise(2, 16000 * 6, level=0.2)
    path = tmp_path / "a.flac"
    audio.write(path, wave, 16000)
    whole, data = audio.read(path).samples, bytearray(path.read_bytes())
    for place in (len(data) // 4, len(data) // 2, len(data) * 7 // 8):
        data[place : place + 40] = bytes(40)
    path.write_bytes(data[:-50] + b"rest that is no frame")
    lost = []
    found = np.concatenate(list(audio.info(path).salvaged_blocks(lost, 1000)), axis=1)
    assert len(lost) == 4 and lost[-1] == (found.shape[1], whole.shape[1])
    assert sum(end - start for start, end in lost) <= 4 * 4608
    for start, end in lost:
        assert not found[:, start:end].any()
        found[:, start:end] = whole[:, start : start + found[:, start:end].shape[1]]
    assert (found == whole[:, : found.shape[1]]).all()


def test_bytes_too_many_cost_one_frame_with_or_without_a_stated_length(tmp_path):
    path, wave = tmp_path / "a.flac", noise(1, 16000 * 6, level=0.2)
    audio.write(path, wave, 16000)
    whole, data = audio.read(path).samples, bytearray(path.read_bytes())
    half = len(data) // 2
    data[half:half] = data[half - 3000 : half]
    for stated in (True, False):
        if not stated:
            data[21] &= 0xF0
            data[22:26] = bytes(4)
        path.write_bytes(data)
        lost = []
        found = np.concatenate(list(audio.info(path).salvaged_blocks(lost)), axis=1)
        assert found.shape == whole.shape and sum(end - start for start, end in lost) <= 4608
        assert all((found[:, :start] == whole[:, :start]).all() for start, _ in lost[:1])
    with pytest.raises(audio.AudioError) as damage:
        audio.read(path)
    nothing = SourceLosses((), None)
    tag = nothing.describe(damage.value)
    assert parse_losses(tag, audio.info(path)) == nothing and tag.partition(";")[0]


def test_tokens_of_a_damaged_source(codec, place, tmp_path):
    audio.write(tmp_path / "cut.wav", noise(1, 16000 * 3, level=0.2), 16000)
    data = (tmp_path / "cut.wav").read_bytes()
    (tmp_path / "cut.wav").write_bytes(data[: 44 + 2 * 16000])
    words = ["tokens", tmp_path / "cut.wav", "--out", tmp_path / "out", "--model", place / "model", "--json"]
    assert codec(*words).status == FAILED
    for again in (False, True):
        ran = codec(*words, "--salvage")
        result = json.loads(ran.out)
        assert ran.status == FAILED and result["summary"]["damaged"] == 1
        assert result["skipped" if again else "done"][0]["lost_s"] == [[1.0, 1.0]]
    with tarfile.open(tmp_path / "out/tokens-000000.tar") as shard:
        metadata = json.load(shard.extractfile("cut.json"))
    assert metadata["samples"] == 16000 and metadata["salvaged"].startswith("up to 1.00 s; ")
    assert codec(*words).status == FAILED  # without the option, salvaged tokens do not count
