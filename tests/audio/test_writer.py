"""Writing of audio files: samples, clipping, formats and failures."""

import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio import chirps, encode_with_ffmpeg, noise


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".w64", ".caf", ".au"])
@pytest.mark.parametrize("bits", [16, 24])
def test_integer_samples_survive_a_round_trip_exactly(tmp_path: Path, suffix: str, bits: int) -> None:
    top = 2 ** (bits - 1)
    values = np.random.default_rng(bits).integers(-top, top, (2, 3001))
    values[:, :2] = -top, top - 1
    wave = (values / top).astype(np.float32)
    audio.write(tmp_path / f"a{suffix}", wave, 24000, f"PCM_{bits}")
    back = audio.read(tmp_path / f"a{suffix}")
    assert back.sample_rate == 24000
    np.testing.assert_array_equal(back.samples, wave)


def test_16_bit_samples_agree_with_libsndfile(tmp_path: Path) -> None:
    values = np.arange(-32768, 32768, 7, dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", values, 16000)
    wave = audio.read(tmp_path / "a.wav").samples
    np.testing.assert_array_equal(wave[0] * 32768, values)
    audio.write(tmp_path / "b.flac", wave, 16000)
    np.testing.assert_array_equal(soundfile.read(tmp_path / "b.flac", dtype="int16")[0], values)


def test_integer_files_clip_and_float_files_do_not(tmp_path: Path) -> None:
    wave = np.array([[-3.0, -1.0, 0.0, 1.0, 2.5]], np.float32)
    audio.write(tmp_path / "a.wav", wave, 8000)
    audio.write(tmp_path / "b.wav", wave, 8000, "FLOAT")
    np.testing.assert_array_equal(
        soundfile.read(tmp_path / "a.wav", dtype="int16")[0], [-32768, -32768, 0, 32767, 32767]
    )
    np.testing.assert_array_equal(audio.read(tmp_path / "b.wav").samples, wave)


def test_clipped_samples_are_counted_in_formats_that_clip(tmp_path: Path) -> None:
    wave = np.array([[-3.0, -1.0, 0.0, 1.0, 2.5], [0.0, 0.0, 1.001, 0.0, 0.0]], np.float32)
    for name, subtype, clipped in (
        ("a.wav", "PCM_16", 3),
        ("a.flac", "PCM_24", 3),
        ("a.ogg", "VORBIS", 3),
        ("b.wav", "FLOAT", 0),
    ):
        with audio.AudioWriter(tmp_path / name, 8000, 2, subtype) as writer:
            writer.write(wave)
        assert writer.clipped == clipped


@pytest.mark.parametrize(
    "channels, subtype, samples", [(1, "PCM_16", 2**31), (2, "FLOAT", 2**29), (8, "PCM_24", 2**28)]
)
def test_wav_above_4_gib_becomes_rf64(tmp_path: Path, channels: int, subtype: str, samples: int) -> None:
    """Only the first samples are written; the header states the expected length."""
    wave = noise(channels, 2000, level=0.2)
    for expected, format in ((samples, "RF64"), (samples // 2, "WAV")):
        with audio.AudioWriter(tmp_path / "a.wav", 48000, channels, subtype, expected) as writer:
            writer.write(wave)
        assert soundfile.info(tmp_path / "a.wav").format in (format, f"{format}EX")
        np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav", always_2d=True)[0].T, wave, atol=2**-15)
        np.testing.assert_allclose(audio.read(tmp_path / "a.wav").samples, wave, atol=2**-15)


def test_an_interrupted_writer_leaves_the_previous_file(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, noise(1, 1000, level=0.2), 16000)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), audio.AudioWriter(path, 16000, 1) as writer:
        writer.write(noise(1, 5000, level=0.2))
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.flac"]


def test_unknown_suffixes_rates_and_folders_are_refused(tmp_path: Path) -> None:
    for name, rate in (("a.xyz", 16000), ("a.opus", 44100), ("no/a.wav", 16000)):
        with pytest.raises(AudioError):
            audio.write(tmp_path / name, noise(1, 100, level=0.2), rate)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_full_disk_is_reported(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files simulates the full disk; libsndfile itself reports nothing."""
    script = (
        "import signal, sys, numpy as np; from pathlib import Path; from codec import audio\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "wave = np.random.default_rng(0).uniform(-1, 1, (1, 300000)).astype(np.float32)\n"
        "try: audio.write(Path(sys.argv[1]), wave, 16000)\n"
        "except audio.AudioError as error: print(error.kind)\n"
    )
    path = tmp_path / f"a{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000)),
    )
    assert done.stdout == "unwritable\n", done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("channels", [3, 5, 6, 7, 8])
def test_channels_keep_their_order_in_ogg(tmp_path: Path, suffix: str, channels: int) -> None:
    """Vorbis and Opus have orders of their own; files that FFmpeg encodes from WAV order are the reference."""
    wave = chirps(24_000, 48000, channels)
    if channels >= 6:  # the LFE channel of Opus has low frequencies only
        wave[3] = 0.2 * np.sin(2 * np.pi * 40 * np.arange(24_000) / 48000)
    audio.write(tmp_path / f"a{suffix}", wave, 48000)
    encoder, container = ("libopus", "ogg") if suffix == ".opus" else ("flac", "matroska")
    options = {"mapping_family": "1"} if suffix == ".opus" else {}
    paths = [
        tmp_path / f"a{suffix}",
        encode_with_ffmpeg(tmp_path / "b", wave, 48000, encoder, container, options=options),
    ]
    for path in paths:
        read = audio.read(path).samples
        assert read.shape == wave.shape
        for one, other in zip(read, wave):
            assert np.corrcoef(one, other)[0, 1] > 0.95
