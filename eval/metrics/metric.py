"""A metric: a function of a clip and its decoded audio, with guards against the ways in which it fails.

PESQ and STOI return numbers for audio that they cannot judge, and ViSQOL scores a silent reference 4.7 and truncates
different lengths without a warning. Here a clip has a value by a metric if and only if the metric can judge its
reference, so that all codecs are averaged over the same clips. If the metric can judge the reference but not the
decoded audio, this has failed and scores the metric's worst value: a codec gains nothing by making silence of a passage
that is hard to code. docs/metrics.md has the definitions.

Waveforms are float32 ``[channels, samples]`` at the codec's own rate; the reference is the codec's input.
"""

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

import numpy as np

from codec.audio import FloatArray
from codec.runtime.extras import install_command, installed

MetricFunction = Callable[..., float]
"""Function of a reference and decoded audio ``[channels, samples]``, a sample rate in Hz and, for metrics that need it,
the words that are spoken, as keyword ``text``; it may raise an exception or return NaN or infinity."""

SPEECH_HZ = 16000
"""Sample rate at which the speech metrics are defined."""
MAX_SECONDS = 30.0
"""Longer clips are judged in windows of equal length, of at most 30 s, by all metrics; their mean is taken."""
SILENCE_DBFS = -70.0
"""A clip whose RMS level is below this is silent."""
UNSTATED = ("", "audio")
"""Domains of clips whose folders do not name a domain: they may be speech, and are judged both ways."""


def is_speech(domain: str) -> bool:
    """Return whether a domain is one of speech, by its name.

    Args:
        domain: name such as ``speech`` or ``read voices``.

    Returns:
        True if the name contains "speech" or "voice".
    """
    return any(word in domain.lower() for word in ("speech", "voice"))


@dataclass(frozen=True)
class Score:
    """The value of a metric for one clip."""

    value: float | None
    """Finite; None if the metric is not defined for the reference. With a ``reason`` it is the worst
    value, the score of decoded audio that cannot be judged."""
    reason: str = ""
    """Reason why there is no value, or why it is the worst value."""
    weight: float = 1.0
    """Weight of the clip in a mean: for errors per word, the number of words."""

    @property
    def undefined(self) -> bool:
        """True if the metric cannot judge the reference."""
        return self.value is None

    @property
    def failed(self) -> bool:
        """True if the metric can judge the reference, but not the decoded audio."""
        return self.value is not None and self.reason != ""


