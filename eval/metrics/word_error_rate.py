"""Word error rate: the words that a speech recogniser finds in decoded audio, against the words that are spoken.

The recogniser is PocketSphinx with the US English model of its package (acoustic model, dictionary, trigram language
model). It is small and far from the state of the art: it misses every third word of clear read speech. So
the rate compares systems on the same clips, next to that of the original audio, and is no one else's figure.
"""

import functools
import re
import unicodedata
from typing import Any

import numpy as np

from codec.audio import FloatArray
from codec.runtime.extras import install_command
from eval.metrics.metric import SPEECH_HZ, Metric
from eval.metrics.speech import to_speech_rate

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


def split_words(text: str) -> list[str]:
    """Normalise a text and split it into words.

    Letters become lower case; words are runs of letters and digits, with apostrophes inside; all other characters
    separate words, so that "well-kept" is two. Numbers are not spelt out, as the recogniser does.

    Args:
        text: text with or without punctuation.

    Returns:
        The words.

    >>> split_words("“Don't,” said Mr. O’Neil; THE WELL-KEPT ROOMS'")
    ["don't", 'said', 'mr', "o'neil", 'the', 'well', 'kept', 'rooms']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).replace("’", "'").lower())


@functools.cache
def _recogniser() -> Any:
    from pocketsphinx import Decoder

    # Cepstral means are those of the clip, so that the result does not depend on the clips before it. The search is
    # pruned as PocketSphinx's own guide to tuning advises; without that, it is several times slower in noise.
    return Decoder(samprate=float(SPEECH_HZ), cmn="batch", maxhmmpf=3000, maxwpf=20, loglevel="FATAL")


def recognise(wave: FloatArray) -> str:
    """Recognise the words of English speech.

    Args:
        wave: ``[samples]`` at 16 kHz, not empty.

    Returns:
        The words, separated by spaces; empty if there are none.
    """
    recogniser = _recogniser()
    recogniser.start_utt()
    recogniser.process_raw(np.rint(wave * 32767.0).clip(-32768, 32767).astype("<i2").tobytes(), full_utt=True)
    recogniser.end_utt()
    found = recogniser.hyp()
    return found.hypstr if found else ""


def word_error_rate(reference: FloatArray, decoded: FloatArray, sample_rate: int, *, text: str) -> float:
    """Compute the word error rate of a recogniser on decoded audio: the mean of the channels at 16 kHz.

    Args:
        reference: ``[channels, samples]``; has no influence.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.
        text: words that are spoken; at least one, see :func:`split_words`.

    Returns:
        Substituted, deleted and inserted words (fewest possible: Levenshtein distance) in per cent of the words of
        ``text``; 100 if nothing is recognised, and more if much is inserted.
    """
    from jiwer import process_words

    words = split_words(text)
    recognised = split_words(recognise(to_speech_rate(decoded, sample_rate)))
    found = process_words(" ".join(words), " ".join(recognised))
    return 100 * (found.substitutions + found.deletions + found.insertions) / len(words)


WER = Metric(
    "wer",
    "WER",
    "lower",
    word_error_rate,
    "%",
    digits=1,
    rejects_silence=True,
    use="speech",
    package="pocketsphinx",
    install=install_command("speech-metrics"),
    about="errors over words of a small recogniser (PocketSphinx, US English); compare with that of the original",
    worst=100.0,
    weigh_text=lambda text: len(split_words(text)),
)
