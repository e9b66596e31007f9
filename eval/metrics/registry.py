"""Metrics of one clip against its decode, each with the guards against the ways in which it fails.

PESQ and STOI give numbers for what they cannot judge, ViSQOL scores a silent reference 4.7 and cuts different lengths
silently. Here a clip has a value by a metric if, and only if, the metric can judge its reference: whether a clip counts
depends on no codec, so that all codecs are averaged over the same clips. Where the reference can be judged and the
decode cannot, the decode has failed, and scores the metric's worst value: a codec that makes silence of what is hard to
code must not gain by it. docs/measuring.md has the definitions. Waves are float32 ``[channels, samples]`` at the
codec's own rate; the reference is the codec's input.
"""

import importlib.util
import math
import warnings
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from eval.metrics import functions
from eval.metrics.functions import SPEECH_HZ, Wave
from eval.metrics.programme_loudness import BLOCK_S

MOST_SECONDS = 30.0
"""Longer clips are judged by their beginning, all metrics alike."""
SILENCE_DBFS = -70.0
"""A clip whose RMS level is below this is silent."""
UNSTATED = ("", "audio")
"""Domains of clips whose folders did not say what they are: they may be speech, and are judged both ways."""


def is_speech(domain: str) -> bool:
    """Whether the name of a domain says so."""
    return any(word in domain.lower() for word in ("speech", "voice"))


@dataclass(frozen=True)
class Score:
    """What a metric says of one clip: a finite ``value``; or None, with the ``reason``, where it is not defined for the
    reference. A value with a reason is the worst value, which a decode that cannot be judged gets."""

    value: float | None
    reason: str = ""

    @property
    def undefined(self) -> bool:
        """Whether the metric cannot judge the reference, whatever the decode."""
        return self.value is None

    @property
    def failed(self) -> bool:
        """Whether the reference can be judged, and the decode cannot."""
        return self.value is not None and self.reason != ""


