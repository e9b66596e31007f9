import math
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from codec import audio
from codec.audio import AudioError


def noise(samples: int, channels: int = 1, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).standard_normal((channels, samples))).astype(np.float32)


def halve(path: Path) -> Path:
    short = path.with_name(f"half_{path.name}")
    short.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return short


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".aiff", ".w64", ".caf", ".au"])
@pytest.mark.parametrize("bits", [16, 24])
def test_integers_survive_a_round_trip_exactly(tmp_path: Path, suffix: str, bits: int) -> None:
    top = 2 ** (bits - 1)
    values = np.random.default_rng(bits).integers(-top, top, (2, 3001))
    values[:, :2] = -top, top - 1
    wave = (values / top).astype(np.float32)
    audio.write(tmp_path / f"a{suffix}", wave, 24000, f"PCM_{bits}")
    back = audio.read(tmp_path / f"a{suffix}")
    assert back.sample_rate == 24000
    np.testing.assert_array_equal(back.samples, wave)


def test_sixteen_bits_agree_with_libsndfile(tmp_path: Path) -> None:
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


def test_clipped_samples_are_counted_where_the_format_ends_at_full_scale(tmp_path: Path) -> None:
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
def test_a_wav_that_will_exceed_4_gib_is_rf64(tmp_path: Path, channels: int, subtype: str, samples: int) -> None:
    """The first samples alone are written; libsndfile reads both kinds under the same name."""
    wave = noise(2000, channels)
    for expected, format in ((samples, "RF64"), (samples // 2, "WAV")):
        with audio.AudioWriter(tmp_path / "a.wav", 48000, channels, subtype, expected) as writer:
            writer.write(wave)
        assert soundfile.info(tmp_path / "a.wav").format in (format, f"{format}EX")
        np.testing.assert_allclose(soundfile.read(tmp_path / "a.wav", always_2d=True)[0].T, wave, atol=2**-15)
        np.testing.assert_allclose(audio.read(tmp_path / "a.wav").samples, wave, atol=2**-15)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_blocks_join_to_what_libsndfile_reads_at_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    audio.write(path, noise(70001, 2), 48000)
    blocks = list(audio.blocks(path, 4096))
    assert all(block.shape[0] == 2 and block.shape[1] <= 4096 for block in blocks)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, atol=1e-5)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".w64", ".rf64", ".caf", ".au"])
def test_a_file_cut_in_half_is_an_error(tmp_path: Path, suffix: str) -> None:
    audio.write(tmp_path / f"a{suffix}", noise(160000), 16000)
    with pytest.raises(AudioError) as error:
        audio.read(halve(tmp_path / f"a{suffix}"))
    assert "half_a" in str(error.value) and "\n" not in str(error.value)


def test_blocks_before_the_damage_are_good(tmp_path: Path) -> None:
    wave = noise(100000)
    audio.write(tmp_path / "a.wav", wave, 16000)
    got = []
    with pytest.raises(AudioError, match="cut off"):
        for block in audio.blocks(halve(tmp_path / "a.wav"), 1000):
            got.append(block)
    samples = np.concatenate(got, axis=1)
    np.testing.assert_allclose(samples, wave[:, : samples.shape[1]], atol=2**-16)
    assert samples.shape[1] > 49000


def test_ogg_checksums_find_one_flipped_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    audio.write(path, noise(160000), 16000)
    audio.read(path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    # libsndfile reads on as if nothing were wrong.
    assert len(soundfile.read(path)[0]) > 0
    with pytest.raises(AudioError, match="damaged page"):
        audio.read(path)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_not_finite(tmp_path: Path, bad: float) -> None:
    wave = noise(16000)
    wave[0, 12000] = bad
    soundfile.write(tmp_path / "a.wav", wave.T, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="sample 12000") as error:
        audio.read(tmp_path / "a.wav")
    assert error.value.kind == "NaN or infinity"


def test_not_sound(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 16000)
    kinds = []
    for name in ("text.wav", "empty.wav", "none.wav", "absent.wav", "."):
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / name)
        kinds.append(error.value.kind)
    assert kinds == ["unreadable", "empty", "empty", "unreadable", "unreadable"]


