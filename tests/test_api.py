"""The codec in Python, as a user would write it."""

import io
import pickle
import subprocess
import sys
from multiprocessing.reduction import ForkingPickler
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

import codec
from codec.batch.decode import decode_batch
from codec.batch.encode import encode_batch
from codec.bitstream.reader import PacketReader
from codec.pretrained.checkpoint import load_codec
from tests.helpers.audio import noise
from tests.helpers.tiny import tiny_model

FSQ = [
    *("--codec.quantizer.kind=fsq", "--codec.quantizer.groups=2", "--codec.quantizer.codebooks=4"),
    *("--codec.quantizer.levels=[8,5,5,5]", "--codec.quantizer.contexts=1"),
]


def hum(*shape: int) -> np.ndarray:
    """Low frequencies."""
    wave = np.convolve(noise(int(np.prod(shape))).ravel(), np.hanning(99), "same")
    return (0.2 * wave / np.abs(wave).max()).astype(np.float32).reshape(shape)


@pytest.fixture(scope="module")
def c(model) -> codec.AudioCodec:
    return codec.load(model)


@pytest.fixture(scope="module", params=["rvq", "fsq"])
def either(request, c, tmp_path_factory) -> codec.AudioCodec:
    return c if request.param == "rvq" else codec.load(tiny_model(tmp_path_factory.mktemp("fsq"), *FSQ))


def test_importing_is_quick_and_exports_exist():
    script = "import sys, codec; assert not {'torch', 'numpy'} & set(sys.modules); print(sorted(codec.__all__))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert all(hasattr(codec, name) and name in dir(codec) for name in codec.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        codec.nothing  # noqa: B018


@pytest.mark.parametrize("channels", [None, 1, 2, 3])
@pytest.mark.parametrize("rate", [16000, 44100, 8000])
def test_codes_and_waveforms_equal_those_of_files(tmp_path, c, channels, rate):
    wave = noise(rate + 7) if channels is None else noise(channels, rate + 7)
    soundfile.write(tmp_path / "a.wav", wave.T, rate, subtype="FLOAT")
    encode_batch([tmp_path / "a.wav"], tmp_path, c.model)
    decode_batch([tmp_path / "a.nac"], tmp_path / "out", c.model, bits="32f")
    expected, _ = soundfile.read(tmp_path / "out/a.wav", dtype="float32")

    encoded = c.encode(wave, rate)
    assert encoded.codes.dtype == np.int64 and encoded.codes.shape[-2] == c.codebooks == 3
    assert (encoded.sample_rate, encoded.samples) == (rate, rate + 7)
    decoded = c.decode(encoded)
    assert decoded.dtype == np.float32 and decoded.shape == wave.shape
    np.testing.assert_array_equal(decoded, expected.T.reshape(wave.shape))

    tensor = c.encode(torch.from_numpy(wave), rate)
    assert isinstance(tensor.codes, torch.Tensor) and (tensor.codes.numpy() == encoded.codes).all()
    np.testing.assert_array_equal(c.decode(tensor).numpy(), decoded)
    np.testing.assert_array_equal(c.encode(wave.astype(np.float64), rate).codes, encoded.codes)


def test_there_is_no_delay_and_every_length_comes_back(c):
    wave, built_in = hum(9000), codec.load()
    for rate in (16000, 22050, 48000):
        decoded = built_in.decode(built_in.encode(wave, rate))
        assert np.correlate(decoded, wave, "full").argmax() == len(wave) - 1
    for samples in (0, 1, 319, 320, 321, 5000):
        assert c.decode(c.encode(wave[:samples], 16000)).shape == (samples,)
        assert c.decode(c.encode(wave[None, :samples], 24000)).shape == (1, samples)


def test_codes_alone_decode_to_all_that_they_cover(c):
    encoded = c.encode(noise(2, 8000), 16000, codebooks=2)
    assert encoded.codes.shape[1] == 2
    whole = c.decode(encoded.codes)
    assert whole.shape[1] >= 8000 and (whole[:, :8000] == c.decode(encoded)).all()
    again = codec.Encoded(encoded.codes.astype(np.uint16), 16000, 8000)
    assert (c.decode(again) == c.decode(encoded)).all()
    assert c.decode(np.full((3, 10), -1)).shape == (9 * 320,)


