"""Word error rate of real speech by the recogniser itself, and its edit distance against another implementation."""

import numpy as np
import pytest

from eval.metrics.registry import Score, metric
from eval.metrics.word_error_rate import recognise, split_words, word_error_rate
from tests.helpers.speech import RATE, SENTENCE, read_speaker

pytestmark = pytest.mark.skipif(metric("wer").absent, reason="needs the extra speech-metrics")


def edit_distance(first: list[str], second: list[str]) -> int:
    """Levenshtein distance by its recurrence."""
    row = list(range(len(second) + 1))
    for i, word in enumerate(first, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(second, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("HE HOPED, there-fore: “No!”", ["he", "hoped", "there", "fore", "no"]),
        ("o’clock rock 'n' roll, the kings'", ["o'clock", "rock", "n", "roll", "the", "kings"]),
        ("Ça coûte 30 €", ["ça", "coûte", "30"]),
        ("…", []),
    ],
)
def test_words_of_a_text(text, words):
    assert split_words(text) == words


def test_clear_speech_is_recognised_and_errors_are_counted_against_the_text():
    wave = read_speaker("bdl")
    found = metric("wer").score(wave, wave, RATE, SENTENCE)
    assert found == Score(0.0, weight=11)
    other = "At the twentieth time on that evening, two mean men shook"
    words, heard = split_words(other), split_words(recognise(wave[0]))
    errors = edit_distance(words, heard)
    assert 0 < errors < len(words)
    assert metric("wer").score(wave, wave, RATE, other) == Score(pytest.approx(100 * errors / len(words)), weight=11)


def test_the_result_does_not_depend_on_the_clips_before():
    first, second = (read_speaker(name)[0, : 2 * RATE] for name in ("bdl", "slt"))
    alone = recognise(first)
    recognise(0.05 * second)
    assert alone and recognise(first) == alone


def test_noise_costs_words_and_a_decode_that_cannot_be_judged_loses_all():
    wave, wer = read_speaker("slt"), metric("wer")
    noise = np.random.default_rng(0).standard_normal(wave.shape).astype(np.float32)
    assert wer.score(wave, wave + 0.02 * noise, RATE, SENTENCE).value > 20
    assert word_error_rate(wave, 0 * wave, RATE, text=SENTENCE) == 100
    assert wer.score(wave, 0 * wave, RATE, SENTENCE) == Score(100.0, "silent decode", 11)
    cut = wer.score(wave, wave[:, :-1], RATE, SENTENCE)
    assert cut.failed and (cut.value, cut.weight) == (100.0, 11)
    assert wer.score(0 * wave, wave, RATE, SENTENCE).undefined


def test_clips_without_words_are_not_meant():
    wer = metric("wer")
    assert wer.applies("speech", RATE, "Yes.") and wer.applies("audio", RATE, "Yes.")
    assert not (wer.applies("speech", RATE) or wer.applies("speech", RATE, "—") or wer.applies("music", RATE, "la"))