def test_an_unfinished_stream_header_is_not_damage(tmp_path: Path) -> None:
    """Programs that write WAV to a pipe cannot fill in the sizes and leave the largest ones."""
    path = tmp_path / "a.wav"
    wave = noise(5000)
    audio.write(path, wave, 16000)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)
    np.testing.assert_allclose(audio.read(path).samples, wave, atol=2**-16)


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    audio.write(path, noise(1000), 16000)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt), audio.AudioWriter(path, 16000, 1) as writer:
        writer.write(noise(5000))
        raise KeyboardInterrupt
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.flac"]


def test_impossible_files_are_refused(tmp_path: Path) -> None:
    for name, rate in (("a.xyz", 16000), ("a.opus", 44100), ("no/a.wav", 16000)):
        with pytest.raises(AudioError):
            audio.write(tmp_path / name, noise(100), rate)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg"])
def test_a_full_disk_is_reported(tmp_path: Path, suffix: str) -> None:
    """A limit on the size of files stands in for the full disk; libsndfile itself says nothing."""
    script = (
        "import signal, sys, numpy as np; from pathlib import Path; from codec import audio\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "wave = np.random.default_rng(0).uniform(-1, 1, (1, 300000)).astype(np.float32)\n"
        "try: audio.write(Path(sys.argv[1]), wave, 16000)\n"
        "except audio.AudioError as error: print(error)\n"
    )
    path = tmp_path / f"a{suffix}"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)],
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50000, 50000)),
    )
    assert "cannot write" in done.stdout, done.stderr
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("from_hz, to_hz", [(16000, 44100), (44100, 16000), (48000, 24000), (22050, 16000)])
def test_a_sine_stays_where_it_is(from_hz: int, to_hz: int) -> None:
    """Resampling against the analytic signal: no delay, no change of level."""
    n = from_hz + 37
    wave = np.sin(2 * np.pi * 997 * np.arange(n) / from_hz)[None].astype(np.float32)
    out = audio.resample(wave, from_hz, to_hz)
    assert out.shape == (1, math.ceil(n * to_hz / from_hz))
    wanted = np.sin(2 * np.pi * 997 * np.arange(out.shape[1]) / to_hz)
    inner = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(out[0, inner], wanted[inner], atol=2e-4)


def test_what_does_not_fit_is_filtered_out() -> None:
    wave = np.sin(2 * np.pi * 9000 * np.arange(48000) / 48000)[None].astype(np.float32)
    assert np.abs(audio.resample(wave, 48000, 16000)[:, 1000:-1000]).max() < 1e-3


@settings(deadline=None, max_examples=30)
@given(
    rates=st.sampled_from([(16000, 44100), (44100, 16000), (48000, 16000), (16000, 16000), (8000, 48000)]),
    samples=st.integers(1, 5000),
    channels=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_streamed_resampling_equals_whole(rates: tuple[int, int], samples: int, channels: int, seed: int) -> None:
    wave = noise(samples, channels, seed)
    rng = np.random.default_rng(seed)
    cuts = np.unique(rng.integers(0, samples, 5))
    stream = audio.StreamResampler(*rates, channels)
    out = np.concatenate([*(stream.push(part) for part in np.split(wave, cuts, axis=1)), stream.flush()], axis=1)
    length = math.ceil(samples * rates[1] / rates[0])
    assert out.shape[1] >= length
    np.testing.assert_allclose(out[:, :length], audio.resample(wave, *rates), atol=1e-6)


def test_resampling_there_and_back_keeps_the_band() -> None:
    taps = signal.firwin(201, 6000, fs=16000)
    wave = signal.lfilter(taps, 1, noise(16000)).astype(np.float32)
    back = audio.resample(audio.resample(wave, 16000, 44100), 44100, 16000)[:, :16000]
    assert np.abs(back - wave)[:, 500:-500].max() < 1e-3