def test_continuous_latents_are_decoded(either):
    c, wave = either, torch.from_numpy(hum(2, 9000))
    encoded = c.encode(wave, 16000)
    latents = c.codes_to_latents(encoded)
    assert isinstance(latents, codec.Latents) and latents.latents.shape[::2] == encoded.codes.shape[::2]
    assert torch.equal(c.decode_latents(latents), c.decode(encoded))
    assert torch.equal(c.codes_to_latents(encoded.codes[0]), latents.latents[0])

    exact = c.encode(wave, 16000, quantize=False)
    assert exact.latents.shape == latents.latents.shape and exact.latents.dtype == torch.float32
    assert (exact.latents - latents.latents).norm() < exact.latents.norm()
    whole = c.decode_latents(exact)
    assert whole.shape == wave.shape and (whole - wave).norm() < (c.decode(encoded) - wave).norm()
    assert c.encode(wave[:, :0], 16000, quantize=False).latents.shape == (2, latents.latents.shape[1], 0)


def test_a_model_that_was_used_is_unchanged_after_it_was_handed_to_another_process(tmp_path, model):
    """To start a process with it, multiprocessing moves the memory of its tensors."""
    c, wave = codec.load(model), noise(1, 16000)
    streams = c.stream_encoder(16000), c.stream_decoder(16000)
    c.save(tmp_path / "before.nac", wave, 16000)
    codes = streams[0].push(wave[:, :8000])
    waveform = streams[1].push(codes)
    ForkingPickler.dumps(c)
    c.save(tmp_path / "after.nac", wave, 16000)
    assert (tmp_path / "after.nac").read_bytes() == (tmp_path / "before.nac").read_bytes()
    again = c.stream_encoder(16000), c.stream_decoder(16000)
    np.testing.assert_array_equal(again[0].push(wave[:, :8000]), codes)
    np.testing.assert_array_equal(again[1].push(codes), waveform)
    whole = np.concatenate([codes, streams[0].push(wave[:, 8000:]), streams[0].flush()], 2)
    alone = c.stream_encoder(16000)
    np.testing.assert_array_equal(np.concatenate([alone.push(wave), alone.flush()], 2), whole)


def test_files_are_saved_and_any_part_of_them_is_read(tmp_path, model, c):
    wave = noise(2, 44100)
    report = c.save(tmp_path / "a.nac", wave, 44100, codebooks=2, tags={"title": "Noise"})
    assert report.kbps > 0 and report.target == tmp_path / "a.nac"
    expected = c.decode(c.encode(wave, 44100, codebooks=2))
    for given in (c, model, str(model), c.model.codec):
        with codec.open(tmp_path / "a.nac", given) as sound:
            assert (sound.sample_rate, sound.channels, sound.samples) == (44100, 2, 44100)
            assert sound.tags["title"] == "Noise"
            np.testing.assert_array_equal(sound.read(0, 44100), expected)
            np.testing.assert_array_equal(sound.read(20000, 100), expected[:, 20000:20100])
    pickle.loads(pickle.dumps(c)).save(tmp_path / "b.nac", wave, 44100, codebooks=2, tags={"title": "Noise"})
    assert (tmp_path / "b.nac").read_bytes() == (tmp_path / "a.nac").read_bytes()
    c.save(tmp_path / "empty.nac", wave[0, :0], 16000)
    with codec.open(tmp_path / "empty.nac", c) as sound:
        assert sound.read(0, 10).shape == (1, 0)
    with pytest.raises(codec.UserError, match=rf"{tmp_path}/a\.nac: .*{c.fingerprint[:8]}"):
        codec.open(tmp_path / "a.nac")


def test_files_may_be_bytes_in_memory(tmp_path, c):
    wave, memory = noise(2, 44100), io.BytesIO()
    report = c.save(memory, wave, 44100, codebooks=2)
    c.save(tmp_path / "a.nac", wave, 44100, codebooks=2)
    assert memory.getvalue() == (tmp_path / "a.nac").read_bytes() and report.bytes_total == len(memory.getvalue())
    assert report.source == report.target == Path("bytes")
    expected = c.decode(c.encode(wave, 44100, codebooks=2))
    with (tmp_path / "a.nac").open("rb") as file:
        for given in (memory.getvalue(), memory.getbuffer(), memory, file, tmp_path / "a.nac"):
            with codec.open(given, c) as sound:
                np.testing.assert_array_equal(sound.read(), expected)
                np.testing.assert_array_equal(sound.read(40000), expected[:, 40000:])
                assert sound.read(50000).shape == (2, 0)
        assert not file.closed and not memory.closed
    with pytest.raises(codec.UserError, match="bytes"):
        codec.open(b"RIFF and so on", c)
    for wrong in (None, io.StringIO("text")):
        with pytest.raises(codec.UserError, match=type(wrong).__name__):
            codec.open(wrong, c)
    with pytest.raises(codec.UserError, match=rf"bytes: .*{c.fingerprint[:8]}"):
        codec.open(memory)
    with pytest.raises(codec.UserError):
        c.save(empty := io.BytesIO(), wave, 44100, codebooks=9)
    assert empty.getvalue() == b""


