"""Metrics of one clip against its decode, each with the guards against the ways in which it fails.

A metric that cannot judge a clip says "failed" and why, never a number: PESQ and STOI give numbers for what
they cannot judge, ViSQOL scores a silent reference 4.7 and cuts different lengths silently. docs/measuring.md
has the definitions. Waves are float32 ``[channels, samples]`` at the codec's own rate; the reference is the
codec's input.
"""

import functools
import importlib.util
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from codec.audio import resample
from codec.losses import mel_distance, nmr, stft_distance
from data_prep.inventory import Meter
from eval.loudness import BLOCK_S, loudness_lufs

Wave = npt.NDArray[np.float32]
Function = Callable[[Wave, Wave, int], float]
"""Reference, decode, sample rate in Hz."""

MOST_SECONDS = 30.0
"""Longer clips are judged by their beginning, all metrics alike."""
SILENCE_DBFS = -70.0
"""A clip whose RMS level is below this is silent."""
SPEECH_HZ, VISQOL_HZ = 16000, 48000
UNSTATED = ("", "audio")
"""Domains of clips whose folders did not say what they are: they may be speech, and are judged both ways."""


def is_speech(domain: str) -> bool:
    """Whether the name of a domain says so."""
    return any(word in domain.lower() for word in ("speech", "voice"))


@dataclass(frozen=True)
class Score:
    """What a metric says of one clip: a finite ``value``, or None and the ``reason``."""

    value: float | None
    reason: str = ""


@dataclass(frozen=True)
class Metric:
    """One line of the registry. ``use`` says on which clips it is measured; silence counts as failure if
    ``sound``.
    """

    name: str
    label: str
    better: Literal["lower", "higher"]
    function: Function
    unit: str = ""
    digits: int = 2
    shortest_s: float = 0.0
    sound: bool = False
    use: Literal["all", "speech", "audio"] = "all"
    package: str = ""
    """Module that comes with the extra ``[eval]``."""
    about: str = ""

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
        """Judges ``decoded`` ``[channels, samples]``. Never raises for what is in the waves, never returns
        NaN.
        """
        if self.absent:
            return Score(None, self.missing)
        if reason := fault(reference, decoded, sample_rate, self.shortest_s, self.sound):
            return Score(None, reason)
        samples = int(MOST_SECONDS * sample_rate)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                value = float(self.function(reference[:, :samples], decoded[:, :samples], sample_rate))
        except Exception as error:  # the packages raise anything, and one clip must not end the evaluation
            return Score(None, f"{type(error).__name__}: {error}".splitlines()[0][:100])
        return Score(value) if math.isfinite(value) else Score(None, "the result is not finite")


def fault(reference: Wave, decoded: Wave, sample_rate: int, shortest_s: float, sound: bool) -> str:
    """Why these waves cannot be compared, or nothing."""
    if reference.shape != decoded.shape:
        return f"different lengths ({reference.shape[-1]} and {decoded.shape[-1]} samples)"
    if not reference.size:
        return "empty"
    if not (np.isfinite(reference).all() and np.isfinite(decoded).all()):
        return "NaN or infinity"
    if reference.shape[-1] < shortest_s * sample_rate:
        return f"too short (under {shortest_s:g} s)"
    for what, wave in (("reference", reference), ("decode", decoded)):
        if sound and 20 * math.log10(math.sqrt(np.mean(np.square(wave, dtype=np.float64))) + 1e-12) < SILENCE_DBFS:
            return f"silent {what}"
    return ""


def mono(wave: Wave) -> Wave:
    """``[channels, samples]`` to ``[samples]``."""
    return wave.mean(0)


