"""Parts of files, damaged files and truncated files."""

import math
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.bitstream.header_layout import MIN_HEADER_BYTES
from codec.bitstream.reader import PacketReader
from codec.coding.file_info import file_info
from codec.coding.files import decode_file, encode_file
from codec.coding.nac_reader import NacReader
from codec.coding.options import CodingOptions, DecodingOptions
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import error_of, file_names, wire_codec, write_band_noise


@pytest.fixture(scope="module")
def codec() -> Codec:
    return wire_codec()


@pytest.fixture(scope="module")
def coded(tmp_path_factory, codec) -> bytes:
    folder = tmp_path_factory.mktemp("coded")
    write_band_noise(folder / "a.wav", 1, 4000)
    encode_file(folder / "a.wav", folder / "a.nac", LoadedModel(codec), CodingOptions(codebooks=2))
    return (folder / "a.nac").read_bytes()


def test_strict_refuses_damaged_files(tmp_path, codec, coded):
    path = tmp_path / "a.nac"
    rng = np.random.default_rng(0)
    for size in [0, 1, 4, 5, 8, *range(MIN_HEADER_BYTES, MIN_HEADER_BYTES + 20), *rng.integers(0, len(coded), 30)]:
        path.write_bytes(coded[:size])
        assert str(path) in error_of(
            decode_file, path, tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(strict=True)
        )
    for _ in range(300):
        broken = bytearray(coded)
        broken[rng.integers(len(coded))] ^= rng.integers(1, 256)
        path.write_bytes(broken)
        assert str(path) in error_of(
            decode_file, path, tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(strict=True)
        )
    for size in range(MIN_HEADER_BYTES):
        path.write_bytes(coded[:size])
        error_of(decode_file, path, tmp_path / "b.wav", LoadedModel(codec))
    assert file_names(tmp_path) == ["a.nac"]


@pytest.fixture(scope="module")
def long(tmp_path_factory, codec) -> Path:
    """Two channels of 11 s at the model's rate and at another one, coded; and decoded as a whole, to 32 bits."""
    folder = tmp_path_factory.mktemp("long")
    for rate in (16000, 22050, 8000):
        write_band_noise(folder / f"{rate}.wav", 2, 11 * rate + 77, rate)
        encode_file(folder / f"{rate}.wav", folder / f"{rate}.nac", LoadedModel(codec), CodingOptions(codebooks=9))
        decode_file(
            folder / f"{rate}.nac", folder / f"{rate}.back.wav", LoadedModel(codec), DecodingOptions(subtype="FLOAT")
        )
    return folder


def whole(long: Path, rate: int) -> np.ndarray:
    return audio.read(long / f"{rate}.back.wav").samples


@pytest.mark.parametrize("rate", [16000, 22050, 8000])
def test_any_part_equals_that_part_of_the_whole(tmp_path, codec, long, rate):
    expected = whole(long, rate)
    rng = np.random.default_rng(rate)
    with NacReader(long / f"{rate}.nac", LoadedModel(codec)) as reader:
        assert (reader.samples, reader.channels, reader.sample_rate) == (expected.shape[1], 2, rate)
        starts = [0, 1, 15, 16, 17, 8175, 8176, 8192, 65535, 65536, *rng.integers(0, reader.samples, 30)]
        for start in map(int, starts):
            size = int(rng.choice([0, 1, 100, 20_000]))
            np.testing.assert_array_equal(reader.read(start, size), expected[:, start : start + size])
        assert reader.read(reader.samples, 5).shape == (2, 0) and reader.lost == ()
        error_of(reader.read, -1, 5)
    for start, end in [(0, 0.5), (3.3, 3.4), (10.5, None), (10.9, 99), (0, None)]:
        report = decode_file(
            long / f"{rate}.nac",
            tmp_path / "b.wav",
            LoadedModel(codec),
            DecodingOptions(start=start, end=end, subtype="FLOAT"),
        )
        first, last = round(start * rate), expected.shape[1] if end is None else round(end * rate)
        part = expected[:, first:last]
        assert report.seconds == part.shape[1] / rate and report.lost == ()
        if part.size:  # the rate of all packets is about that of any
            head = file_info(long / f"{rate}.nac")
            assert report.payload_kbps == pytest.approx(head["payload_kbps"], rel=0.03)
            assert report.kbps == pytest.approx(head["kbps"], rel=0.05)
        if part.size:
            np.testing.assert_array_equal(audio.read(tmp_path / "b.wav").samples, part)
    at_end = expected.shape[1] / rate
    for start, end in [(-1, None), (at_end, None), (12, 13), (3, 2), (5, 5), (0, 1e-6), (math.nan, 1), (0, math.nan)]:
        assert str(long / f"{rate}.nac") in error_of(
            decode_file,
            long / f"{rate}.nac",
            tmp_path / "c.wav",
            LoadedModel(codec),
            DecodingOptions(start=start, end=end),
        )


