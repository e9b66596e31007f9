"""Whole files and batches, on sound files made here."""

import math
import os
import resource
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec import audio
from codec.audio.channels import channels_to_streams
from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.bitstream.header import HEADER_BYTES, Header
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import PacketReader, read_header
from codec.bitstream.writer import PacketWriter
from codec.coding.bit_rate import choose_codebooks
from codec.coding.file_info import file_info
from codec.coding.files import decode_file, encode_file
from codec.coding.nac_reader import NacReader
from codec.coding.options import CodingOptions, DecodingOptions
from codec.config import CodecConfig, NetworkConfig, QuantizerConfig
from codec.errors import UserError
from codec.model import streaming
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables
from codec.pretrained import DEFAULT_MODEL
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.registry import load_model


def make_codec(codebooks: int = 16, contexts: int = 1) -> Codec:
    """Almost a wire: the direct paths pass on what they get, the blocks add next to nothing."""
    network = NetworkConfig(width=8, depth=1, kernel=3, expansion=1)
    quantizer = QuantizerConfig(kind="fsq", codebooks=codebooks, levels=(9, 9, 9, 9), groups=8, contexts=contexts)
    config = CodecConfig(hop=16, frames_per_latent=2, encoder=network, decoder=network, quantizer=quantizer)
    torch.manual_seed(0)
    codec = Codec(config).eval().requires_grad_(False)
    for stack in (codec.encoder, codec.decoder):
        torch.nn.init.eye_(stack.direct)
        stack.last.weight.mul_(0.01)
        stack.last.bias.zero_()
    return codec


@pytest.fixture(scope="module")
def codec() -> Codec:
    return make_codec()


def sound(channels: int, samples: int, rate: int, seed: int = 0) -> np.ndarray:
    """Noise below 2 kHz, another one in each channel: float32 ``[channels, samples]``."""
    wave = np.random.default_rng(seed).standard_normal((channels, samples))
    if samples > 1000:
        spectrum = np.fft.rfft(wave)
        spectrum[:, np.fft.rfftfreq(samples, 1 / rate) > 2000] = 0
        wave = np.fft.irfft(spectrum, samples)
        wave /= wave.std()
    return (0.1 * wave).astype(np.float32)


