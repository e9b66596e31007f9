"""Speaker similarity of real voices, and its embeddings against those of the package that the weights come from."""

import sys
from types import ModuleType

import numpy as np
import pytest

from eval.metrics.registry import metric
from eval.metrics.speaker_similarity import embed_speaker, speaker_similarity
from tests.helpers.speech import RATE, read_speaker

pytestmark = pytest.mark.skipif(metric("speaker_similarity").absent, reason="needs resemblyzer")


@pytest.fixture
def reference_encoder(monkeypatch):
    """Resemblyzer's own encoder; what it imports for its voice activity detector is not called."""
    for name, contents in (("webrtcvad", ()), ("scipy.ndimage.morphology", ("binary_dilation",))):
        module = ModuleType(name)
        vars(module).update(dict.fromkeys(contents))
        monkeypatch.setitem(sys.modules, name, module)
    import resemblyzer

    return resemblyzer.VoiceEncoder("cpu", verbose=False)


@pytest.mark.parametrize("seconds", [0.7, 1.6, 2.0, 2.37, 2.9, 3.2])
def test_embeddings_are_those_of_the_package(reference_encoder, seconds):
    from resemblyzer import normalize_volume

    for gain in (0.02, 1.0):
        wave = np.float32(gain) * read_speaker("slt")[0, : round(seconds * RATE)]
        wanted = reference_encoder.embed_utterance(normalize_volume(wave, -30, increase_only=True))
        assert embed_speaker(wave) == pytest.approx(wanted, abs=1e-4)


def test_a_voice_is_most_like_itself_and_less_like_itself_in_noise_and_least_like_another():
    first, second = read_speaker("bdl"), read_speaker("slt")
    noise = np.random.default_rng(0).standard_normal(first.shape).astype(np.float32)
    others = (first, 0.5 * first, first + 0.003 * noise, first + 0.03 * noise, second)
    same, quieter, slight, strong, stranger = (speaker_similarity(first, other, RATE) for other in others)
    assert same == pytest.approx(1, abs=1e-6) and quieter > 0.95
    assert same > slight > strong > stranger
    assert stranger == pytest.approx(0.56, abs=0.01)  # as docs/metrics.md has it
    assert strong > 0.7


def test_stereo_at_another_rate_is_judged_at_16_khz():
    from codec.audio import resample

    wave = read_speaker("bdl")
    stereo = np.repeat(resample(wave, RATE, 44100), 2, axis=0)
    assert speaker_similarity(stereo, np.ascontiguousarray(stereo), 44100) == pytest.approx(1, abs=1e-6)
    back = resample(stereo[:1], 44100, RATE)
    assert embed_speaker(back[0]) @ embed_speaker(wave[0]) > 0.99