@dataclass(frozen=True)
class Metric:
    """One line of the registry.

    ``use`` says on which clips it is measured. ``sound``: it has no meaning for silence. ``worst``: what a decode gets
    that cannot be judged; None where silence is judged, and a decode that cannot be judged counts as silence. Clips
    that are longer than ``longest_s`` are judged in equal parts, and the value is the mean over the parts. ``edition``:
    of the standard, where editions differ in value.
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    function: functions.Function
    unit: str = ""
    digits: int = 2
    shortest_s: float = 0.0
    sound: bool = False
    use: Literal["all", "speech", "audio"] = "all"
    package: str = ""
    """Module that comes with the extra ``[eval]``."""
    about: str = ""
    worst: float | None = None
    longest_s: float = math.inf
    edition: str = ""

    @property
    def heading(self) -> str:
        """Label and unit."""
        return f"{self.label}, {self.unit}" if self.unit else self.label

    def applies(self, domain: str, sample_rate: int) -> bool:
        """Whether the metric is meant for clips of this domain at this rate."""
        speech = is_speech(domain)
        if self.use == "speech":
            return (speech or domain.lower() in UNSTATED) and sample_rate >= SPEECH_HZ
        if self.use == "audio":
            return not speech or sample_rate > SPEECH_HZ
        return True

    @property
    def absent(self) -> bool:
        """Whether its package is not installed."""
        return bool(self.package) and importlib.util.find_spec(self.package) is None

    @property
    def missing(self) -> str:
        """What to say where it is absent."""
        return f"absent: {self.package} is not installed; install lathe-codec[eval]"

    def score(self, reference: Wave, decoded: Wave, sample_rate: int) -> Score:
        """Judge a decode. Never raises for what is in the waves, never returns NaN.

        Args:
            reference: float32 ``[channels, samples]``.
            decoded: of the same shape.
            sample_rate: in Hz.
        """
        if self.absent:
            return Score(None, self.missing)
        if not np.isfinite(reference).all():
            return Score(None, "NaN or infinity")
        broken = _broken(reference, decoded)
        reference, decoded = (wave[:, : int(MOST_SECONDS * sample_rate)] for wave in (reference, decoded))
        parts = max(1, math.ceil(reference.shape[1] / (self.longest_s * sample_rate)))
        pairs = zip(np.array_split(reference, parts, axis=1), np.array_split(decoded, parts, axis=1))
        scores = [self._score_part(*pair, sample_rate, broken) for pair in pairs]
        values = [score.value for score in scores if score.value is not None]
        if not values:
            return scores[0]
        return Score(sum(values) / len(values), next((score.reason for score in scores if score.failed), ""))

    def _fault(self, wave: Wave, sample_rate: int) -> str:
        """Why the metric cannot judge a waveform, as reference or as decode, or nothing."""
        if not wave.size:
            return "empty"
        if wave.shape[-1] < self.shortest_s * sample_rate:
            return f"too short (under {self.shortest_s:g} s)"
        if self.sound and _level_dbfs(wave) < SILENCE_DBFS:
            return "silent"
        return ""

    def _score_part(self, reference: Wave, decoded: Wave, sample_rate: int, broken: str) -> Score:
        if reason := self._fault(reference, sample_rate):
            return Score(None, f"{reason} reference" if reason == "silent" else reason)
        if broken:
            return self._failed(reference, sample_rate, broken)
        if reason := self._fault(decoded, sample_rate):
            return self._failed(reference, sample_rate, f"{reason} decode")
        found = self._call(reference, decoded, sample_rate)
        return self._failed(reference, sample_rate, found.reason) if found.undefined else found

    def _failed(self, reference: Wave, sample_rate: int, reason: str) -> Score:
        """The worst value, if the metric can judge the reference, for which the reference itself is asked."""
        itself = self._call(reference, reference, sample_rate)
        if itself.undefined:
            return itself
        if self.worst is not None:
            return Score(self.worst, reason)
        return replace(self._call(reference, np.zeros_like(reference), sample_rate), reason=reason)

    def _call(self, reference: Wave, decoded: Wave, sample_rate: int) -> Score:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = float(self.function(reference, decoded, sample_rate))
        except Exception as error:  # the packages raise anything, and one clip must not end the evaluation
            return Score(None, f"{type(error).__name__}: {error}".splitlines()[0][:100])
        return Score(value) if math.isfinite(value) else Score(None, "the result is not finite")


def _level_dbfs(wave: Wave) -> float:
    return 20 * math.log10(math.sqrt(np.mean(np.square(wave, dtype=np.float64))) + 1e-12)


def _broken(reference: Wave, decoded: Wave) -> str:
    """Why the decode is none of the reference, or nothing."""
    if reference.shape != decoded.shape:
        return f"different lengths ({reference.shape[-1]} and {decoded.shape[-1]} samples)"
    return "" if np.isfinite(decoded).all() else "NaN or infinity"


INTELLIGIBILITY = "intelligibility, 0 to 1"
UNRANKED = "print, do not rank by it"
PESQ_EDITION = "ITU-T P.862.2 without Corrigendum 2"
"""What the package ``pesq`` 0.0.4 computes, and with it most published figures. Corrigendum 2 (2018) corrects the level
of wide-band signals; the same pairs score 0.3 to 1.0 higher with it."""
METRICS = (
    Metric("mel", "Mel distance", "lower", functions.mel, about="7 scales, log10 amplitude"),
    Metric(
        "pesq", "PESQ-WB", "higher", functions.pesq_wb, "MOS", 2, 3.0, True, "speech", "pesq",
        f"{PESQ_EDITION}, at 16 kHz", 1.0, longest_s=15.0, edition=PESQ_EDITION,
    ),
    Metric("estoi", "ESTOI", "higher", functions.estoi_16k, "", 3, 3.0, True, "speech", "pystoi", INTELLIGIBILITY, 0.0),
    Metric("stoi", "STOI", "higher", functions.stoi_16k, "", 3, 3.0, True, "speech", "pystoi", INTELLIGIBILITY, 0.0),
    Metric(
        "visqol_speech", "ViSQOL speech", "higher", functions.visqol_speech, "MOS", 2, 3.0, True, "speech", "visqol",
        "16 kHz, exponential mapping", 1.0,
    ),
    Metric(
        "visqol_audio", "ViSQOL audio", "higher", functions.visqol_audio, "MOS", 2, 3.0, True, "audio", "visqol",
        "at 48 kHz, against the reference at the codec's rate", 1.0,
    ),
    Metric("nmr", "Noise to mask", "lower", functions.noise_to_mask, about="log10(1 + noise / masking threshold)"),
    Metric("stft", "STFT distance", "lower", functions.stft, about=UNRANKED),
    Metric("si_sdr", "SI-SDR", "higher", functions.si_sdr_db, "dB", 1, 0.0, True, worst=-60.0, about=UNRANKED),
    Metric(
        "loudness", "Loudness difference", "lower", functions.loudness_difference_lu, "LU", 2, BLOCK_S, True,
        about="of programme loudness (BS.1770), either way", worst=70.0,
    ),
    Metric(
        "bandwidth", "Bandwidth", "higher", functions.bandwidth_khz, "kHz", 1, 0.0, True,
        about="of the decode; above it there is 60 dB less energy than in the strongest octave", worst=0.0,
    ),
    Metric("l1", "L1", "lower", functions.mean_absolute_error, "", 4, about="mean absolute error of the waveform"),
    Metric("l2", "L2", "lower", functions.mean_squared_error, "", 5, about="mean squared error of the waveform"),
)  # fmt: skip


def metric(name: str) -> Metric:
    """The metric of this name."""
    return next(entry for entry in METRICS if entry.name == name)


def describe_editions(names: Collection[str]) -> list[str]:
    """A line for each of the metrics whose value depends on the edition of its standard."""
    return [f"{entry.label}: {entry.edition}" for entry in METRICS if entry.edition and entry.name in names]