def make(path: Path, channels: int = 1, samples: int = 4000, rate: int = 16000, seed: int = 0) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = sound(channels, samples, rate, seed)
    soundfile.write(path, wave.T, rate, subtype="PCM_16")
    return wave


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def fails(function, *arguments, **options) -> str:
    with pytest.raises(UserError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_length_rate_and_channels_are_the_sources(tmp_path, codec, rate, channels):
    for samples in (0, 1, 159, 160, 161, 3 * rate):
        suffix = ".flac" if samples == 160 else ".wav"
        make(tmp_path / f"a{suffix}", channels, samples, rate)
        encoded = encode_file(
            tmp_path / f"a{suffix}", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(codebooks=3)
        )
        decoded = decode_file(tmp_path / "a.nac", tmp_path / f"b{suffix}", LoadedModel(codec))
        back = soundfile.info(tmp_path / f"b{suffix}")
        assert (back.frames, back.samplerate, back.channels) == (samples, rate, channels)
        assert encoded.bytes_total == decoded.bytes_total == (tmp_path / "a.nac").stat().st_size
        assert (encoded.seconds, encoded.sample_rate, encoded.channels) == (samples / rate, rate, channels)
        assert encoded.kbps == pytest.approx(8 * encoded.bytes_total * rate / samples / 1000 if samples else 0)


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_decoded_sound_is_the_source_without_delay(tmp_path, codec, rate, channels):
    wave = make(tmp_path / "a.wav", channels, 2 * rate + 77, rate)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    back = audio.read(tmp_path / "b.wav").samples
    for channel in range(channels):
        size = 2 * wave.shape[1]
        spectra = np.fft.rfft(wave[channel], size), np.fft.rfft(back[channel], size)
        correlation = np.fft.irfft(spectra[1] * spectra[0].conj(), size)
        correlation /= np.linalg.norm(wave[channel]) * np.linalg.norm(back[channel])
        assert correlation.argmax() == 0 and correlation[0] > 0.8
        half = wave.shape[1] // 2  # no drift either
        assert np.corrcoef(wave[channel, half:], back[channel, half:])[0, 1] > 0.8


def test_file_is_what_the_model_says(tmp_path, codec):
    """Coding a file block by block gives the codes, and the samples, of the whole wave at once."""
    make(tmp_path / "a.wav", 1, 150_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    wave = torch.from_numpy(audio.read(tmp_path / "a.wav").samples)[:, None]
    expected = codec.decode(codec.encode(wave), 150_000)[0].numpy()
    np.testing.assert_allclose(audio.read(tmp_path / "b.wav").samples, expected, atol=0.51 / 32768)


def test_mid_side_keeps_the_channels_apart(tmp_path, codec):
    left = sound(1, 16000, 16000)
    audio.write(tmp_path / "a.wav", np.concatenate([left, 0 * left]), 16000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    back = audio.read(tmp_path / "b.wav").samples
    assert np.abs(back[1]).max() < 0.05 * np.abs(back[0]).max()


def test_info_says_what_is_in_the_file(tmp_path, codec):
    make(tmp_path / "a.wav", 2, 33_000, 22050)
    report = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(codebooks=8))
    info = file_info(tmp_path / "a.nac")
    model_samples = math.ceil(33_000 * 16000 / 22050)
    assert info["frames"] == codec.config.frames_for(model_samples)
    assert (info["samples"], info["sample_rate"], info["channels"], info["codebooks"]) == (
        33_000,
        22050,
        2,
        8,
    )
    assert info["fingerprint"] == fingerprint(codec)
    assert info["bytes"] == (tmp_path / "a.nac").stat().st_size == report.bytes_total
    assert info["kbps"] == report.kbps and info["payload_kbps"] == report.payload_kbps
    assert info["nominal_kbps"] == pytest.approx(500 * 13 * 8 * 2 / 1000)  # 9^4 values take 13 bits
    assert info["packets"] == math.ceil(info["frames"] / 255) and info["checksums_ok"] and info["fault"] is None
    data = bytearray((tmp_path / "a.nac").read_bytes())
    data[-20] ^= 1
    (tmp_path / "a.nac").write_bytes(data)
    info = file_info(tmp_path / "a.nac")
    assert not info["checksums_ok"] and info["damaged_packets"] == [info["packets"] - 1]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_file_has_the_bit_rate_asked_for(tmp_path, channels):
    """Of the payloads: within 3 % on 30 s, and hardly more on a short file; frames have what they need."""
    codec = make_codec(contexts=4)
    loud = np.repeat(10 ** np.random.default_rng(0).uniform(-3, 0, (channels, 60)), 8000, 1)
    for seconds in (30, 1):
        wave = (loud * sound(channels, 480000, 16000))[:, : 16000 * seconds]
        soundfile.write(tmp_path / "a.wav", wave.T, 16000)
        for kbps in (30.0 * channels, 60.0 * channels):
            report = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=kbps))
            share = report.payload_kbps / kbps
            assert (0.97 if seconds == 30 else 0.5) <= share <= 1.03
            decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
            assert soundfile.info(tmp_path / "b.wav").frames == wave.shape[1]
            info = file_info(tmp_path / "a.nac")
            assert info["variable"] and info["target_bps"] == 1000 * kbps and info["checksums_ok"]
    most = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=1e5))
    assert most.payload_kbps == pytest.approx(file_info(tmp_path / "a.nac")["nominal_kbps"], rel=0.1)