@dataclass(frozen=True)
class Metric:
    """A metric of the registry."""

    name: str
    """Key in results and tables."""
    label: str
    """Name in reports."""
    better: Literal["lower", "higher"]
    function: MetricFunction
    unit: str = ""
    digits: int = 2
    """Number of decimals in reports."""
    shortest_s: float = 0.0
    """Clips that are shorter cannot be judged."""
    rejects_silence: bool = False
    """True if silence cannot be judged."""
    use: Literal["all", "speech", "audio"] = "all"
    """Clips that it is measured on, see :meth:`applies`."""
    package: str = ""
    """Module that it needs; empty if none."""
    install: str = install_command("eval")
    """Command that installs it."""
    about: str = ""
    """A line for the reader of a report."""
    worst: float | None = None
    """Score of decoded audio that cannot be judged; None: it is scored as silence, which the metric can judge."""
    longest_s: float = MAX_SECONDS
    """Longest window that the metric judges, if it is less than that of the others."""
    edition: str = ""
    """Edition of the standard, if editions differ in value."""
    weigh_text: Callable[[str], float] | None = None
    """Function of the words that are spoken, which gives the weight of the clip in means; None: the metric needs no
    text, and all clips have the same weight."""

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    @property
    def sign(self) -> int:
        """1 if higher values are better, -1 if lower ones are: multiplied by it, more is always better."""
        return 1 if self.better == "higher" else -1

    @property
    def is_distance(self) -> bool:
        """Whether values are distances or errors, which are 0 or more."""
        return self.better == "lower"

    @property
    def arrow(self) -> str:
        """The direction in which values get better, as an arrow."""
        return "↑" if self.better == "higher" else "↓"

    @property
    def heading_with_arrow(self) -> str:
        """Label, unit and the direction in which values get better, for the head of a table."""
        return f"{self.heading} {self.arrow}"

    @property
    def axis_label(self) -> str:
        """Label for an axis of a plot, with the direction in which values get better."""
        return f"{self.label} ({self.better} is better)"

    def is_gain(self, difference: float) -> bool:
        """Return whether a value that is changed by ``difference`` is better than before.

        Args:
            difference: new value less old value.

        Returns:
            True if the new value is better.
        """
        return self.sign * difference > 0

    def applies(self, domain: str, sample_rate: int, text: str = "") -> bool:
        """Return whether the metric is meant for clips of a domain at a sample rate.

        Args:
            domain: domain of the clip, such as ``speech``.
            sample_rate: sample rate of the codec, in Hz.
            text: words that are spoken; empty if unknown.

        Returns:
            For metrics of speech: whether the clip is or may be speech, at 16 kHz or more. For metrics of general
            audio: whether it is not speech, or is at more than 16 kHz. Else True. Metrics that need a text are for
            clips with words only.
        """
        if self.weigh_text is not None and not self.weigh_text(text):
            return False
        speech = is_speech(domain)
        if self.use == "speech":
            return (speech or domain.lower() in UNSTATED) and sample_rate >= SPEECH_HZ
        if self.use == "audio":
            return not speech or sample_rate > SPEECH_HZ
        return True

    @property
    def absent(self) -> bool:
        """True if its package is not installed."""
        return bool(self.package) and not installed(self.package)

    @property
    def missing(self) -> str:
        """The note to print if it is absent."""
        return f"absent: {self.package} is not installed; {self.install}"

    def score(self, reference: FloatArray, decoded: FloatArray, sample_rate: int, text: str = "") -> Score:
        """Score decoded audio. No content of the waveforms raises an exception or yields NaN.

        Args:
            reference: original waveform, float32 ``[channels, samples]``.
            decoded: decoded waveform of the same shape; a waveform of another shape has failed.
            sample_rate: sample rate in Hz.
            text: words that are spoken in the whole clip, for metrics that need them.

        Returns:
            The value, or the reason why there is none.
        """
        if self.weigh_text is not None:
            bound = replace(self, function=partial(self.function, text=text), weigh_text=None)
            return replace(bound.score(reference, decoded, sample_rate), weight=self.weigh_text(text))
        if self.absent:
            return Score(None, self.missing)
        if not np.isfinite(reference).all():
            return Score(None, "NaN or infinity")
        broken = _find_mismatch(reference, decoded)
        parts = max(1, math.ceil(reference.shape[1] / (self.longest_s * sample_rate)))
        pairs = zip(np.array_split(reference, parts, axis=1), np.array_split(decoded, parts, axis=1))
        scores = [self._score_part(*pair, sample_rate, broken) for pair in pairs]
        values = [score.value for score in scores if score.value is not None]
        if not values:
            return scores[0]
        return Score(sum(values) / len(values), next((score.reason for score in scores if score.failed), ""))

    def _find_fault(self, wave: FloatArray, sample_rate: int) -> str:
        """Return the reason why the metric cannot judge a waveform, or an empty string."""
        if not wave.size:
            return "empty"
        if wave.shape[-1] < self.shortest_s * sample_rate:
            return f"too short (under {self.shortest_s:g} s)"
        if self.rejects_silence and _level_dbfs(wave) < SILENCE_DBFS:
            return "silent"
        return ""

    def _score_part(self, reference: FloatArray, decoded: FloatArray, sample_rate: int, broken: str) -> Score:
        if reason := self._find_fault(reference, sample_rate):
            return Score(None, f"{reason} reference" if reason == "silent" else reason)
        if broken:
            return self._score_failure(reference, sample_rate, broken)
        if reason := self._find_fault(decoded, sample_rate):
            return self._score_failure(reference, sample_rate, f"{reason} decode")
        found = self._call(reference, decoded, sample_rate)
        return self._score_failure(reference, sample_rate, found.reason) if found.undefined else found

    def _score_failure(self, reference: FloatArray, sample_rate: int, reason: str) -> Score:
        """Return the worst value, if the metric can judge the reference: it is scored against itself to find out."""
        itself = self._call(reference, reference, sample_rate)
        if itself.undefined:
            return itself
        if self.worst is not None:
            return Score(self.worst, reason)
        return replace(self._call(reference, np.zeros_like(reference), sample_rate), reason=reason)

    def _call(self, reference: FloatArray, decoded: FloatArray, sample_rate: int) -> Score:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = float(self.function(reference, decoded, sample_rate))
        except Exception as error:  # the packages raise anything, and one clip must not end the evaluation
            return Score(None, f"{type(error).__name__}: {error}".splitlines()[0][:100])
        return Score(value) if math.isfinite(value) else Score(None, "the result is not finite")


def _level_dbfs(wave: FloatArray) -> float:
    return 20 * math.log10(math.sqrt(np.mean(np.square(wave, dtype=np.float64))) + 1e-12)


def _find_mismatch(reference: FloatArray, decoded: FloatArray) -> str:
    """Return the reason why this cannot be the decoded reference, or an empty string."""
    if reference.shape != decoded.shape:
        return f"different lengths ({reference.shape[-1]} and {decoded.shape[-1]} samples)"
    return "" if np.isfinite(decoded).all() else "NaN or infinity"
