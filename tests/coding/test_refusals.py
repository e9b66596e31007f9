"""Files that cannot be encoded or decoded, and targets that cannot be written."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.bitstream.header import Header
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import read_nac_header
from codec.bitstream.writer import PacketWriter
from codec.coding.files import decode_file, encode_file
from codec.coding.options import CodingOptions
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.loaded_model import LoadedModel
from tests.helpers.coding import band_noise, error_of, file_names, wire_codec, write_band_noise


@pytest.fixture(scope="module")
def codec() -> Codec:
    return wire_codec()


@pytest.fixture(scope="module")
def coded(tmp_path_factory, codec) -> bytes:
    folder = tmp_path_factory.mktemp("coded")
    write_band_noise(folder / "a.wav", 1, 4000)
    encode_file(folder / "a.wav", folder / "a.nac", LoadedModel(codec), CodingOptions(codebooks=2))
    return (folder / "a.nac").read_bytes()


def test_files_of_other_models_are_refused(tmp_path, coded):
    path = tmp_path / "a.nac"
    path.write_bytes(coded)
    other = wire_codec(codebooks=24)
    reason = error_of(decode_file, path, tmp_path / "b.wav", LoadedModel(other))
    assert read_nac_header(path).fingerprint in reason and fingerprint(other) in reason and "--model" in reason


def test_files_of_compatible_models_are_decoded(tmp_path, coded):
    """As one whose decoder alone was trained further does; without the name they are another model's."""
    path = tmp_path / "a.nac"
    path.write_bytes(coded)
    decode_file(path, tmp_path / "before.wav", LoadedModel(wire_codec()))
    tuned = wire_codec()
    for weight in tuned.decoder.parameters():
        weight.add_(0.1)
    error_of(decode_file, path, tmp_path / "after.wav", LoadedModel(tuned))
    tuned.compatible_fingerprints = ("0123456789abcdef", read_nac_header(path).fingerprint)
    decode_file(path, tmp_path / "after.wav", LoadedModel(tuned))
    before, after = (audio.read(tmp_path / f"{name}.wav").samples for name in ("before", "after"))
    assert before.shape == after.shape and not np.array_equal(before, after)


def test_the_encoder_does_not_change_the_fingerprint(tmp_path, coded):
    path = tmp_path / "a.nac"
    path.write_bytes(coded)
    other = wire_codec()
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
        error_of(decode_file, tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec))
    assert file_names(tmp_path) == ["a.nac"]


def test_other_files_are_refused(tmp_path, codec):
    (tmp_path / "image.nac").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(200))
    write_band_noise(tmp_path / "sound.nac.wav")
    os.rename(tmp_path / "sound.nac.wav", tmp_path / "sound.nac")
    for name in ("image.nac", "sound.nac"):
        assert "not a .nac file" in error_of(decode_file, tmp_path / name, tmp_path / "b.wav", LoadedModel(codec))
    error_of(decode_file, tmp_path / "none.nac", tmp_path / "b.wav", LoadedModel(codec))
    error_of(encode_file, tmp_path / "image.nac", tmp_path / "b.nac", LoadedModel(codec))
    error_of(encode_file, tmp_path / "none.wav", tmp_path / "b.nac", LoadedModel(codec))
    assert file_names(tmp_path) == ["image.nac", "sound.nac"]


def test_broken_sources_leave_nothing(tmp_path, codec):
    write_band_noise(tmp_path / "cut.wav", samples=100_000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "cut.wav").read_bytes()[:150_000])
    wave = band_noise(1, 100_000, 16000)
    wave[0, 80_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave.T, 16000, subtype="FLOAT")
    before = file_names(tmp_path)
    for name in before:
        error_of(encode_file, tmp_path / name, tmp_path / "a.nac", LoadedModel(codec))
    assert file_names(tmp_path) == before


def test_an_unclosed_recording_is_encoded_completely(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", samples=100_000)
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


def test_failed_writing_leaves_the_old_file_alone(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", samples=48_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))
    for target in ("b.nac", "b.wav", "b.flac"):
        (tmp_path / target).write_bytes(b"old")
    before = file_names(tmp_path)
    with at_most(9000):
        for target in ("b.wav", "b.flac"):
            assert target in error_of(decode_file, tmp_path / "a.nac", tmp_path / target, LoadedModel(codec))
        assert "b.nac" in error_of(encode_file, tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(codec))
    for folder in (tmp_path / "none", tmp_path / "a.wav"):
        error_of(encode_file, tmp_path / "a.wav", folder / "b.nac", LoadedModel(codec))
        error_of(decode_file, tmp_path / "a.nac", folder / "b.wav", LoadedModel(codec))
    assert file_names(tmp_path) == before
    assert {(tmp_path / name).read_bytes() for name in before if name.startswith("b.")} == {b"old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only to root")
def test_read_only_folder(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav")
    (tmp_path / "out").mkdir(mode=0o555)
    assert "b.nac" in error_of(encode_file, tmp_path / "a.wav", tmp_path / "out" / "b.nac", LoadedModel(codec))


def test_interrupt_passes_through_and_leaves_nothing(tmp_path, codec):
    write_band_noise(tmp_path / "a.wav", samples=100_000)
    encode_file(tmp_path / "a.wav", tmp_path / "a.nac", LoadedModel(codec))

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_file(tmp_path / "a.wav", tmp_path / "b.nac", LoadedModel(codec), progress=interrupt)
    with pytest.raises(KeyboardInterrupt):
        decode_file(tmp_path / "a.nac", tmp_path / "b.wav", LoadedModel(codec), progress=interrupt)
    assert file_names(tmp_path) == ["a.nac", "a.wav"]
