"""Programme loudness after BS.1770, and gains that match it."""

import numpy as np
import pytest

from eval.metrics.programme_loudness import loudness_lufs, matching_gains


def tone(amplitude: float, seconds: float = 2.0, rate: int = 48000) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * 997 * np.arange(int(seconds * rate)) / rate))[None].astype(np.float32)


def test_a_full_scale_tone_has_the_loudness_that_the_standard_states():
    assert loudness_lufs(tone(1.0), 48000) == pytest.approx(-3.01, abs=0.05)
    assert loudness_lufs(np.repeat(tone(1.0), 2, 0), 48000) == pytest.approx(0.0, abs=0.05)  # channels add up


def test_short_silent_and_empty_waveforms():
    assert loudness_lufs(tone(0.5, 0.1), 48000) == pytest.approx(-9.03, abs=0.3)
    assert loudness_lufs(np.zeros((1, 48000), np.float32), 48000) is None
    assert loudness_lufs(np.zeros((1, 0), np.float32), 48000) is None
    assert matching_gains([np.zeros((1, 480), np.float32), tone(0.5)], 48000) == [1.0, 1.0]


def test_gains_match_and_nothing_clips():
    assert matching_gains([tone(0.4), tone(0.1), tone(0.8)], 48000) == pytest.approx([1.0, 4.0, 0.5], rel=1e-3)
    spiky = tone(0.1)
    spiky[0, 1000] = 0.9
    gains = matching_gains([tone(0.5), spiky], 48000)
    assert gains[1] * 0.9 == pytest.approx(1.0, rel=1e-3)
    assert gains[0] * 0.5 / (gains[1] * 0.1) == pytest.approx(1.0, rel=0.01)
