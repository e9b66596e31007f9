"""Synthetic voices after the source-filter model (G. Fant, "Acoustic Theory of Speech Production", 1960).

A glottal pulse train with intonation and jitter, or noise, passes formant resonators that glide from one sound to the
next. The samples are a function of the random generators.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

_Samples = npt.NDArray[np.float64]

_VOWELS_HZ = np.array(
    [
        [730, 1090, 2440, 3400], [270, 2290, 3010, 3600], [300, 870, 2240, 3300], [530, 1840, 2480, 3500],
        [570, 840, 2410, 3300], [660, 1720, 2410, 3500], [490, 1350, 1690, 3300], [440, 1020, 2240, 3300],
    ],
    dtype=float,
)  # fmt: skip
"""Three mean formants of eight American English vowels (Peterson and Barney 1952), and a fourth one."""
_NASAL_HZ = np.array([250.0, 1100.0, 2300.0, 3300.0])
_BANDWIDTHS_HZ = np.array([70.0, 90.0, 140.0, 200.0])
_CONTROL_S = 0.01
"""Interval at which formants and levels change, in seconds."""


@dataclass(frozen=True)
class _Voice:
    """Properties of a speaker."""

    pitch_hz: float
    tract: float
    """Vocal tract length relative to the mean; formants are divided by it."""
    jitter: float
    """Relative deviation of the pitch from one 10 ms to the next."""
    breath: float
    tilt: float
    """Pole of the glottal low-pass filter: closer to 1 is a softer voice."""
    syllables_per_s: float


@dataclass(frozen=True)
class _Score:
    """Articulation at each of ``times_s``, linear in between."""

    times_s: _Samples
    formants_hz: _Samples
    """Formants, ``[points, 4]``."""
    voicing: _Samples
    friction: _Samples
    friction_hz: _Samples


def synthesise_voice(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> _Samples:
    """Synthesise speech-like syllables.

    Args:
        character: random generator of the voice, the same for all clips of a group.
        rng: random generator of the clip.
        seconds: duration.
        rate: sample rate in Hz.

    Returns:
        Samples, float64 ``[samples]``, at an arbitrary level.
    """
    voice = _Voice(
        pitch_hz=float(np.exp(character.uniform(np.log(85), np.log(260)))),
        tract=character.uniform(0.85, 1.15),
        jitter=character.uniform(0.004, 0.015),
        breath=character.uniform(0.01, 0.05),
        tilt=character.uniform(0.94, 0.985),
        syllables_per_s=character.uniform(3.0, 5.5),
    )
    score = _utterance(voice, rng, seconds)
    step = round(_CONTROL_S * rate)
    frames = int(seconds / _CONTROL_S)

    def line(values: _Samples) -> _Samples:
        return _glide(values, score.times_s, frames)

    voicing = np.repeat(line(score.voicing), step)
    glottal = _glottal_pulses(voice, rng, seconds, frames, rate) * voicing
    source = glottal + voice.breath * rng.standard_normal(frames * step) * voicing
    for formant, bandwidth_hz in enumerate(_BANDWIDTHS_HZ):
        source = _resonate(source, line(score.formants_hz[:, formant]), bandwidth_hz, rate)
    noise = rng.standard_normal(frames * step) * np.repeat(line(score.friction), step)
    noise = _resonate(noise, line(score.friction_hz), 1200.0, rate)
    noise = np.diff(noise, prepend=0.0)
    return source / np.sqrt(np.mean(source**2)) + 0.25 * noise / max(np.sqrt(np.mean(noise**2)), 1e-9)


class _ScoreWriter:
    """Builder of the points of a :class:`_Score`."""

    def __init__(self) -> None:
        self._points: list[tuple[float, ...]] = []

    def add(self, at: float, formants: _Samples, voicing: float, friction: float, friction_hz: float) -> None:
        self._points.append((at, *formants, voicing, friction, friction_hz))

    def add_consonant(
        self, kind: str, now: float, onset: float, formants: tuple[_Samples, ...], hiss_hz: float
    ) -> None:
        """Add a consonant that lasts ``onset`` seconds; ``formants`` of the vowel before, of the way to the next vowel,
        and of a nasal.
        """
        before, between, nasal = formants
        if kind == "fricative":
            self.add(now, before, 0.0, 0.0, hiss_hz)
            self.add(now + 0.3 * onset, between, 0.0, 1.0, hiss_hz)
            self.add(now + 0.8 * onset, between, 0.0, 0.8, hiss_hz)
        elif kind == "plosive":
            self.add(now, before, 0.0, 0.0, hiss_hz)
            self.add(now + 0.75 * onset, between, 0.0, 0.0, hiss_hz)
            self.add(now + 0.8 * onset, between, 0.0, 2.0, hiss_hz)
        elif kind == "nasal":
            self.add(now + 0.1 * onset, nasal, 0.35, 0.0, hiss_hz)
            self.add(now + 0.8 * onset, nasal, 0.35, 0.0, hiss_hz)

    def score(self) -> _Score:
        table = np.array(self._points)
        return _Score(table[:, 0], table[:, 1:5], table[:, 5], table[:, 6], table[:, 7])


def _utterance(voice: _Voice, rng: np.random.Generator, seconds: float) -> _Score:
    """Return syllables of a consonant and a gliding vowel, with a pause after every few of them."""
    score = _ScoreWriter()
    vowel = _VOWELS_HZ[rng.integers(len(_VOWELS_HZ))] / voice.tract
    now, left = 0.05, int(rng.integers(4, 9))
    while now < seconds:
        length = rng.uniform(0.7, 1.3) / voice.syllables_per_s
        onset = length * rng.uniform(0.2, 0.35)
        hiss_hz = rng.uniform(2200, 6500) / voice.tract
        kind = rng.choice(["fricative", "plosive", "nasal", "none"], p=[0.35, 0.3, 0.25, 0.1])
        following = _VOWELS_HZ[rng.integers(len(_VOWELS_HZ))] / voice.tract
        between = 0.5 * (vowel + following)
        score.add_consonant(kind, now, onset, (vowel, between, _NASAL_HZ / voice.tract), hiss_hz)
        vowel = following
        loud = rng.uniform(0.6, 1.0)
        score.add(now + onset, 0.3 * between + 0.7 * vowel, 0.8 * loud, 0.0, hiss_hz)
        score.add(now + 0.6 * (onset + length), vowel, loud, 0.0, hiss_hz)
        score.add(now + length, vowel * rng.uniform(0.93, 1.07, 4), 0.4 * loud, 0.0, hiss_hz)
        now += length
        left -= 1
        if left == 0:
            score.add(now + 0.04, vowel, 0.0, 0.0, hiss_hz)
            now += rng.uniform(0.15, 0.4)
            score.add(now, vowel, 0.0, 0.0, hiss_hz)
            left = int(rng.integers(4, 9))
    return score.score()


def _glottal_pulses(voice: _Voice, rng: np.random.Generator, seconds: float, frames: int, rate: int) -> _Samples:
    """Return pulses of equal power, low-passed and radiated, whose pitch has accents and falls over the utterance."""
    step = round(_CONTROL_S * rate)
    accents = max(4, int(2 * seconds))
    bend = np.linspace(0.12, -0.15, accents) + 0.12 * rng.standard_normal(accents)
    contour = _glide(voice.pitch_hz * np.exp(bend), np.linspace(0, seconds, accents), frames)
    pitch = np.repeat(contour * (1 + voice.jitter * rng.standard_normal(frames)), step)
    pulses = np.diff(np.floor(np.cumsum(pitch / rate)), prepend=0.0) * np.sqrt(rate / pitch)
    return signal.lfilter([1.0, -0.98], [1.0, -voice.tilt], pulses)


def _glide(values: _Samples, times_s: _Samples, frames: int) -> _Samples:
    """Return values along straight lines, one every 10 ms, smoothed over 30 ms."""
    line = np.interp(np.arange(frames) * _CONTROL_S, times_s, values)
    return np.convolve(np.pad(line, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")


def _resonate(source: _Samples, centres_hz: _Samples, bandwidth_hz: float, rate: int) -> _Samples:
    """Filter with a two-pole resonator whose frequency changes every 10 ms."""
    step = round(_CONTROL_S * rate)
    radius = np.exp(-np.pi * bandwidth_hz / rate)
    cosines = np.cos(2 * np.pi * np.minimum(centres_hz, 0.47 * rate) / rate)
    out = np.empty_like(source)
    state = np.zeros(2)
    for frame, cosine in enumerate(cosines):
        part = slice(frame * step, (frame + 1) * step)
        feedback = [1.0, -2 * radius * cosine, radius**2]
        out[part], state = signal.lfilter([sum(feedback)], feedback, source[part], zi=state)
    return out
