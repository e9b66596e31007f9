"""Which back end reads which format: a test for each row of the table in docs/formats.md.

Lossless files are compared with the encoder's input. Lossy files are compared with it by length and lag, and with a
reference decoder where soundfile includes it: mpg123 (MP3), libvorbis and libopus, reading the file at once."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio import chirps, encode_with_ffmpeg, lag, random_integers, read_by_libsndfile

RATE = 44100


@pytest.mark.parametrize("codec, container, name", [
    ("flac", "flac", "a.flac"), ("flac", "ogg", "a.ogg"), ("wavpack", "wv", "a.wv"), ("tta", "tta", "a.tta"),
    ("alac", "mp4", "a.m4a"), ("alac", "caf", "a.caf"), ("flac", "matroska", "a.mka"), ("pcm_s16le", "mov", "a.mov"),
    ("pcm_s16be", "aiff", "a.aiff"), ("pcm_s16le", "w64", "a.w64"), ("pcm_s16be", "caf", "b.caf"),
    ("pcm_s16be", "au", "a.au"), ("pcm_s16le", "avi", "a.avi"),
])  # fmt: skip
def test_lossless_formats_are_read_exactly(tmp_path: Path, codec: str, container: str, name: str) -> None:
    wave = (random_integers(20_002, 2, 16) / 2**15).astype(np.float32)
    path = encode_with_ffmpeg(tmp_path / name, wave, RATE, codec, container)
    read = audio.read(path)
    assert read.sample_rate == RATE
    np.testing.assert_array_equal(read.samples, wave)
    assert audio.info(path).frames in (20_002, None)


@pytest.mark.parametrize("subtype", ["ALAC_16", "ALAC_20", "PCM_24", "FLOAT"])
def test_caf_files_of_libsndfile(tmp_path: Path, subtype: str) -> None:
    """FFmpeg loses the end of ALAC that libsndfile wrote, or cannot open it."""
    soundfile.write(tmp_path / "a.caf", chirps(12_345, RATE, 2).T, RATE, subtype=subtype)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.caf").samples, read_by_libsndfile(tmp_path / "a.caf"))


@pytest.mark.parametrize("samples", [100, 5_000, 20_000])
def test_loud_alac_of_32_bits_is_read_exactly_or_refused(tmp_path: Path, samples: int) -> None:
    """libsndfile decodes it wrongly; FFmpeg supports one channel and refuses two."""
    values = np.random.default_rng(0).integers(-(2**31), 2**31, samples)
    soundfile.write(tmp_path / "a.caf", values.astype(np.int32), RATE, subtype="ALAC_32")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.caf").samples[0], (values / 2**31).astype(np.float32))
    values = np.random.default_rng(1).integers(-(2**31), 2**31, (samples, 2))
    soundfile.write(tmp_path / "b.caf", values.astype(np.int32), RATE, subtype="ALAC_32")
    with pytest.raises(audio.AudioError):
        audio.read(tmp_path / "b.caf")


LOSSY = [
    # codec, container, rate, channels, late by, samples more, options
    ("libopus", "ogg", 48000, 1, 0, 0),
    ("libopus", "ogg", 16000, 2, 0, 0),
    ("libopus", "webm", 48000, 2, 0, 0),
    ("libopus", "mp4", 48000, 2, 0, 0),
    ("libmp3lame", "mp3", 44100, 2, 0, 0),
    ("libmp3lame", "mp3", 16000, 1, 0, 0),
    ("aac", "mp4", 44100, 2, 0, 0),
    ("aac", "mov", 16000, 1, 0, 0),
    ("wmav2", "asf", 44100, 2, 0, 2047),
    ("wmav2", "asf", 16000, 1, 0, 2047),
    # These containers and codings do not state the encoder's delay.
    ("aac", "adts", 44100, 2, 1024, 2047),
    ("mp2", "mp2", 44100, 1, 481, 1151),
    ("ac3", "ac3", 48000, 6, 256, 1535),
    ("libopencore_amrnb", "amr", 8000, 1, 40, 159),
]


@pytest.mark.parametrize("codec, container, rate, channels, late, more", LOSSY)
def test_lossy_files_keep_the_start_and_the_end_of_the_input(
    tmp_path: Path, codec: str, container: str, rate: int, channels: int, late: int, more: int
) -> None:
    wave = chirps(30_011, rate, channels)
    bits = {"libopencore_amrnb": 12_200, "wmav2": 96_000, "aac": 64_000}.get(codec, 128_000 if rate > 16000 else 64_000)
    options = {"aac_pns": "0"} if codec == "aac" else {}
    path = encode_with_ffmpeg(tmp_path / "a", wave, rate, codec, container, bit_rate=bits, options=options)
    read = audio.read(path)
    wanted = audio.resample(wave, rate, read.sample_rate)
    assert read.samples.shape[0] == channels
    assert 0 <= read.samples.shape[1] - wanted.shape[1] <= more
    assert read.sample_rate == (48000 if codec == "libopus" else rate)
    for channel in range(channels):
        if not (channels == 6 and channel == 3):  # AC-3 codes the LFE to 120 Hz
            assert abs(lag(read.samples[channel], wanted[channel]) - late) <= 1


@pytest.mark.parametrize("codec, container, rate", [("libopus", "ogg", 48000), ("libmp3lame", "mp3", 44100)])
@pytest.mark.parametrize("channels", [1, 2])
def test_reference_decoders_agree(tmp_path: Path, codec: str, container: str, rate: int, channels: int) -> None:
    path = encode_with_ffmpeg(tmp_path / "a", chirps(70_001, rate, channels), rate, codec, container)
    np.testing.assert_allclose(audio.read(path).samples, read_by_libsndfile(path), atol=2e-5)


@pytest.mark.parametrize("missing", [0, 4096])
def test_dsf_ends_within_its_last_block(tmp_path: Path, missing: int) -> None:
    """DSF counts bits, and fills its last block."""
    samples, blocks = 5000, 2
    head = b"DSD " + (28).to_bytes(8, "little") + (28 + 52 + 12 + 4096 * blocks).to_bytes(8, "little") + bytes(8)
    fields = (1, 0, 1, 1, 2822400, 1)
    form = b"fmt " + (52).to_bytes(8, "little") + b"".join(value.to_bytes(4, "little") for value in fields)
    form += (8 * samples).to_bytes(8, "little") + (4096).to_bytes(4, "little") + bytes(4)
    data = b"data" + (12 + 4096 * blocks).to_bytes(8, "little") + bytes([0x69]) * (4096 * blocks - missing)
    (tmp_path / "a.dsf").write_bytes(head + form + data)
    assert audio.info(tmp_path / "a.dsf").frames == samples
    if missing:
        with pytest.raises(AudioError):
            audio.read(tmp_path / "a.dsf")
    else:
        assert audio.read(tmp_path / "a.dsf").samples.shape == (1, samples)