@pytest.mark.parametrize("seconds", [0, 0.5, 7])
def test_codes_at_a_bit_rate_are_those_of_the_file(tmp_path, seconds):
    c = codec.load()
    wave = hum(2, round(16000 * seconds)) if seconds else np.zeros((2, 0), np.float32)
    found = c.encode(wave, 16000, kbps=3).codes
    c.save(tmp_path / "a.nac", wave, 16000, kbps=3)
    with PacketReader(tmp_path / "a.nac") as file:
        parts = list(file.codes(c.model.coder))
    np.testing.assert_array_equal(found, np.concatenate(parts, 2) if parts else found[..., :0])
    assert (found[:, 0] >= 0).all() and (not seconds or (found == -1).any())
    with pytest.raises(codec.UserError, match="kbps"):
        c.encode(wave, 16000, kbps=3, quantize=False)


def test_streams_refuse_what_encode_and_decode_refuse(c):
    encoder, decoder = c.stream_encoder(channels=2), c.stream_decoder(channels=2)
    for piece in (np.zeros((2, 9), np.int16), noise(9), noise(1, 9), noise(3, 9), np.full((2, 9), np.nan), "a.wav"):
        with pytest.raises(ValueError):
            encoder.push(piece)
    for codes in (np.zeros((2, 4, 9), int), np.zeros((1, 3, 9), int), np.zeros((2, 3, 9)), np.full((2, 3, 9), 16)):
        with pytest.raises(ValueError, match="expected"):
            decoder.push(codes)
    with pytest.raises(ValueError, match="expected"):
        decoder.push(torch.full((2, 3, 9), -2))
    wave = noise(2, 3200).astype(np.float64)
    codes = np.concatenate([encoder.push(wave), encoder.flush()], 2)
    assert decoder.push(codes).shape[1] > 0 and (codes >= 0).all()


@pytest.mark.parametrize(("rate", "channels"), [(16000, 1), (44100, 2)])
def test_streams_give_the_same_piece_by_piece(c, rate, channels):
    wave = noise(channels, rate)
    encoder, pieces = c.stream_encoder(rate, channels, codebooks=2, block=16), []
    for first in range(0, rate, 997):
        pieces.append(encoder.push(wave[:, first : first + 997]))
    codes = np.concatenate([*pieces, encoder.flush()], 2)
    assert sum(piece.shape[2] > 0 for piece in pieces) > 1
    assert (codes == c.encode(wave, rate, codebooks=2).codes).all()
    encoder = c.stream_encoder(rate, channels, codebooks=2, block=16)
    tensors = [encoder.push(torch.from_numpy(wave)), encoder.flush()]
    np.testing.assert_array_equal(torch.cat(tensors, 2), codes)

    decoder = c.stream_decoder(rate, channels)
    parts = [decoder.push(part) for part in torch.from_numpy(codes).split(3, 2)]
    assert all(part.shape[1] for part in parts[2:-1])
    decoded = torch.cat([*parts, decoder.flush()], 1).numpy()
    assert rate <= decoded.shape[1] < rate + 2 * rate // c.frames_per_second
    expected = c.decode(c.encode(wave, rate, codebooks=2))
    np.testing.assert_allclose(decoded[:, :rate], expected, atol=1e-4)