@pytest.mark.parametrize("kbps", [1.5, 6.0])
def test_short_files_are_hardly_above_the_bit_rate(tmp_path, kbps):
    codec = load_model(DEFAULT_MODEL).codec
    swelling = np.hanning(16000 * 5) * sound(1, 16000 * 5, 16000)[0]
    for seconds in (0.1, 0.5, 1, 3, 5):
        soundfile.write(tmp_path / "a.wav", swelling[: int(16000 * seconds)], 16000)
        report = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=kbps))
        asked = 1000 * kbps * seconds / 8
        assert 0.5 * asked < report.bytes_payload <= 1.02 * asked + 12 * math.ceil(seconds / 2), seconds


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
        fails(lambda asked: choose_codebooks(LoadedModel(codec), 1, CodingOptions(**asked)), wrong)
    fails(CodingOptions, kbps=3, codebooks=2)


def test_fitted_tables_make_files_smaller_as_expected(tmp_path, codec):
    make(tmp_path / "a.wav", samples=60 * 16000)
    plain = encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    with PacketReader(tmp_path / "a.nac") as reader:
        codes = np.concatenate(list(reader.codes(LoadedModel(codec).coder)), 2)[0]
    fitted = make_codec()
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
    assert fingerprint(codec) in fails(decode_file, tmp_path / "a.nac", tmp_path / "c.wav", LoadedModel(fitted))


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 4095, 8191, 8192, 8193, 100_000])
def test_one_path(tmp_path, codec, samples):
    """Whole, in chunks of any size, in a batch and by processes: the same bytes."""
    for channels in (1, 2):
        make(tmp_path / "in" / f"{channels}.wav", channels, samples)
    encode_file(tmp_path / "in" / "1.wav", tmp_path / "1.nac", LoadedModel(codec), CodingOptions(codebooks=5))
    encode_file(tmp_path / "in" / "2.wav", tmp_path / "2.nac", LoadedModel(codec), CodingOptions(codebooks=5))
    expected = [(tmp_path / f"{channels}.nac").read_bytes() for channels in (1, 2)]
    with PacketReader(tmp_path / "2.nac") as reader:
        header = reader.header
    wave = audio.read(tmp_path / "in" / "2.wav").samples if samples else np.zeros((2, 0), np.float32)
    streams = channels_to_streams(wave, codec.config.stereo)
    rng = np.random.default_rng(samples)
    for sizes in ([samples + 1], [1000], rng.integers(1, 600 * 32, 5).tolist()):
        with PacketWriter(tmp_path / "chunked.nac", header, LoadedModel(codec).coder) as writer:
            encoder, at = codec.stream_encoder(2, 5), 0
            while at < samples:
                writer.write(encoder.push(streams[..., at : at + sizes[0]]).codes)
                at, sizes = at + sizes[0], [*sizes[1:], sizes[0]]
            writer.write(encoder.flush().codes)
            writer.finish(samples)
        assert (tmp_path / "chunked.nac").read_bytes() == expected[1]
    for workers in (1, 2) if samples == 100_000 else (1,):
        encode_batch(
            [tmp_path / "in"],
            tmp_path / f"out{workers}",
            LoadedModel(codec),
            CodingOptions(codebooks=5),
            BatchOptions(workers=workers),
        )
        assert [(tmp_path / f"out{workers}" / f"{n}.nac").read_bytes() for n in (1, 2)] == expected


@pytest.mark.parametrize("rate", [8000, 44100])
def test_one_path_at_other_rates(tmp_path, codec, rate, monkeypatch):
    """However the source's samples are cut into blocks."""
    make(tmp_path / "a.wav", 2, 3 * rate, rate)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    blocks = audio.blocks
    for size in (777, 40_000):
        monkeypatch.setattr(audio, "blocks", lambda path, *_: blocks(path, size))  # noqa: B023
        encode_file(tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(codec))
        assert (tmp_path / "a.nac").read_bytes() == (tmp_path / "b.nac").read_bytes()


# --- what is wrong ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def coded(tmp_path_factory, codec) -> bytes:
    folder = tmp_path_factory.mktemp("coded")
    make(folder / "a.wav", 1, 4000)
    encode_file(folder / "a.wav", folder / "a.nac", LoadedModel(codec), CodingOptions(codebooks=2))
    return (folder / "a.nac").read_bytes()


