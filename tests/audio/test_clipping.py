"""Clipping is found at any level, and not in audio that is not clipped."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal as dsp

from codec import audio
from codec.audio.clipping import ClippingMeter
from data_prep.synthetic_corpus import synthesise_corpus

RATE = 16000


def share(wave: np.ndarray, block: int = 4096) -> float:
    """Clipped share of ``[samples]`` or ``[channels, samples]``, measured in blocks."""
    wave = np.atleast_2d(wave).astype(np.float32)
    meter = ClippingMeter()
    for start in range(0, wave.shape[1], block):
        meter.push(wave[:, start : start + block])
    return meter.share


def share_in_file(path: Path) -> float:
    """Clipped share of an audio file."""
    return share(audio.read(path).samples)


def quantized(wave: np.ndarray, bits: int = 16) -> np.ndarray:
    steps = 2 ** (bits - 1)
    return np.clip(np.rint(wave * steps), -steps, steps - 1) / steps


def sine(hz: float, amplitude: float = 1.0, seconds: float = 2.0, rate: int = RATE) -> np.ndarray:
    return amplitude * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate + 0.3)


def speech_like(seed: int, rate: int = RATE, seconds: float = 10.0) -> np.ndarray:
    """Laplacian noise through formants, with syllables; peak 1."""
    rng = np.random.default_rng(seed)
    wave = rng.laplace(size=int(seconds * rate))
    for hz in (500, 1500):
        wave = dsp.lfilter(*dsp.iirpeak(hz, 4, fs=rate), wave)
    wave *= 0.05 + np.abs(np.sin(np.pi * 2.1 * np.arange(len(wave)) / rate))
    return wave / np.abs(wave).max()


CODECS = ["ULAW", "ALAW", "PCM_16", "PCM_U8", "PCM_24", "FLOAT"]


@pytest.mark.parametrize("subtype", CODECS)
def test_a_clipped_sine_is_found_in_every_format(tmp_path: Path, subtype: str) -> None:
    """A sine at 8 kHz, clipped for 49 % of the time."""
    wave = np.clip(sine(440, 1 / np.cos(0.49 * np.pi / 2), rate=8000), -1, 1)
    path = tmp_path / "a.wav"
    soundfile.write(path, wave, 8000, subtype=subtype)
    assert share_in_file(path) == pytest.approx(0.49, abs=0.06)


@pytest.mark.parametrize("subtype", CODECS)
@pytest.mark.parametrize("amplitude", [0.98, 0.7, 0.1, 0.01])
def test_an_unclipped_sine_passes_in_every_format(tmp_path: Path, subtype: str, amplitude: float) -> None:
    path = tmp_path / "a.wav"
    for hz in (50, 100, 440, 1000, 2000):  # some with a whole number of samples in a period
        soundfile.write(path, sine(hz, amplitude, rate=8000), 8000, subtype=subtype)
        assert share_in_file(path) == 0, hz


@pytest.mark.parametrize("gain", [1.0, 0.9995, 0.98035, 0.5, 0.1, 0.02])
@pytest.mark.parametrize("clipped", [0.002, 0.02, 0.2])
def test_clipped_speech_is_found_after_any_gain(gain: float, clipped: float) -> None:
    wave = speech_like(1)
    level = np.quantile(np.abs(wave), 1 - clipped)
    wave = quantized(gain * np.clip(wave / level, -1, 1))
    assert share(wave) == pytest.approx(clipped, rel=0.35)


def test_twelve_valid_bits_in_sixteen() -> None:
    wave = quantized(np.clip(3 * speech_like(2), -1, 1), 12)
    assert np.abs(wave).max() <= 1 and (wave >= 0.9999).sum() == 0
    assert share(wave) == pytest.approx(np.mean((wave == wave.max()) | (wave == wave.min())))
    assert share(wave) > 0.001


def test_one_clipped_channel_of_two_counts_by_half() -> None:
    clean, clipped = 0.4 * speech_like(3), np.clip(0.8 * speech_like(4), -0.2, 0.2)
    wanted = np.mean(np.abs(clipped) == 0.2)
    assert share(quantized(np.stack([clean, clipped]))) == pytest.approx(wanted / 2, rel=0.01)


@pytest.mark.parametrize("block", [1, 7, 1000, 10**6])
def test_the_share_does_not_depend_on_the_block_length(block: int) -> None:
    wave = quantized(np.clip(speech_like(5, seconds=0.5), -0.3, 0.3))
    assert share(wave, block) == share(wave) > 0


@pytest.mark.parametrize("peak", [1.0, 0.3, 0.01, 0.001, 0.0001])
@pytest.mark.parametrize("bits", [8, 12, 16, 24])
def test_unclipped_speech_passes_at_every_level(peak: float, bits: int) -> None:
    for seed in range(5):
        assert share(quantized(0.999 * peak * speech_like(seed, seconds=4), bits)) < 1e-4


def test_unclipped_synthetic_audio_passes(tmp_path: Path) -> None:
    for path in synthesise_corpus(tmp_path, minutes=1.0).glob("*/*/*.flac"):
        assert share_in_file(path) == 0, path


@pytest.mark.parametrize(
    "wave",
    [
        0.3 * np.sign(sine(100)),  # a square wave has two values, not clipping
        0.3 * np.sign(sine(100)) + 0.0005 * np.random.default_rng(0).standard_normal(2 * RATE),
        0.3 * dsp.sawtooth(2 * np.pi * 100 * np.arange(2 * RATE) / RATE),
        0.5 * np.rint(4 * np.abs(dsp.sawtooth(2 * np.pi * 50 * np.arange(2 * RATE) / RATE))) / 4,  # stairs
        np.full(2 * RATE, 0.2),
        np.zeros(2 * RATE),
        np.where(np.arange(2 * RATE) % 200 == 0, 0.5, 0.0),  # clicks
        np.where(np.arange(2 * RATE) % 200 < 5, sine(1000, 0.4), 0.0),
    ],
    ids="square noisy-square saw stairs constant silence clicks bursts".split(),
)
def test_flat_waveforms_that_are_not_clipped(wave: np.ndarray) -> None:
    assert share(quantized(wave)) == 0


def test_lossy_copies_of_unclipped_audio_pass(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, 0.9 * speech_like(6), RATE)
    assert share_in_file(path) < 1e-4