def test_reduced_precision_is_close_and_threads_are_put_back(model, c):
    wave = noise(16000)
    before, exact = torch.get_num_threads(), c.encode(wave, 16000)
    for dtype in ("bfloat16", "float16"):
        reduced = codec.load(model, dtype=dtype, threads=2)
        assert reduced.fingerprint == c.fingerprint
        assert (reduced.encode(wave, 16000).codes == exact.codes).mean() > 0.999  # the threads may flip one
        decoded = reduced.decode(exact)
        assert decoded.dtype == np.float32 and 0 < np.abs(decoded - c.decode(exact)).max() < 0.05
    assert torch.get_num_threads() == before


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_tensors_come_back_to_where_they_were(model, c):
    wave, exact = torch.from_numpy(noise(2, 16000)), c.encode(noise(2, 16000), 16000)
    there = codec.load(model, device="cuda")
    assert there.encode(wave, 16000).codes.device == wave.device
    assert (there.encode(wave.cuda(), 16000).codes.cpu().numpy() == exact.codes).mean() > 0.999
    assert there.decode(there.encode(wave.cuda(), 16000)).is_cuda


def test_impossible_arguments_are_refused(model, c):
    for wave, says in (
        (noise(1, 1, 9), r"\[samples\] or \[channels, samples\], not float32 of the shape \[1, 1, 9\]"),
        (noise(9000, 2), r"\[9000, 2\]"),
        (np.zeros(9, np.int16), "not int16; divide"),
        (np.full(9, np.nan), "NaN or infinity"),
    ):
        with pytest.raises(ValueError, match=says):
            c.encode(wave, 16000)
    with pytest.raises(ValueError, match=r"shape \[44100, 2\]; transpose it"):
        c.encode(noise(44100, 2), 44100)
    with pytest.raises(ValueError, match="expected an array of NumPy or a tensor, not str; codec"):
        c.encode("a.wav", 16000)
    for wrong_call in (lambda: c.encode([noise(9)], 16000), lambda: c.ids_to_codes([0]), lambda: c.decode([[0]])):
        with pytest.raises(ValueError, match="not list; "):
            wrong_call()
    with pytest.raises(ValueError, match=r"not str; codec\.open"):
        c.decode("a.nac")
    for codes in (np.zeros((4, 9), int), np.zeros(9, int), np.zeros((3, 9)), np.full((3, 9), 16), np.full((3, 9), -2)):
        with pytest.raises(ValueError, match="expected"):
            c.decode(codes)
    with pytest.raises(ValueError, match="16000 samples at 16000 Hz have 51 frames, not 9"):
        c.decode(codec.Encoded(np.zeros((3, 9), int), 16000, 16000))
    with pytest.raises(ValueError, match="expected float latents"):
        c.decode_latents(np.zeros((3, 9)))
    for wrong, says in (
        (lambda: c.encode(noise(9), 0), "a sample rate from 1000"),
        (lambda: c.encode(noise(9), 16000, codebooks=4), "1 to 3 codebooks, not 4"),
        (lambda: codec.load("none"), "no model none"),
        (lambda: codec.load(model, dtype="int4"), "no such type as 'int4'; use float32"),
        (lambda: codec.load(model, device="nowhere"), "the device nowhere cannot be used"),
        (lambda: codec.load(model, threads=0), "at least 1 thread"),
    ):
        with pytest.raises(codec.UserError, match=says):
            wrong()


def test_numbers_of_wrong_types_are_refused_in_one_line(c):
    c.save(memory := io.BytesIO(), noise(2, 16000), 16000)
    with codec.open(memory, c) as sound:
        np.testing.assert_array_equal(sound.read(5.0, np.int64(9)), sound.read(5, 9))
        for wrong in (
            lambda: sound.read(1.5),
            lambda: sound.read(0, "9"),
            lambda: sound.blocks(end=1.5),
            lambda: c.encode(noise(9), "16000"),
            lambda: c.encode(noise(9), 16000, codebooks=1.5),
            lambda: c.encode(noise(9), 16000, kbps="3"),
            lambda: c.save(memory, noise(9), 16000, tags=["title"]),
            lambda: c.save(5, noise(9), 16000),
            lambda: c.save(io.StringIO(), noise(9), 16000),
            lambda: c.stream_encoder(channels="1"),
            lambda: c.stream_encoder(codebooks=1.5),
            lambda: c.stream_decoder(block=0),
        ):
            with pytest.raises(codec.UserError) as refusal:
                wrong()
            assert "\n" not in str(refusal.value)
    np.testing.assert_array_equal(c.encode(noise(9), 16000.0).codes, c.encode(noise(9), 16000).codes)


def test_a_codec_can_be_built_from_networks(model):
    own = load_codec(model)
    assert codec.AudioCodec(own).encode(noise(999), 16000).codes.shape[0] == own.config.quantizer.codebooks