def test_strict_decodes_damaged_files_to_nothing_but_an_error(tmp_path, codec, coded):
    path = tmp_path / "a.nac"
    rng = np.random.default_rng(0)
    for size in [0, 1, 4, 5, 8, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 7, *rng.integers(0, len(coded), 30)]:
        path.write_bytes(coded[:size])
        assert str(path) in fails(
            decode_file, path, tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(strict=True)
        )
    for _ in range(300):
        broken = bytearray(coded)
        broken[rng.integers(len(coded))] ^= rng.integers(1, 256)
        path.write_bytes(broken)
        assert str(path) in fails(
            decode_file, path, tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(strict=True)
        )
    for size in range(HEADER_BYTES):
        path.write_bytes(coded[:size])
        fails(decode_file, path, tmp_path / "b.wav", LoadedModel(codec))
    assert names(tmp_path) == ["a.nac"]


@pytest.fixture(scope="module")
def long(tmp_path_factory, codec) -> Path:
    """Two channels of 11 s at the model's rate and at another one, coded; and decoded as a whole, to 32 bits."""
    folder = tmp_path_factory.mktemp("long")
    for rate in (16000, 22050, 8000):
        make(folder / f"{rate}.wav", 2, 11 * rate + 77, rate)
        encode_file(folder / f"{rate}.wav", folder / f"{rate}.nac", LoadedModel(codec), CodingOptions(codebooks=9))
        decode_file(
            folder / f"{rate}.nac", folder / f"{rate}.back.wav", LoadedModel(codec), DecodingOptions(subtype="FLOAT")
        )
    return folder


def whole(long: Path, rate: int) -> np.ndarray:
    return audio.read(long / f"{rate}.back.wav").samples


