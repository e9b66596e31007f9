"""Share of the energy above the band of a model, of sines of known energies."""

import numpy as np
import pytest

from codec.audio.bandwidth import ABOVE_BAND_THRESHOLD, AboveBandMeter


def share(wave: np.ndarray, rate: int, model_rate: int = 16000, block: int = 65536) -> float:
    meter = AboveBandMeter(rate, model_rate)
    for start in range(0, wave.shape[1], block):
        meter.push(wave[:, start : start + block].astype(np.float32))
    return meter.share


def sines(rate: int, seconds: float = 4.0, **amplitudes: float) -> np.ndarray:
    """``f440=0.5``: a sine of 440 Hz with that amplitude."""
    time = np.arange(int(rate * seconds)) / rate
    return sum(gain * np.sin(2 * np.pi * int(name[1:]) * time) for name, gain in amplitudes.items())[None]


@pytest.mark.parametrize("block", [1000, 65536, 1 << 20])
def test_the_share_is_that_of_the_energies(block):
    wave = np.concatenate([0.7 + sines(44100, f440=0.5), sines(44100, f440=0.3, f12000=0.1)])
    expected = 0.1**2 / (0.5**2 + 0.3**2 + 0.1**2)
    assert share(wave, 44100, block=block) == pytest.approx(expected, rel=0.01)


def test_frequencies_in_the_band_do_not_count():
    loud = sines(48000, f100=0.5, f4000=0.5, f7900=0.5)
    assert share(loud, 48000) < ABOVE_BAND_THRESHOLD / 10 and share(np.zeros((1, 99999)), 48000) == 0
    assert share(sines(48000, f11000=0.5), 48000, 24000) < ABOVE_BAND_THRESHOLD / 10
    assert share(sines(48000, f100=0.5, f9000=0.05), 48000) > ABOVE_BAND_THRESHOLD
    assert share(sines(16000, f7900=0.5), 16000) == 0 and share(np.ones((1, 100)), 48000) == 0
