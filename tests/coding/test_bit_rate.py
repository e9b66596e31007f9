"""Bit rates and numbers of codebooks of files."""

import math

import numpy as np
import pytest
import soundfile
import torch

from codec.bitstream.reader import PacketReader
from codec.coding.bit_rate import choose_codebooks
from codec.coding.file_info import file_info
from codec.coding.files import decode_file, encode_file
from codec.coding.options import CodingOptions
from codec.model.codec import Codec
from codec.pretrained import DEFAULT_MODEL
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import load_model
from tests.helpers.coding import band_noise, error_of, wire_codec, write_band_noise


@pytest.fixture(scope="module")
def codec() -> Codec:
    return wire_codec()


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_has_the_bit_rate_asked_for(tmp_path, channels):
    """All of its bits, within 2 %; frames have what they need."""
    codec = wire_codec(contexts=4)
    loud = np.repeat(10 ** np.random.default_rng(0).uniform(-3, 0, (channels, 60)), 8000, 1)
    for seconds in (30, 1):
        wave = (loud * band_noise(channels, 480000, 16000))[:, : 16000 * seconds]
        soundfile.write(tmp_path / "a.wav", wave.T, 16000)
        for kbps in (30.0 * channels, 60.0 * channels):
            report = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=kbps))
            share = report.kbps / kbps
            assert 0.98 <= share <= 1.02
            decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
            assert soundfile.info(tmp_path / "b.wav").frames == wave.shape[1]
            info = file_info(tmp_path / "a.nac")
            assert info["variable"] and info["target_bps"] == 1000 * kbps and info["checksums_ok"]
    most = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=1e5))
    assert most.payload_kbps == pytest.approx(file_info(tmp_path / "a.nac")["nominal_kbps"], rel=0.1)


@pytest.mark.parametrize("kbps", [1.5, 6.0])
def test_short_files_have_the_bit_rate_asked_for(tmp_path, kbps):
    codec = load_model(DEFAULT_MODEL).codec
    swelling = np.hanning(16000 * 5) * band_noise(1, 16000 * 5, 16000)[0]
    for seconds in (0.1, 0.5, 1, 3, 5):
        soundfile.write(tmp_path / "a.wav", swelling[: int(16000 * seconds)], 16000)
        report = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=kbps))
        asked = 1000 * kbps * seconds / 8
        assert report.bytes_overhead <= 23 and report.bytes_payload > 0.6 * asked
        if seconds >= 1:
            assert report.bytes_total == pytest.approx(asked, rel=0.02)


def test_bit_rate_chooses_the_codebooks(codec):
    bits, around = math.log2(9**4), 8 * 8.25 / 255  # of a code under uniform tables; per frame
    for channels in (1, 2, 5):
        rates = LoadedModel(codec).expected_kbps(channels)
        assert rates == pytest.approx([0.5 * (n * channels * bits + around) for n in range(1, 17)], rel=1e-6)
        for count, rate in enumerate(rates, 1):
            assert choose_codebooks(LoadedModel(codec), channels, CodingOptions(kbps=rate)) == count
            assert choose_codebooks(LoadedModel(codec), channels, CodingOptions(kbps=0.999 * rate)) == max(1, count - 1)
        assert choose_codebooks(LoadedModel(codec), channels, CodingOptions(kbps=99 * rates[-1])) == 16
    assert choose_codebooks(LoadedModel(codec), 1, CodingOptions(kbps=None)) == 16
    for wrong in ({"kbps": 0}, {"kbps": -1}, {"kbps": math.nan}, {"codebooks": 0}, {"codebooks": 17}):
        error_of(lambda asked: choose_codebooks(LoadedModel(codec), 1, CodingOptions(**asked)), wrong)
    assert choose_codebooks(LoadedModel(codec), 1, CodingOptions(kbps=99, codebooks=2)) == 2
    for packet_s in (0, 1000.0):
        error_of(lambda asked: choose_codebooks(LoadedModel(codec), 1, CodingOptions(packet_s=asked)), packet_s)


def test_fitted_tables_make_files_smaller_as_expected(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", samples=60 * 16000)
    plain = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    with PacketReader(tmp_path / "a.nac") as reader:
        codes = np.concatenate(list(reader.codes(LoadedModel(codec).coder)), 2)[0]
    fitted = wire_codec()
    fitted.tables.fit(torch.stack([torch.bincount(torch.from_numpy(row), minlength=9**4) for row in codes]))
    small = encode_file(tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(fitted))
    assert small.kbps < 0.8 * plain.kbps
    bits = 24 - np.log2(fitted.tables.frequencies.numpy())
    ideal = sum(row[some].sum() for row, some in zip(bits, codes)) / 60 / 1000
    assert small.payload_kbps == pytest.approx(ideal, rel=0.01)
    assert small.kbps == pytest.approx(LoadedModel(fitted).expected_kbps(1)[-1], rel=0.03)
    decode_file(tmp_path / "a.nac", tmp_path / "a_back.wav", LoadedModel(codec))
    decode_file(tmp_path / "b.nac", tmp_path / "b_back.wav", LoadedModel(fitted))
    assert (tmp_path / "a_back.wav").read_bytes() == (tmp_path / "b_back.wav").read_bytes()
    assert fingerprint(codec)[:8] in error_of(decode_file, tmp_path / "a.nac", tmp_path / "c.wav", LoadedModel(fitted))