@pytest.mark.parametrize("rate", [16000, 22050, 8000])
def test_any_part_is_that_part_of_the_whole(tmp_path, codec, long, rate):
    expected = whole(long, rate)
    rng = np.random.default_rng(rate)
    with NacReader(long / f"{rate}.nac", LoadedModel(codec)) as reader:
        assert (reader.samples, reader.channels, reader.sample_rate) == (expected.shape[1], 2, rate)
        starts = [0, 1, 15, 16, 17, 8175, 8176, 8192, 65535, 65536, *rng.integers(0, reader.samples, 30)]
        for start in map(int, starts):
            size = int(rng.choice([0, 1, 100, 20_000]))
            np.testing.assert_array_equal(reader.read(start, size), expected[:, start : start + size])
        assert reader.read(reader.samples, 5).shape == (2, 0) and reader.lost == ()
        fails(reader.read, -1, 5)
    for start, end in [(0, 0.5), (3.3, 3.4), (10.5, None), (10.9, 99), (5, 5), (0, None)]:
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
    for start, end in [(-1, None), (12, None), (3, 2), (math.nan, None), (0, math.nan)]:
        assert str(long / f"{rate}.nac") in fails(
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
    assert "is damaged" in fails(
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


def test_tags_are_kept(tmp_path, codec):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 1) as file:
        file.title, file.date, file.artist = "Zwölf", "2024", "A"
        file.write(sound(1, 4000, 16000)[0])
    encode_file(
        tmp_path / "a.flac", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(tags={"artist": "B", "mood": "♥"})
    )
    expected = {"title": "Zwölf", "date": "2024", "artist": "B", "mood": "♥"}
    assert file_info(tmp_path / "a.nac")["tags"] == expected
    for suffix in ("wav", "flac", "ogg"):
        decode_file(tmp_path / "a.nac", tmp_path / f"b.{suffix}", LoadedModel(codec))
        del (kept := dict(expected))["mood"]
        assert audio.info(tmp_path / f"b.{suffix}").tags == kept
    for wrong in ({"title": "x" * 20_000}, {"title": 3}, {"title": "\ud800"}):
        fails(encode_file, tmp_path / "a.flac", tmp_path / "c.nac", LoadedModel(codec), CodingOptions(tags=wrong))
    assert names(tmp_path) == ["a.flac", "a.nac", "b.flac", "b.ogg", "b.wav"]


def test_other_models_files_are_refused(tmp_path, coded):
    path = tmp_path / "a.nac"
    path.write_bytes(coded)
    other = make_codec(codebooks=24)
    reason = fails(decode_file, path, tmp_path / "b.wav", LoadedModel(other))
    assert read_header(path).fingerprint in reason and fingerprint(other) in reason and "--model" in reason


def test_a_model_decodes_the_files_of_those_it_names(tmp_path, coded):
    """As one whose decoder alone was trained further does; without the name they are another model's."""
    path = tmp_path / "a.nac"
    path.write_bytes(coded)
    decode_file(path, tmp_path / "before.wav", LoadedModel(make_codec()))
    tuned = make_codec()
    for weight in tuned.decoder.parameters():
        weight.add_(0.1)
    fails(decode_file, path, tmp_path / "after.wav", LoadedModel(tuned))
    tuned.compatible_fingerprints = ("0123456789abcdef", read_header(path).fingerprint)
    decode_file(path, tmp_path / "after.wav", LoadedModel(tuned))
    before, after = (audio.read(tmp_path / f"{name}.wav").samples for name in ("before", "after"))
    assert before.shape == after.shape and not np.array_equal(before, after)


def test_another_encoder_is_the_same_model_to_files(tmp_path, coded):
    path = tmp_path / "a.nac"
    path.write_bytes(coded)
    other = make_codec()
    other.encoder.first.bias.add_(0.1)
    decode_file(path, tmp_path / "b.wav", LoadedModel(other))


def test_files_that_contradict_their_model_are_refused(tmp_path, codec):
    """Right checksums and fingerprint, impossible content."""
    right = dict(
        fingerprint=fingerprint(codec), sample_rate=16000, channels=1, model_rate=16000, latent_hop=32,
        codebooks=2, bits_per_code=13, packet_frames=100,
    )  # fmt: skip
    coder = RangeCoder(FrequencyTables(17, 1 << 13).to_numpy())
    for wrong, samples in [
        ({"codebooks": 17}, 100), ({"bits_per_code": 14}, 100), ({"model_rate": 15000}, 100),
        ({"latent_hop": 33}, 100), ({}, 127),
    ]:  # fmt: skip
        header = Header(**{**right, **wrong})
        with PacketWriter(tmp_path / "a.nac", header, coder) as writer:
            writer.write(np.zeros((1, header.codebooks, 4), np.int64))
            writer.finish(samples)
        fails(decode_file, tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    assert names(tmp_path) == ["a.nac"]


def test_other_things_are_not_decoded(tmp_path, codec):
    (tmp_path / "image.nac").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200))
    make(tmp_path / "sound.nac.wav")
    os.rename(tmp_path / "sound.nac.wav", tmp_path / "sound.nac")
    for name in ("image.nac", "sound.nac"):
        assert "not a .nac file" in fails(decode_file, tmp_path / name, tmp_path / "b.wav", LoadedModel(codec))
    fails(decode_file, tmp_path / "none.nac", tmp_path / "b.wav", LoadedModel(codec))
    fails(encode_file, tmp_path / "image.nac", tmp_path / "b.nac", LoadedModel(codec))
    fails(encode_file, tmp_path / "none.wav", tmp_path / "b.nac", LoadedModel(codec))
    assert names(tmp_path) == ["image.nac", "sound.nac"]


def test_broken_sources_leave_nothing(tmp_path, codec):
    make(tmp_path / "cut.wav", samples=100_000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:150_000])
    wave = sound(1, 100_000, 16000)
    wave[0, 80_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave.T, 16000, subtype="FLOAT")
    before = names(tmp_path)
    for name in before:
        fails(encode_file, tmp_path / name, tmp_path / "a.nac", LoadedModel(codec))
    assert names(tmp_path) == before