def si_sdr_db(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    """Scale-invariant signal-to-distortion ratio (Le Roux et al. 2019), means removed, all channels as one
    signal.
    """
    target = (reference - reference.mean(1, keepdims=True)).astype(np.float64).ravel()
    estimate = (decoded - decoded.mean(1, keepdims=True)).astype(np.float64).ravel()
    projection = (estimate @ target) / (target @ target) * target
    error = estimate - projection
    return 10 * math.log10((projection @ projection + 1e-20) / (error @ error + 1e-20))


def _l1(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(np.mean(np.abs(reference - decoded), dtype=np.float64))


def _l2(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(np.mean(np.square(reference - decoded), dtype=np.float64))


def _at_speech_rate(wave: Wave, sample_rate: int) -> Wave:
    return resample(mono(wave)[None], sample_rate, SPEECH_HZ)[0]


def _pesq(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    from pesq import pesq

    return pesq(SPEECH_HZ, _at_speech_rate(reference, sample_rate), _at_speech_rate(decoded, sample_rate), "wb")


def _stoi(reference: Wave, decoded: Wave, sample_rate: int, extended: bool = False) -> float:
    from pystoi import stoi

    waves = (_at_speech_rate(wave, sample_rate) for wave in (reference, decoded))
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # it warns, and returns 1e-5, where too little is not silent
        return stoi(*waves, SPEECH_HZ, extended=extended)


def _estoi(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return _stoi(reference, decoded, sample_rate, extended=True)


@functools.cache
def _visqol(mode: str) -> Any:
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, use_lattice_model=False)  # the lattice mapping is not monotonic in noise
    return api


def _visqol_mos(mode: str, reference: Wave, decoded: Wave, sample_rate: int) -> float:
    threads = torch.get_num_threads()
    try:
        waves = (wave.astype(np.float64) for wave in (reference, decoded))
        return _visqol(mode).measure_from_arrays(*waves, sample_rate).moslqo
    finally:
        torch.set_num_threads(threads)  # numba, starting its own, changes them to one per core


def _visqol_speech(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    waves = [_at_speech_rate(wave, sample_rate) for wave in (reference, decoded)]
    return _visqol_mos("speech", waves[0], waves[1], SPEECH_HZ)


def _visqol_audio(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    waves = [resample(mono(wave)[None], sample_rate, VISQOL_HZ)[0] for wave in (reference, decoded)]
    return _visqol_mos("audio", waves[0], waves[1], VISQOL_HZ)


def _batch(wave: Wave) -> torch.Tensor:
    """``[channels, 1, samples]``, as :mod:`codec.losses` wants it: the channels are the batch."""
    return torch.from_numpy(np.ascontiguousarray(wave))[:, None]


def _mel(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(mel_distance(_batch(decoded), _batch(reference), sample_rate))


def _stft(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(stft_distance(_batch(decoded), _batch(reference), sample_rate))


def _nmr(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    return float(nmr(_batch(decoded), _batch(reference), sample_rate))


def _loudness_lu(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    first, second = (loudness_lufs(wave, sample_rate) for wave in (reference, decoded))
    if first is None or second is None:
        raise ValueError("no loudness: all below the gate of BS.1770")
    return abs(second - first)


def _bandwidth_khz(reference: Wave, decoded: Wave, sample_rate: int) -> float:
    meter = Meter(sample_rate)
    meter.push(decoded)
    return meter.bandwidth_hz / 1000


INTELLIGIBILITY = "intelligibility, 0 to 1"
METRICS = (
    Metric("mel", "Mel distance", "lower", _mel, about="7 scales, log10 amplitude"),
    Metric("pesq", "PESQ-WB", "higher", _pesq, "MOS", 2, 3.0, True, "speech", "pesq", "P.862.2 at 16 kHz"),
    Metric("estoi", "ESTOI", "higher", _estoi, "", 3, 3.0, True, "speech", "pystoi", INTELLIGIBILITY),
    Metric("stoi", "STOI", "higher", _stoi, "", 3, 3.0, True, "speech", "pystoi", INTELLIGIBILITY),
    Metric(
        "visqol_speech", "ViSQOL speech", "higher", _visqol_speech, "MOS", 2, 3.0, True, "speech", "visqol",
        "16 kHz, exponential mapping",
    ),
    Metric(
        "visqol_audio", "ViSQOL audio", "higher", _visqol_audio, "MOS", 2, 3.0, True, "audio", "visqol",
        "at 48 kHz, against the reference at the codec's rate",
    ),
    Metric("nmr", "Noise to mask", "lower", _nmr, about="log10(1 + noise / masking threshold)"),
    Metric("stft", "STFT distance", "lower", _stft, about="print, do not rank by it"),
    Metric("si_sdr", "SI-SDR", "higher", si_sdr_db, "dB", 1, 0.0, True, about="print, do not rank by it"),
    Metric(
        "loudness", "Loudness difference", "lower", _loudness_lu, "LU", 2, BLOCK_S, True,
        about="of programme loudness (BS.1770), either way",
    ),
    Metric(
        "bandwidth", "Bandwidth", "higher", _bandwidth_khz, "kHz", 1, 0.0, True,
        about="of the decode; above it there is 60 dB less energy than in the strongest octave",
    ),
    Metric("l1", "L1", "lower", _l1, "", 4, about="mean absolute error of the waveform"),
    Metric("l2", "L2", "lower", _l2, "", 5, about="mean squared error of the waveform"),
)  # fmt: skip


def metric(name: str) -> Metric:
    """The metric of this name."""
    return next(entry for entry in METRICS if entry.name == name)
