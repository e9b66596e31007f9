"""Sound through pipes, and what damage does to it."""

import io
import math
import os
import struct
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.audio.pcm_stream import PCM_ENCODINGS, PcmFormat, PcmWriter
from codec.audio.piped_input import open_piped_audio
from codec.batch.decode import decode_batch
from codec.bitstream import live
from codec.bitstream.file_start import read_start, start_bytes
from codec.bitstream.header import Header
from codec.bitstream.reader import PacketReader
from codec.coding.file_info import file_info
from codec.coding.files import decode_file, encode_file
from codec.coding.nac_reader import FindModel, NacReader
from codec.coding.options import CodingOptions, DecodingOptions
from codec.coding.pipes import decode_stream, encode_stream
from codec.model.codec import Codec
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import band_noise, error_of, wire_codec, write_band_noise
from tests.helpers.pieces import Dribble

LIVE_HEADER = Header("0123456789abcdef", 22050, 2, 16000, 320, 3, 10, 1, live=True)


@pytest.fixture(scope="module")
def codec() -> Codec:
    return wire_codec()


def coded(wave: bytes, codec: Codec, sizes: list[int] | None = None, raw: PcmFormat | None = None, **options) -> bytes:
    out = io.BytesIO()
    report = encode_stream(
        Dribble(wave, sizes or [1 << 20]), out, LoadedModel(codec), CodingOptions(**options), raw=raw
    )
    assert report.bytes_total == len(out.getvalue())
    return out.getvalue()


def decoded(data: bytes, codec: Codec | FindModel, sizes: list[int] | None = None, **options):
    out = io.BytesIO()
    model = LoadedModel(codec) if isinstance(codec, Codec) else codec
    report = decode_stream(Dribble(data, sizes or [1 << 20]), out, model, **options)
    return report, out.getvalue()


def samples_of(wav: bytes) -> np.ndarray:
    return soundfile.read(io.BytesIO(wav), always_2d=True, dtype="float32")[0].T


# --- samples --------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", PCM_ENCODINGS)
def test_piped_samples_equal_those_of_a_file(encoding, tmp_path):
    subtype = {"u8": "PCM_U8", "s16": "PCM_16", "s24": "PCM_24", "s32": "PCM_32", "f32": "FLOAT", "f64": "DOUBLE"}
    soundfile.write(tmp_path / "a.wav", band_noise(3, 500, 8000).T, 8000, subtype=subtype[encoding])
    data = (tmp_path / "a.wav").read_bytes()
    with open_piped_audio(Dribble(data, [1, 50, 3])) as reader:
        assert (reader.sample_rate, reader.channels) == (8000, 3)
        wave = np.concatenate(list(reader.blocks()), 1)
    np.testing.assert_array_equal(wave, audio.read(tmp_path / "a.wav").samples)
    writer = PcmWriter(out := io.BytesIO(), PcmFormat(8000, 3, encoding))
    writer.write(wave[:, :77])
    writer.write(wave[:, 77:])
    (tmp_path / "b.wav").write_bytes(out.getvalue())
    np.testing.assert_array_equal(audio.read(tmp_path / "b.wav").samples, wave)
    with open_piped_audio(io.BytesIO(out.getvalue())) as back:
        np.testing.assert_array_equal(np.concatenate(list(back.blocks()), 1), wave)


def heard(data: bytes) -> tuple[np.ndarray, str | None, dict[str, str]]:
    with open_piped_audio(Dribble(data, [1 << 20, 7, 100])) as pipe:
        blocks = list(pipe.blocks())
        return np.concatenate([np.zeros((pipe.channels, 0), np.float32), *blocks], 1), pipe.fault, dict(pipe.tags)