def test_a_recording_that_was_not_closed_is_coded_whole(tmp_path, codec):
    make(tmp_path / "a.wav", samples=100_000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = bytes(4)  # the size of the samples
    (tmp_path / "a.wav").write_bytes(data)
    assert encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec)).seconds == 100_000 / 16000


@contextmanager
def at_most(size: int):
    """The disk is full after so many bytes of a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_many_channels_are_computed_in_groups(tmp_path, codec, monkeypatch):
    """With the same bytes, and in memory that does not grow with their number."""
    make(tmp_path / "a.wav", channels=37, samples=9000)
    made, seen = [], []
    real = streaming.batched
    monkeypatch.setattr(
        streaming, "batched", lambda step, block, state: (seen.append(len(block)), real(step, block, state))[1]
    )
    for group in (streaming.MAX_STREAMS, 255):
        monkeypatch.setattr(streaming, "MAX_STREAMS", group)
        encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=20))
        decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
        made.append(((tmp_path / "a.nac").read_bytes(), (tmp_path / "b.wav").read_bytes(), max(seen)))
        seen.clear()
    assert made[0][:2] == made[1][:2] and (made[0][2], made[1][2]) == (16, 37)


def test_failed_writing_leaves_the_old_file_alone(tmp_path, codec):
    make(tmp_path / "a.wav", samples=48_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    for target in ("b.nac", "b.wav", "b.flac"):
        (tmp_path / target).write_bytes(b"old")
    before = names(tmp_path)
    with at_most(9000):
        for target in ("b.wav", "b.flac"):
            assert target in fails(decode_file, tmp_path / "a.nac", tmp_path / target, LoadedModel(codec))
        assert "b.nac" in fails(encode_file, tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(codec))
    for folder in (tmp_path / "none", tmp_path / "a.wav"):
        fails(encode_file, tmp_path / "a.wav", folder / "b.nac", LoadedModel(codec))
        fails(decode_file, tmp_path / "a.nac", folder / "b.wav", LoadedModel(codec))
    assert names(tmp_path) == before
    assert {(tmp_path / name).read_bytes() for name in before if name.startswith("b.")} == {b"old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_read_only_folder(tmp_path, codec):
    make(tmp_path / "a.wav")
    (tmp_path / "out").mkdir(mode=0o555)
    assert "b.nac" in fails(encode_file, tmp_path / "a.wav", tmp_path / "out" / "b.nac", LoadedModel(codec))


def test_interrupt_passes_through_and_leaves_nothing(tmp_path, codec):
    make(tmp_path / "a.wav", samples=100_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_file(tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(codec), progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec), progress=interrupt)
    assert names(tmp_path) == ["a.nac", "a.wav"]


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_decoded_files_say_so(tmp_path, codec, coded, suffix):
    (tmp_path / "a.nac").write_bytes(coded)
    decode_file(tmp_path / "a.nac", tmp_path / f"a.{suffix}", LoadedModel(codec))
    assert audio.info(tmp_path / f"a.{suffix}").decoded
    assert soundfile.SoundFile(tmp_path / f"a.{suffix}").copy_metadata()["software"].startswith("Lathe")
    make(tmp_path / "b.wav")
    assert not audio.info(tmp_path / "b.wav").decoded


# --- batches ------------------------------------------------------------------------------------


def test_batch_keeps_the_tree_and_reports_what_failed(tmp_path, codec):
    make(tmp_path / "in" / "a.wav")
    make(tmp_path / "in" / "deep" / "er" / "b.c.FLAC", channels=2)
    (tmp_path / "in" / "deep" / "bad.wav").write_bytes(b"RIFF and no more")
    (tmp_path / "in" / "notes.txt").write_text("not a sound file")
    make(tmp_path / "in" / ".hidden.wav")
    make(tmp_path / "single.wav")
    sources = [tmp_path / "in", tmp_path / "single.wav", tmp_path / "missing.wav"]
    report = encode_batch(sources, tmp_path / "nac", LoadedModel(codec), CodingOptions(codebooks=2))
    assert names(tmp_path / "nac") == ["a.nac", "deep/er/b.c.nac", "single.nac"]
    assert [one.target for one in report.reports] == [tmp_path / "nac" / name for name in names(tmp_path / "nac")]
    assert [failure.path.name for failure in report.failures] == ["bad.wav", "missing.wav"]
    assert all(str(failure.path) in failure.reason for failure in report.failures)

    (tmp_path / "nac" / "broken.nac").write_bytes((tmp_path / "nac" / "a.nac").read_bytes()[: HEADER_BYTES - 1])
    back = decode_batch([tmp_path / "nac"], tmp_path / "out", LoadedModel(codec), suffix="flac")
    assert names(tmp_path / "out") == ["a.flac", "deep/er/b.c.flac", "single.flac"]
    assert [failure.path.name for failure in back.failures] == ["broken.nac"]


def test_batch_goes_on_where_it_was(tmp_path, codec):
    for index in range(3):
        make(tmp_path / "in" / f"{index}.wav", seed=index)
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
    assert run(codec=make_codec(codebooks=24), codebooks=3) == (["0", "1", "2"], [])
    assert run(codec=make_codec(codebooks=24), codebooks=3, force=True) == (["0", "1", "2"], [])
    assert run() == (["0", "1", "2"], []) and (out / "0.nac").read_bytes() == first

    def back(**options) -> int:
        batch = BatchOptions(force=options.pop("force", False))
        return len(decode_batch([out], tmp_path / "wav", LoadedModel(codec), batch=batch, **options).reports)

    assert (back(), back(), back(force=True), back(suffix="flac")) == (3, 0, 3, 3)
    decode_batch(
        [out / "1.nac"], tmp_path / "wav", LoadedModel(codec), DecodingOptions(end=0.01)
    )  # a part, under the same name
    assert back() == 1


def test_batch_refuses_what_cannot_be_meant(tmp_path, codec):
    out = tmp_path / "out"
    make(tmp_path / "x" / "a.wav")
    make(tmp_path / "y" / "a.wav")
    assert "a.nac" in fails(encode_batch, [tmp_path / "x", tmp_path / "y"], out, LoadedModel(codec))
    (tmp_path / "empty").mkdir()
    assert "empty" in fails(encode_batch, [tmp_path / "x", tmp_path / "empty"], out, LoadedModel(codec))
    assert "x" in fails(decode_batch, [tmp_path / "x"], out, LoadedModel(codec))
    fails(encode_batch, [], out, LoadedModel(codec))
    fails(encode_batch, [tmp_path / "x"], out, LoadedModel(codec), CodingOptions(kbps=-3))
    fails(decode_batch, [tmp_path / "x"], out, LoadedModel(codec), suffix="mp3")
    fails(encode_batch, [tmp_path / "x"], tmp_path / "x" / "a.wav" / "out", LoadedModel(codec))
    assert not out.exists()
    twice = encode_batch(
        [tmp_path / "x", tmp_path / "x" / "a.wav"], out, LoadedModel(codec)
    )  # the same file, named twice
    assert len(twice.reports) == 1


def test_interrupted_batch_keeps_what_is_done(tmp_path, codec, monkeypatch):
    for index in range(3):
        make(tmp_path / "in" / f"{index}.wav", samples=100_000)
    real, calls = Codec.stream_encoder, []

    def second_is_interrupted(self, *arguments, **options):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, *arguments, **options)

    monkeypatch.setattr(Codec, "stream_encoder", second_is_interrupted)
    with pytest.raises(KeyboardInterrupt):
        encode_batch([tmp_path / "in"], tmp_path / "out", LoadedModel(codec))
    assert names(tmp_path / "out") == ["0.nac"]
    report = encode_batch([tmp_path / "in"], tmp_path / "out", LoadedModel(codec))
    assert len(report.skipped) == 1 and len(report.reports) == 2