@pytest.mark.parametrize("rate", [16000, 22050])
def test_damage_costs_its_packet_and_the_receptive_field(tmp_path, codec, long, rate):
    expected = whole(long, rate)
    data = bytearray((long / f"{rate}.nac").read_bytes())
    with PacketReader(long / f"{rate}.nac") as reader:
        head = reader.header
    data[len(data) * 2 // 5] ^= 1
    (tmp_path / "a.nac").write_bytes(data)
    with PacketReader(tmp_path / "a.nac") as reader:
        (packet,) = reader.damaged_packets()
    report = decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(subtype="FLOAT"))
    back = audio.read(tmp_path / "b.wav").samples
    assert back.shape == expected.shape
    ((start, end),) = report.lost
    length = head.packet_frames * head.latent_hop / head.model_rate
    assert start == pytest.approx(packet * length, abs=0.01) and end == pytest.approx((packet + 1) * length, abs=0.01)
    filter_s = 0.02 * (rate != 16000)
    before = int((start - filter_s) * rate)
    after = int((end + filter_s + codec.receptive_field * head.latent_hop / head.model_rate) * rate) + 1
    rounding = 2e-7 * (rate != 16000)  # the resampler's, for it transforms blocks in which something else differs
    np.testing.assert_allclose(back[:, :before], expected[:, :before], rtol=0, atol=rounding)
    np.testing.assert_allclose(back[:, after:], expected[:, after:], rtol=0, atol=rounding)
    gap = back[:, int((start + 0.06) * rate) : int((end - 0.02) * rate)]
    assert np.abs(gap).max() < 0.01 * np.abs(expected).max()
    steps = np.abs(np.diff(expected)).max()
    assert np.abs(np.diff(back[:, before:after])).max() < 1.5 * steps  # no click
    with NacReader(tmp_path / "a.nac", LoadedModel(codec)) as reader:  # a part of it is the same too
        for first in (before - 50, before + 300, before + 20_000, after):
            np.testing.assert_array_equal(reader.read(first, 3000), back[:, first : first + 3000])
    assert "is damaged" in error_of(
        decode_file, tmp_path / "a.nac", tmp_path / "c.wav", LoadedModel(codec), DecodingOptions(strict=True)
    )


@pytest.mark.parametrize("rate", [16000, 22050])
def test_truncated_file_decodes_up_to_the_cut(tmp_path, codec, long, rate):
    expected = whole(long, rate)
    data = (long / f"{rate}.nac").read_bytes()
    filter_samples = 200 * (rate != 16000)
    for share in (0.02, 0.3, 0.999):
        (tmp_path / "a.nac").write_bytes(data[: int(share * len(data))])
        report = decode_file(
            tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(subtype="FLOAT")
        )
        found = soundfile.read(tmp_path / "b.wav", always_2d=True, dtype="float32")[0].T
        sure = max(0, found.shape[1] - filter_samples)
        np.testing.assert_allclose(found[:, :sure], expected[:, :sure], rtol=0, atol=2e-7 * (rate != 16000))
        assert report.seconds == found.shape[1] / rate
        ((start, end),) = report.lost or (((found.shape[1] / rate), (expected.shape[1] / rate)),)
        assert start == pytest.approx(found.shape[1] / rate, abs=1e-3) and end == expected.shape[1] / rate
        assert share - 0.3 < found.shape[1] / expected.shape[1] <= share + 0.01
    (tmp_path / "a.nac").write_bytes(data[:-1])  # all the sound is there
    assert (
        decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(subtype="FLOAT")).lost
        == ()
    )
    np.testing.assert_array_equal(audio.read(tmp_path / "b.wav").samples, expected)
