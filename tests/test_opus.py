"""Opus beside us: as long as the clip, in step with it, at the bits asked for."""

import numpy as np
import pytest

from codec import audio
from eval.metrics import metric
from eval.opus import opus


@pytest.fixture(scope="module")
def voice(corpus) -> np.ndarray:
    path = max(corpus.rglob("*.flac"), key=lambda path: audio.info(path).frames)
    clip = audio.read(path)
    return audio.resample(clip.samples[:1], clip.sample_rate, 16000)


@pytest.mark.parametrize("kbps", [8.0, 24.0, 64.0])
def test_bits_are_about_those_asked_for(voice, kbps):
    found = opus(voice, 16000, kbps, "speech")
    assert found.bits / (voice.shape[1] / 16) == pytest.approx(kbps, rel=0.25)


@pytest.mark.parametrize("rate", [16000, 24000, 44100])
@pytest.mark.parametrize("samples", [1, 479, 8000, 30011])
@pytest.mark.parametrize("channels", [1, 2])
def test_decodes_are_as_long_as_the_clip_and_in_step_with_it(rate, samples, channels):
    wave = 0.1 * np.random.default_rng(0).standard_normal((channels, samples), dtype=np.float32)
    found = opus(wave, rate, 128.0, "music").wave
    assert found.shape == wave.shape and found.dtype == np.float32
    if samples >= 8000:
        shift = np.argmax(np.correlate(found[0], wave[0], "full")) - (samples - 1)
        assert shift == 0


def test_more_bits_are_better(voice):
    distances = [
        metric("mel").score(voice, opus(voice, 16000, kbps, "speech").wave, 16000).value for kbps in (6.0, 16.0, 64.0)
    ]
    assert distances[0] > distances[1] > distances[2]
