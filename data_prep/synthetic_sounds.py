"""Synthetic plucked strings, drums and noise textures.

Strings follow K. Karplus, A. Strong, "Digital synthesis of plucked-string and drum timbres", Computer Music Journal
1983. The samples are a function of the random generators.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import signal

_Samples = npt.NDArray[np.float64]


def synthesise_strings(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> _Samples:
    """Synthesise a melody of plucked strings (Karplus-Strong), with chords on some beats.

    Args:
        character: random generator of the instrument, the same for all clips of a group.
        rng: random generator of the clip.
        seconds: duration.
        rate: sample rate in Hz.

    Returns:
        Samples, float64 ``[samples]``, at an arbitrary level.
    """
    root_hz = 55 * 2 ** (character.integers(0, 25) / 12)
    string = _String(character.uniform(0.6, 2.5), character.uniform(0.1, 0.9), character.uniform(0.1, 0.45))
    beat_s = character.uniform(0.15, 0.4)
    scale = np.array([0, 2, 4, 7, 9, 12, 14, 16, 19, 21, 24])
    out = np.zeros(int(seconds * rate))
    degree = int(rng.integers(len(scale)))
    for start in np.arange(0.02, seconds - 0.1, beat_s):
        if rng.random() < 0.2:
            continue
        degree = int(np.clip(degree + rng.integers(-3, 4), 0, len(scale) - 1))
        chord = [degree, (degree + 2) % len(scale)] if rng.random() < 0.3 else [degree]
        first = int(start * rate)
        length = min(len(out) - first, int(min(3 * string.decay_s, 2.0) * rate))
        for note in chord:
            hz = root_hz * 2 ** (scale[note] / 12)
            out[first : first + length] += _pluck(string, rng, hz, length, rate)
    return out


@dataclass(frozen=True)
class _String:
    decay_s: float
    """Time in which a tone falls by 60 dB."""
    brightness: float
    pluck: float
    """Position of the pluck, as a share of the string's length."""


def _pluck(string: _String, rng: np.random.Generator, hz: float, length: int, rate: int) -> _Samples:
    """Return one tone: a burst of noise in a delay line that averages neighbours at every turn, as one linear
    filter.
    """
    period = rate / hz
    # Averaging takes half a sample of the turn; the rest of the fraction is linear interpolation.
    whole = int(period - 0.5)
    fraction = period - 0.5 - whole
    keep = 10 ** (-3 / (hz * string.decay_s))
    feedback = np.zeros(whole + 3)
    feedback[whole : whole + 3] = keep * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    burst = signal.lfilter([string.brightness], [1.0, string.brightness - 1], rng.uniform(-1, 1, whole))
    # Harmonics with a node where the string is plucked are missing.
    offset = max(1, int(string.pluck * whole))
    excitation = np.zeros(length)
    shaped = np.concatenate([burst, np.zeros(offset)]) - np.concatenate([np.zeros(offset), burst])
    excitation[: min(length, len(shaped))] = shaped[:length]
    denominator = np.concatenate([[1.0], -feedback[1:]])
    tone = signal.lfilter([1.0], denominator, excitation)
    fade = np.minimum(1.0, np.arange(length)[::-1] / (0.01 * rate))
    return tone * fade * rng.uniform(0.5, 1.0) / max(np.abs(tone).max(), 1e-9)


def synthesise_drums(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> _Samples:
    """Synthesise a kick, a snare and a hi-hat in a pattern of sixteen steps.

    Args:
        character: random generator of the drum kit, the same for all clips of a group.
        rng: random generator of the clip.
        seconds: duration.
        rate: sample rate in Hz.

    Returns:
        Samples, float64 ``[samples]``, at an arbitrary level.
    """
    samples = int(seconds * rate)
    time = np.arange(int(0.4 * rate)) / rate
    low_hz, high_hz = character.uniform(40, 70), character.uniform(120, 250)
    sweep = low_hz * time + (high_hz - low_hz) * 0.03 * (1 - np.exp(-time / 0.03))
    kick = np.sin(2 * np.pi * sweep) * np.exp(-time / character.uniform(0.06, 0.15))
    body_hz, rattle_s = character.uniform(150, 260), character.uniform(0.05, 0.15)
    cut_hz = min(character.uniform(4000, 8000), 0.4 * rate)
    high_pass = signal.butter(2, cut_hz, "highpass", fs=rate, output="sos")
    step_s = character.uniform(0.09, 0.16)
    odds = {"kick": character.random(16) < 0.3, "snare": character.random(16) < 0.2}
    odds["kick"][0] = odds["snare"][4] = odds["snare"][12] = True
    out = np.zeros(samples + len(time))
    for number, first in enumerate((np.arange(0.02, seconds, step_s) * rate).astype(int)):
        hits = [0.35 * signal.sosfilt(high_pass, rng.standard_normal(len(time))) * np.exp(-time / 0.03)]
        if odds["kick"][number % 16]:
            hits.append(kick)
        if odds["snare"][number % 16]:
            rattle = rng.standard_normal(len(time)) * np.exp(-time / rattle_s)
            hits.append(0.5 * np.sin(2 * np.pi * body_hz * time) * np.exp(-time / 0.06) + 0.4 * rattle)
        out[first : first + len(time)] += rng.uniform(0.6, 1.0) * sum(hits)
    return out[:samples]


def synthesise_noise(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> _Samples:
    """Synthesise coloured noise that swells, with crackle: rain, wind, machines.

    Args:
        character: random generator of the texture, the same for all clips of a group.
        rng: random generator of the clip.
        seconds: duration.
        rate: sample rate in Hz.

    Returns:
        Samples, float64 ``[samples]``, at an arbitrary level.
    """
    samples = int(seconds * rate)
    frequencies = np.fft.rfftfreq(samples, 1 / rate)
    slope = character.uniform(0.0, 1.0)
    centre_hz = character.uniform(200, 0.3 * rate)
    width = character.uniform(0.3, 1.5)
    bump = np.exp(-0.5 * (np.log2(np.maximum(frequencies, 20) / centre_hz) / width) ** 2)
    colour = np.maximum(frequencies, 20) ** -slope
    colour = colour / np.sqrt(np.mean(colour**2)) + character.uniform(0, 3) * bump
    bed = np.fft.irfft(np.fft.rfft(rng.standard_normal(samples)) * colour, samples)
    points = np.linspace(0, seconds, max(4, int(seconds * character.uniform(1, 4))))
    swell = np.interp(np.arange(samples) / rate, points, rng.uniform(0.4, 1.0, len(points)))
    drops = (rng.random(samples) < character.uniform(2, 40) / rate) * rng.uniform(-1, 1, samples)
    crackle = signal.lfilter([1.0], [1.0, -1.2, 0.7], drops)
    return bed * swell + 8 * character.random() * crackle