def test_64_bit_sizes_are_read(tmp_path):
    """What stands behind the samples is none of them."""
    with soundfile.SoundFile(tmp_path / "a.rf64", "w", 16000, 1, format="RF64") as file:
        file.write(band_noise(1, 10000, 16000)[0])
        file.title = "behind the samples " * 9
    data = (tmp_path / "a.rf64").read_bytes()
    assert data[:4] == b"RF64" and len(data) > 20100
    at = data.index(b"ds64") + 8
    for kind in (b"RF64", b"BW64"):
        wave, fault, _ = heard(kind + data[4:])
        assert wave.shape == (1, 10000) and fault is None
        np.testing.assert_array_equal(wave, audio.read(tmp_path / "a.rf64").samples)
    cut, fault, _ = heard(data[:15000])
    assert fault and f" {2 * cut.shape[1]} of the 20000 bytes" in fault
    endless = data[: at + 8] + bytes(8) + data[at + 16 :]
    assert heard(endless)[0].shape[1] > 10000 and heard(endless)[1] is None


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0xFFFFFFFF - 100, 0x7FFFF000, 0x7FFF0000, 0])
def test_unknown_sizes_mean_reading_to_the_end(tmp_path, size):
    wave = write_band_noise(tmp_path / "a.wav", samples=3000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", size)
    assert heard(bytes(data))[0].shape == wave.shape and heard(bytes(data))[1] is None
    if size == 0:
        empty = bytes(data[:44]) + b"LIST" + struct.pack("<I", 4) + b"INFO"
        assert heard(empty)[0].shape == (1, 0) and heard(bytes(data[:44]))[1] is None


def test_a_truncated_wav_is_encoded_up_to_its_end(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", samples=80000)
    data = (tmp_path / "a.wav").read_bytes()[:50001]
    out = io.BytesIO()
    report = encode_stream(io.BytesIO(data), out, LoadedModel(codec))
    assert report.fault and " 49957 of the 160000 bytes" in report.fault
    assert report.seconds == 24978 / 16000 and decoded(out.getvalue(), codec)[0].seconds == report.seconds


PIPED = [
    *(("FLAC", f"PCM_{bits}") for bits in ("S8", "16", "24")),
    *(("WAV", subtype) for subtype in ("ULAW", "ALAW", "IMA_ADPCM", "PCM_32")),
    *(("AIFF", subtype) for subtype in ("PCM_16", "FLOAT")),
    *(("OGG", subtype) for subtype in ("VORBIS", "OPUS")),
    *((kind, "PCM_16") for kind in ("W64", "AU", "CAF", "NIST", "WAVEX", "RF64")),
    ("MP3", "MPEG_LAYER_III"),
]


@pytest.mark.parametrize(("format", "subtype"), PIPED)
def test_files_give_the_same_samples_through_a_pipe(tmp_path, format, subtype):
    """Recognised from its first bytes."""
    path = tmp_path / "a"
    with soundfile.SoundFile(path, "w", 16000, 2, subtype, format=format) as file:
        file.write(band_noise(2, 20000, 16000).T)
    wave, fault, _ = heard(path.read_bytes())
    assert fault is None and wave.shape[1] >= 20000
    np.testing.assert_array_equal(wave, audio.read(path).samples)


def test_tags_come_through_a_pipe(tmp_path, codec):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 16000, 1) as file:
        file.title, file.artist = "Zwölf", "A"
        file.write(band_noise(1, 4000, 16000)[0])
    data = coded((tmp_path / "a.flac").read_bytes(), codec, tags={"artist": "B"})
    (tmp_path / "a.nac").write_bytes(data)
    assert file_info(tmp_path / "a.nac")["tags"] == {"title": "Zwölf", "artist": "B"}


CUT = [
    *(("FLAC", "PCM_16"), ("AIFF", "PCM_16"), ("WAV", "ULAW")),
    *(("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
]


@pytest.mark.parametrize(("format", "subtype"), CUT)
def test_a_truncated_file_is_encoded_through_a_pipe(tmp_path, format, subtype):
    path = tmp_path / "a"
    soundfile.write(path, band_noise(1, 200000, 16000)[0], 16000, subtype, format=format)
    whole, data = audio.read(path).samples, path.read_bytes()
    wave, fault, _ = heard(data[: len(data) // 2])
    assert fault and "\n" not in fault and 0.2 < wave.shape[1] / whole.shape[1] < 0.6
    np.testing.assert_array_equal(wave, whole[:, : wave.shape[1]])


def test_clipped_samples_are_counted():
    writer = PcmWriter(out := io.BytesIO(), PcmFormat(8000, 1, "s16"), header=False)
    writer.write(np.array([[1.5, -2, 1, -1, 0.5]], np.float32))
    assert writer.clipped == 2
    assert np.frombuffer(out.getvalue(), "<i2").tolist() == [32767, -32768, 32767, -32768, 16384]


def test_pipes_without_audio_are_refused(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav")
    data = (tmp_path / "a.wav").read_bytes()
    huge = data[:12] + b"LIST" + struct.pack("<I", 1 << 31) + data[12:]
    for wrong in (b"", b"RIFF", b"fLaC" + bytes(100), data[:30], data[:40], huge, data[:12] + data[36:], data[:36]):
        error_of(encode_stream, io.BytesIO(wrong), io.BytesIO(), LoadedModel(codec))
    assert "empty" in error_of(encode_stream, io.BytesIO(), io.BytesIO(), LoadedModel(codec))
    assert "--raw" in error_of(encode_stream, io.BytesIO(b"fLaC" + bytes(100)), io.BytesIO(), LoadedModel(codec))
    for change in [(20, 2), (22, 0)]:
        wrong = bytearray(data)
        wrong[change[0]] = change[1]
        error_of(encode_stream, io.BytesIO(bytes(wrong)), io.BytesIO(), LoadedModel(codec))
    nan = np.array([0, 0, np.nan], "<f4").tobytes()
    assert "NaN" in error_of(
        encode_stream, io.BytesIO(nan), io.BytesIO(), LoadedModel(codec), raw=PcmFormat(16000, 1, "f32")
    )
    for rate, channels, encoding in [(10, 1, "s16"), (8000, 0, "s16"), (8000, 256, "s16"), (8000, 1, "s17")]:
        error_of(PcmFormat, rate, channels, encoding)
    for wrong in (b"", b"RIFF", b"\x89NAC", start_bytes(LIVE_HEADER)):
        error_of(decode_stream, io.BytesIO(wrong), io.BytesIO(), LoadedModel(codec))


# --- sound ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate, channels", [(16000, 1), (16000, 2), (44100, 2), (8000, 3)])
def test_streams_preserve_length_rate_and_channels(tmp_path, codec, rate, channels):
    for samples in (0, 1, 15, 16, 17, 31, 32, 33, 5000):
        wave = write_band_noise(tmp_path / "a.wav", channels, samples, rate)
        data = coded((tmp_path / "a.wav").read_bytes(), codec)
        report, out = decoded(data, codec)
        (tmp_path / "b.wav").write_bytes(out)
        assert soundfile.info(tmp_path / "b.wav").samplerate == rate and report.lost == ()
        back = samples_of(out)
        assert back.shape == wave.shape and report.seconds == samples / rate
        for sizes in ([1], [3, 500]):  # however it is cut on its way
            assert coded((tmp_path / "a.wav").read_bytes(), codec, sizes) == data
            assert decoded(data, codec, sizes)[1] == out
        (tmp_path / "a.nac").write_bytes(data)
        assert file_info(tmp_path / "a.nac")["checksums_ok"]
        with NacReader(tmp_path / "a.nac", LoadedModel(codec), strict=True) as reader:
            np.testing.assert_allclose(reader.read(0, samples), back, atol=1e-3 if rate == 16000 else 1e-2)
    for channel in range(channels):
        assert np.corrcoef(wave[channel], back[channel])[0, 1] > 0.9


def test_raw_samples_and_archives_go_through_pipes(tmp_path, codec):
    wave = write_band_noise(tmp_path / "a.wav", 2, 5000)
    raw = PcmFormat(16000, 2).to_bytes(wave)
    data = coded(raw, codec, raw=PcmFormat(16000, 2), tags={"title": "x"})
    report, out = decoded(data, codec, raw=True, encoding="f32", sizes=[100])
    assert PcmFormat(16000, 2, "f32").to_samples(out).shape == (2, 5000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    report, out = decoded((tmp_path / "a.nac").read_bytes(), codec)
    np.testing.assert_array_equal(samples_of(out), audio.read(tmp_path / "b.wav").samples)
    assert report.bytes_total == (tmp_path / "a.nac").stat().st_size


def test_live_bit_rates(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", 2, 16000)
    frames = codec.config.frames_for(16000)
    for kbps in (20.0, 75.0):
        out = io.BytesIO()
        report = encode_stream(
            io.BytesIO((tmp_path / "a.wav").read_bytes()), out, LoadedModel(codec), CodingOptions(kbps=kbps)
        )
        (tmp_path / "a.nac").write_bytes(out.getvalue())
        info = file_info(tmp_path / "a.nac")
        assert (info["payload_bytes"], info["payload_kbps"]) == (report.bytes_payload, report.payload_kbps)
        with PacketReader(tmp_path / "a.nac") as reader:
            codes = np.concatenate(list(reader.codes(live.FixedWidthCoder(9**4))), 2)
            start = len(start_bytes(reader.header))
        assert codes.shape[2] == frames and 0.75 * kbps <= 8 * report.bytes_total / 1000 <= 1.05 * kbps
        assert report.bytes_total == start + report.bytes_payload + 2 * frames + 2 * live.END_BYTES
    out = io.BytesIO()
    report = encode_stream(
        io.BytesIO((tmp_path / "a.wav").read_bytes()), out, LoadedModel(codec), CodingOptions(codebooks=3)
    )
    assert report.bytes_payload == frames * (2 + math.ceil(2 * 3 * 13 / 8))
    error_of(CodingOptions, kbps=0)


def test_decoding_continues_after_damage(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", 1, 16000)
    data = coded((tmp_path / "a.wav").read_bytes(), codec)
    expected = samples_of(decoded(data, codec)[1])
    header = read_start(io.BytesIO(data).read, "").size
    size = (len(data) - header - 2 * live.END_BYTES) // codec.config.frames_for(16000)
    broken = bytearray(data)
    broken[header + 100 * size + 5] ^= 1
    for sizes in ([11], [1 << 20]):
        report, out = decoded(bytes(broken), codec, sizes)
        back = samples_of(out)
        ((start, end),) = report.lost
        assert (start, end) == ((100 * 32 - 16) / 16000, 101 * 32 / 16000) and back.shape == expected.shape
        after = (101 + codec.receptive_field) * 32
        np.testing.assert_array_equal(back[:, : 100 * 32 - 16], expected[:, : 100 * 32 - 16])
        np.testing.assert_array_equal(back[:, after:], expected[:, after:])
    assert "damaged at 0.20 s" in error_of(decoded, bytes(broken), codec, strict=True)
    cut = data[: header + 300 * size + 5]
    report, out = decoded(cut, codec)
    np.testing.assert_array_equal(samples_of(out), expected[:, : 300 * 32 - 16])
    assert report.lost == ((0.599, 0.6),) and report.cut_off == 0.599
    assert "truncated" in error_of(decoded, cut, codec, strict=True)
    (tmp_path / "a.nac").write_bytes(cut)
    assert "truncated" in error_of(
        decode_file, tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec), DecodingOptions(strict=True)
    )
    report = decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    assert report.seconds == pytest.approx(0.6, abs=0.003) and report.lost
    (tmp_path / "b.nac").write_bytes(broken)
    first, again = (decode_batch([tmp_path], tmp_path / "out", LoadedModel(codec)) for _ in range(2))
    assert len(first.reports) == len(again.skipped) == len(again.damaged) == 2 and again.damaged == first.damaged
    assert again.cut_off == first.cut_off == {tmp_path / "a.nac": 0.598}


def test_latency_of_streams(codec):
    """A sample comes out as soon as the samples of the stated latency have followed it."""
    promised = codec.config.latency_ms / 1000
    pipes = [os.pipe() for _ in range(3)]
    ends = [(os.fdopen(r, "rb"), os.fdopen(w, "wb", buffering=0)) for r, w in pipes]
    (first, sent), (middle, between), (heard, last) = ends

    def through(function, source, target, **options) -> None:
        with target:
            function(source, target, LoadedModel(codec), **options)

    threads = [
        threading.Thread(target=through, args=(encode_stream, first, between), kwargs={"raw": PcmFormat(16000, 1)}),
        threading.Thread(target=through, args=(decode_stream, middle, last), kwargs={"raw": True}),
    ]
    for thread in threads:
        thread.start()
    put, got = 0, 0
    for _ in range(20):
        sent.write(bytes(2 * 32))
        put += 32
        while got < put - promised * 16000:
            came = heard.read1(1 << 16)
            assert came, "the stream ended too early"
            got += len(came) // 2
        assert put - got <= promised * 16000
    sent.close()
    assert got + len(heard.read()) // 2 == put
    for thread in threads:
        thread.join()
    for source, _ in ends:
        source.close()


def test_a_model_is_found_for_a_stream(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav")
    data = coded((tmp_path / "a.wav").read_bytes(), codec)
    found = {fingerprint(codec)[:8]: LoadedModel(codec)}
    assert decoded(data, found.get)[1] == decoded(data, codec)[1]
    assert "--model" in error_of(decoded, data, {}.get)
    assert "--model" in error_of(decoded, data, wire_codec(codebooks=24))


def test_open_finds_the_model(tmp_path):
    import codec as lathe
    from codec.pretrained.checkpoint import load_codec
    from codec.pretrained.registry import find_model

    write_band_noise(tmp_path / "a.wav")
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(model := load_codec(find_model("speech_16k"))))
    for given_model in (None, "speech_16k", find_model("speech_16k"), model):
        with lathe.open(tmp_path / "a.nac", given_model) as reader:
            assert reader.read(100, 3000).shape == (1, 3000)
    error_of(lathe.open, Path(tmp_path / "none.nac"))
