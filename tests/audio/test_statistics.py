"""Levels, bandwidth and hash of waveforms whose measurements are known."""

import math

import numpy as np
import pytest

from codec.audio.statistics import FLOOR_DBFS, AudioMeter, AudioStats
from tests.helpers.audio import noise, sine

RATE = 16000


def measure(waveform: np.ndarray, block: int = 4096) -> AudioStats:
    """Return the measurements of ``[channels, samples]``, taken in blocks."""
    meter = AudioMeter(RATE)
    for start in range(0, waveform.shape[1], block):
        meter.push(waveform[:, start : start + block])
    return meter.stats()


def test_levels_of_a_sine_in_one_of_two_channels() -> None:
    stats = measure(np.stack([sine(1000, RATE, RATE, 0.5), np.zeros(RATE, np.float32)]))
    assert (stats.sample_rate, stats.channels, stats.frames, stats.clipped_share) == (RATE, 2, RATE, 0)
    assert stats.peak_dbfs == pytest.approx(20 * math.log10(0.5), abs=0.01)
    assert stats.rms_dbfs == pytest.approx(10 * math.log10(0.5**2 / 2 / 2), abs=0.01)
    assert stats.mix_rms_dbfs == pytest.approx(10 * math.log10(0.25**2 / 2), abs=0.01)
    assert stats.noise_dbfs == pytest.approx(stats.rms_dbfs, abs=0.01)
    assert stats.bandwidth_hz == pytest.approx(1000, abs=30)


def test_silence_has_the_lowest_level_and_no_bandwidth() -> None:
    stats = measure(np.zeros((1, 5000), np.float32))
    assert stats.peak_dbfs == stats.rms_dbfs == stats.noise_dbfs == FLOOR_DBFS and stats.bandwidth_hz == 0


@pytest.mark.parametrize("block", [100, 4096, 1 << 20])
def test_measurements_do_not_depend_on_the_block_length(block: int) -> None:
    waveform = noise(2, 30_000)
    stats, whole = measure(waveform, block), measure(waveform, 30_000)
    assert stats.sha256 == whole.sha256 and stats.frames == whole.frames
    assert (stats.rms_dbfs, stats.noise_dbfs) == pytest.approx((whole.rms_dbfs, whole.noise_dbfs), abs=1e-4)
    assert stats.bandwidth_hz == whole.bandwidth_hz > 7900


def test_the_hash_is_of_the_samples() -> None:
    waveform = noise(1, 5000)
    changed = waveform.copy()
    changed[0, 77] += 1e-4
    assert measure(waveform).sha256 == measure(waveform.copy()).sha256 != measure(changed).sha256
