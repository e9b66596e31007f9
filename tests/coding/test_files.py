"""Whole files: lengths, rates and channels, tags, one computation for all."""

import math

import numpy as np
import pytest
import soundfile
import torch

from codec import audio
from codec.audio import reader as audio_reader
from codec.audio.channels import channels_to_streams
from codec.batch.encode import encode_batch
from codec.batch.jobs import BatchOptions
from codec.bitstream.reader import PacketReader
from codec.bitstream.writer import PacketWriter
from codec.coding.file_info import file_info
from codec.coding.files import decode_file, encode_file
from codec.coding.options import CodingOptions
from codec.model import streaming
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import band_noise, error_of, file_names, wire_codec, write_band_noise


@pytest.fixture(scope="module")
def codec() -> Codec:
    return wire_codec()


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_length_rate_and_channels_are_preserved(tmp_path, codec, rate, channels):
    for samples in (0, 1, 159, 160, 161, 3 * rate):
        suffix = ".flac" if samples == 160 else ".wav"
        write_band_noise(tmp_path / f"a{suffix}", channels, samples, rate)
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
def test_decoding_adds_no_delay(tmp_path, codec, rate, channels):
    wave = write_band_noise(tmp_path / "a.wav", channels, 2 * rate + 77, rate)
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


def test_files_decode_like_the_model(tmp_path, codec):
    """Coding a file block by block gives the codes, and the samples, of the whole wave at once."""
    write_band_noise(tmp_path / "a.wav", 1, 150_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    wave = torch.from_numpy(audio.read(tmp_path / "a.wav").samples)[:, None]
    expected = codec.decode(codec.encode(wave), 150_000)[0].numpy()
    np.testing.assert_allclose(audio.read(tmp_path / "b.wav").samples, expected, atol=0.51 / 32768)


def test_mid_side_keeps_the_channels_apart(tmp_path, codec):
    left = band_noise(1, 16000, 16000)
    audio.write(tmp_path / "a.wav", np.concatenate([left, 0 * left]), 16000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    back = audio.read(tmp_path / "b.wav").samples
    assert np.abs(back[1]).max() < 0.05 * np.abs(back[0]).max()


def test_file_info(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", 2, 33_000, 22050)
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
    assert info["fingerprint"] == fingerprint(codec)[:8]
    assert info["bytes"] == (tmp_path / "a.nac").stat().st_size == report.bytes_total
    assert info["kbps"] == report.kbps and info["payload_kbps"] == report.payload_kbps
    assert info["nominal_kbps"] == pytest.approx(500 * 13 * 8 * 2 / 1000)  # 9^4 values take 13 bits
    assert info["packets"] == math.ceil(info["frames"] / 255) and info["checksums_ok"] and info["fault"] is None
    data = bytearray((tmp_path / "a.nac").read_bytes())
    data[-20] ^= 1
    (tmp_path / "a.nac").write_bytes(data)
    info = file_info(tmp_path / "a.nac")
    assert not info["checksums_ok"] and info["damaged_packets"] == [info["packets"] - 1]


@pytest.mark.parametrize("samples", [0, 1, 15, 16, 17, 4095, 8191, 8192, 8193, 100_000])
def test_files_streams_and_batches_are_one_computation(tmp_path, codec, samples):
    """Whole, in chunks of any size, in a batch and by processes: the same bytes."""
    for channels in (1, 2):
        write_band_noise(tmp_path / "in" / f"{channels}.wav", channels, samples)
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
def test_one_computation_at_other_sample_rates(tmp_path, codec, rate, monkeypatch):
    """However the source's samples are cut into blocks."""
    write_band_noise(tmp_path / "a.wav", 2, 3 * rate, rate)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    blocks = audio_reader.blocks
    for size in (777, 40_000):
        monkeypatch.setattr(audio_reader, "blocks", lambda path, *_: blocks(path, size))  # noqa: B023
        encode_file(tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(codec))
        assert (tmp_path / "a.nac").read_bytes() == (tmp_path / "b.nac").read_bytes()


@pytest.fixture(scope="module")
def coded(tmp_path_factory, codec) -> bytes:
    folder = tmp_path_factory.mktemp("coded")
    write_band_noise(folder / "a.wav", 1, 4000)
    encode_file(folder / "a.wav", folder / "a.nac", LoadedModel(codec), CodingOptions(codebooks=2))
    return (folder / "a.nac").read_bytes()


def test_tags_are_kept(tmp_path, codec):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 1) as file:
        file.title, file.date, file.artist = "Zwölf", "2024", "A"
        file.write(band_noise(1, 4000, 16000)[0])
    encode_file(
        tmp_path / "a.flac", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(tags={"artist": "B", "mood": "♥"})
    )
    expected = {"title": "Zwölf", "date": "2024", "artist": "B", "mood": "♥"}
    assert file_info(tmp_path / "a.nac")["tags"] == expected
    for suffix in ("wav", "flac", "ogg"):
        decode_file(tmp_path / "a.nac", tmp_path / f"b.{suffix}", LoadedModel(codec))
        kept = {name: text for name, text in expected.items() if suffix != "wav" or name != "mood"}
        assert audio.info(tmp_path / f"b.{suffix}").tags == kept
    for wrong in ({"title": "x" * 20_000}, {"title": 3}, {"title": "\ud800"}):
        error_of(encode_file, tmp_path / "a.flac", tmp_path / "c.nac", LoadedModel(codec), CodingOptions(tags=wrong))
    assert file_names(tmp_path) == ["a.flac", "a.nac", "b.flac", "b.ogg", "b.wav"]


def test_many_channels_are_computed_in_groups(tmp_path, codec, monkeypatch):
    """With the same bytes, and in memory that does not grow with their number."""
    write_band_noise(tmp_path / "a.wav", channels=37, samples=9000)
    made, seen = [], []
    real = streaming.batched
    monkeypatch.setattr(
        streaming, "batched", lambda step, block, *more: (seen.append(len(block)), real(step, block, *more))[1]
    )
    for group in (streaming.MAX_STREAMS, 255):
        monkeypatch.setattr(streaming, "MAX_STREAMS", group)
        encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec), CodingOptions(kbps=20))
        decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
        made.append(((tmp_path / "a.nac").read_bytes(), (tmp_path / "b.wav").read_bytes(), max(seen)))
        seen.clear()
    assert made[0][:2] == made[1][:2] and (made[0][2], made[1][2]) == (16, 37)


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg"])
def test_decoded_files_are_marked(tmp_path, codec, coded, suffix):
    (tmp_path / "a.nac").write_bytes(coded)
    decode_file(tmp_path / "a.nac", tmp_path / f"a.{suffix}", LoadedModel(codec))
    assert audio.info(tmp_path / f"a.{suffix}").decoded
    assert soundfile.SoundFile(tmp_path / f"a.{suffix}").copy_metadata()["software"].startswith("Lathe")
    write_band_noise(tmp_path / "b.wav")
    assert not audio.info(tmp_path / "b.wav").decoded
