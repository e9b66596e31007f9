"""Sample-rate conversion: no delay, no change of level, streams equal to whole waveforms."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from codec import audio
from tests.helpers.audio import noise


@pytest.mark.parametrize("from_hz, to_hz", [(16000, 44100), (44100, 16000), (48000, 24000), (22050, 16000)])
def test_a_sine_keeps_its_phase_and_level(from_hz: int, to_hz: int) -> None:
    """Resampling against the analytic signal: no delay, no change of level."""
    n = from_hz + 37
    wave = np.sin(2 * np.pi * 997 * np.arange(n) / from_hz)[None].astype(np.float32)
    out = audio.resample(wave, from_hz, to_hz)
    assert out.shape == (1, math.ceil(n * to_hz / from_hz))
    wanted = np.sin(2 * np.pi * 997 * np.arange(out.shape[1]) / to_hz)
    inner = slice(to_hz // 10, -to_hz // 10)
    np.testing.assert_allclose(out[0, inner], wanted[inner], atol=2e-4)


def test_frequencies_above_the_new_nyquist_frequency_are_removed() -> None:
    wave = np.sin(2 * np.pi * 9000 * np.arange(48000) / 48000)[None].astype(np.float32)
    assert np.abs(audio.resample(wave, 48000, 16000)[:, 1000:-1000]).max() < 1e-3


@settings(deadline=None, max_examples=30)
@given(
    rates=st.sampled_from([(16000, 44100), (44100, 16000), (48000, 16000), (16000, 16000), (8000, 48000)]),
    samples=st.integers(1, 5000),
    channels=st.integers(1, 3),
    seed=st.integers(0, 100),
)
def test_streamed_resampling_equals_that_of_the_whole(
    rates: tuple[int, int], samples: int, channels: int, seed: int
) -> None:
    wave = noise(channels, samples, level=0.2, seed=seed)
    rng = np.random.default_rng(seed)
    cuts = np.unique(rng.integers(0, samples, 5))
    stream = audio.StreamResampler(*rates, channels)
    out = np.concatenate([*(stream.push(part) for part in np.split(wave, cuts, axis=1)), stream.flush()], axis=1)
    assert out.shape == (channels, math.ceil(samples * rates[1] / rates[0]))
    np.testing.assert_allclose(out, audio.resample(wave, *rates), atol=1e-6)


def test_resampling_there_and_back_keeps_the_band() -> None:
    taps = signal.firwin(201, 6000, fs=16000)
    wave = signal.lfilter(taps, 1, noise(1, 16000, level=0.2)).astype(np.float32)
    back = audio.resample(audio.resample(wave, 16000, 44100), 44100, 16000)[:, :16000]
    assert np.abs(back - wave)[:, 500:-500].max() < 1e-3


@pytest.mark.parametrize("rates", [(16000, 44100), (48000, 16000)])
@pytest.mark.parametrize("block", [999, 40000])
def test_any_part_of_a_waveform_is_resampled_as_the_whole(rates: tuple[int, int], block: int) -> None:
    wave = noise(2, 150_000)
    resampler = audio.SegmentResampler(*rates)
    length = math.ceil(wave.shape[1] * rates[1] / rates[0])

    def part(start: int, end: int) -> np.ndarray:
        first, last = resampler.input_range(start, end)
        blocks = (wave[:, at : min(at + block, last)] for at in range(first, min(last, wave.shape[1]), block))
        return np.concatenate([np.zeros((2, 0), np.float32), *resampler.resample(blocks, start, end)], axis=1)

    whole = part(0, length)
    assert whole.shape == (2, length)
    np.testing.assert_allclose(whole, audio.resample(wave, *rates), atol=1e-6)
    for start, end in ((0, 10), (12_345, 45_678), (length // 2, length), (length - 1, length), (length, length + 5)):
        np.testing.assert_array_equal(part(start, end), whole[:, start:end])
