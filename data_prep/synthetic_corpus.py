"""A procedural corpus: speech-like voices, plucked strings, drums and noise textures, so that everything can
be tried without audio of one's own.

Voices follow the source-filter model (Fant 1960): a glottal pulse train with intonation and jitter, or noise,
through formant resonators that glide from sound to sound. Strings are Karplus and Strong's (1983). Every
speaker, instrument, kit and texture is a group. The samples are a function of the seed.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import signal
from tqdm import tqdm

from codec import audio
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text

Wave = npt.NDArray[np.float64]

_SHARES = {"voice": 0.7, "strings": 0.14, "drums": 0.08, "noise": 0.08}
"""Of the minutes."""
_GROUPS = {"voice": 80, "strings": 16, "drums": 10, "noise": 10}
"""At most; with few minutes every clip is a group of its own."""
_MEAN_SECONDS = 4.25
_VOWELS_HZ = np.array(
    [
        [730, 1090, 2440, 3400], [270, 2290, 3010, 3600], [300, 870, 2240, 3300], [530, 1840, 2480, 3500],
        [570, 840, 2410, 3300], [660, 1720, 2410, 3500], [490, 1350, 1690, 3300], [440, 1020, 2240, 3300],
    ],
    dtype=float,
)  # fmt: skip
"""Mean formants of eight American English vowels (Peterson and Barney 1952), and a fourth one."""
_NASAL_HZ = np.array([250.0, 1100.0, 2300.0, 3300.0])
_BANDWIDTHS_HZ = np.array([70.0, 90.0, 140.0, 200.0])
_CONTROL_S = 0.01


def synthesise_corpus(out: Path, *, seed: int = 0, minutes: float = 8.0, sample_rate: int = 16000) -> Path:
    """Write the corpus, ``out/<domain>/<group>/<clip>.flac`` and ``out/manifest.csv``, and return ``out``.

    Clips are 3 to 8 s long, mono, 16 bits. A folder that is complete for the same arguments is left as it is.

    Raises:
        UserError: the folder cannot be written to.
    """
    if minutes <= 0 or sample_rate < 8000:
        raise UserError(f"cannot synthesise {minutes:g} min at {sample_rate} Hz: more than 0, 8000 or more")
    make_folder(out)
    stamp = out / "corpus.txt"
    arguments = f"seed {seed}, {minutes:g} minutes, {sample_rate} Hz, version 1\n"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == arguments:
        return out
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "domain", "source", "group", "seconds"])
    plan = [
        (domain, number, clip)
        for domain, share in _SHARES.items()
        for number, clip in _clips(60 * minutes * share, _GROUPS[domain])
    ]
    for domain, number, clip in tqdm(plan, desc="synthesis", unit="clip"):
        group = f"{domain}{number:02d}"
        domain_key = list(_SHARES).index(domain)
        character = np.random.default_rng([seed, domain_key, number])
        rng = np.random.default_rng([seed, domain_key, number, 1 + clip])
        wave = _MAKERS[domain](character, rng, 3.0 + 5.0 * rng.random() ** 3, sample_rate)
        level = 10 ** (rng.uniform(-27, -19) / 20)
        wave *= min(level / np.sqrt(np.mean(wave**2)), 0.95 / np.abs(wave).max())
        # The hiss of a quiet room: recordings have no digital silence.
        wave += rng.standard_normal(len(wave)) * 10 ** (-75 / 20)
        path = Path(domain, group, f"{group}_{clip}.flac")
        make_folder((out / path).parent)
        audio.write(out / path, wave[None].astype(np.float32), sample_rate)
        table.writerow([path.as_posix(), domain, "synthetic", group, f"{len(wave) / sample_rate:.3f}"])
    write_text(out / "manifest.csv", text.getvalue())
    write_text(stamp, arguments)
    return out


def _clips(seconds: float, groups: int) -> list[tuple[int, int]]:
    """(group, clip) of about so many seconds in all; every group has one before any has two."""
    count = max(1, round(seconds / _MEAN_SECONDS))
    return [(number % groups, number // groups) for number in range(count)]


@dataclass(frozen=True)
class _Voice:
    """What stays the same in everything that a speaker says."""

    pitch_hz: float
    tract: float
    """Vocal tract length relative to the mean; formants are divided by it."""
    jitter: float
    """Relative deviation of the pitch from one 10 ms to the next."""
    breath: float
    tilt: float
    """Pole of the glottal low-pass: nearer to 1 is a softer voice."""
    syllables_per_s: float


@dataclass(frozen=True)
class _Score:
    """What a speaker does at each of ``times_s``, linear in between."""

    times_s: Wave
    formants_hz: Wave
    """``[points, 4]``"""
    voicing: Wave
    friction: Wave
    friction_hz: Wave


def _voice(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> Wave:
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

    def line(values: Wave) -> Wave:
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


def _utterance(voice: _Voice, rng: np.random.Generator, seconds: float) -> _Score:
    """Syllables of a consonant and a gliding vowel, and a pause after every few of them."""
    points: list[tuple[float, ...]] = []
    vowel = _VOWELS_HZ[rng.integers(len(_VOWELS_HZ))] / voice.tract

    def add(at: float, formants: Wave, voicing: float, friction: float, friction_hz: float) -> None:
        points.append((at, *formants, voicing, friction, friction_hz))

    now, left = 0.05, int(rng.integers(4, 9))
    while now < seconds:
        length = rng.uniform(0.7, 1.3) / voice.syllables_per_s
        onset = length * rng.uniform(0.2, 0.35)
        hiss_hz = rng.uniform(2200, 6500) / voice.tract
        kind = rng.choice(["fricative", "plosive", "nasal", "none"], p=[0.35, 0.3, 0.25, 0.1])
        following = _VOWELS_HZ[rng.integers(len(_VOWELS_HZ))] / voice.tract
        between = 0.5 * (vowel + following)
        if kind == "fricative":
            add(now, vowel, 0.0, 0.0, hiss_hz)
            add(now + 0.3 * onset, between, 0.0, 1.0, hiss_hz)
            add(now + 0.8 * onset, between, 0.0, 0.8, hiss_hz)
        elif kind == "plosive":
            add(now, vowel, 0.0, 0.0, hiss_hz)
            add(now + 0.75 * onset, between, 0.0, 0.0, hiss_hz)
            add(now + 0.8 * onset, between, 0.0, 2.0, hiss_hz)
        elif kind == "nasal":
            hum = _NASAL_HZ / voice.tract
            add(now + 0.1 * onset, hum, 0.35, 0.0, hiss_hz)
            add(now + 0.8 * onset, hum, 0.35, 0.0, hiss_hz)
        vowel = following
        loud = rng.uniform(0.6, 1.0)
        add(now + onset, 0.3 * between + 0.7 * vowel, 0.8 * loud, 0.0, hiss_hz)
        add(now + 0.6 * (onset + length), vowel, loud, 0.0, hiss_hz)
        add(now + length, vowel * rng.uniform(0.93, 1.07, 4), 0.4 * loud, 0.0, hiss_hz)
        now += length
        left -= 1
        if left == 0:
            add(now + 0.04, vowel, 0.0, 0.0, hiss_hz)
            now += rng.uniform(0.15, 0.4)
            add(now, vowel, 0.0, 0.0, hiss_hz)
            left = int(rng.integers(4, 9))
    table = np.array(points)
    return _Score(table[:, 0], table[:, 1:5], table[:, 5], table[:, 6], table[:, 7])


def _glottal_pulses(voice: _Voice, rng: np.random.Generator, seconds: float, frames: int, rate: int) -> Wave:
    """Pulses of equal power at a pitch with accents, falling over the utterance, low-passed and radiated."""
    step = round(_CONTROL_S * rate)
    accents = max(4, int(2 * seconds))
    bend = np.linspace(0.12, -0.15, accents) + 0.12 * rng.standard_normal(accents)
    contour = _glide(voice.pitch_hz * np.exp(bend), np.linspace(0, seconds, accents), frames)
    pitch = np.repeat(contour * (1 + voice.jitter * rng.standard_normal(frames)), step)
    pulses = np.diff(np.floor(np.cumsum(pitch / rate)), prepend=0.0) * np.sqrt(rate / pitch)
    return signal.lfilter([1.0, -0.98], [1.0, -voice.tilt], pulses)


def _glide(values: Wave, times_s: Wave, frames: int) -> Wave:
    """Values along straight lines, one every 10 ms, smoothed over 30 ms."""
    line = np.interp(np.arange(frames) * _CONTROL_S, times_s, values)
    return np.convolve(np.pad(line, 1, mode="edge"), [0.25, 0.5, 0.25], mode="valid")


def _resonate(source: Wave, centres_hz: Wave, bandwidth_hz: float, rate: int) -> Wave:
    """A two-pole resonator whose frequency changes every 10 ms."""
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


def _strings(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> Wave:
    """A melody of plucked strings (Karplus-Strong), with chords on some beats."""
    root_hz = 55 * 2 ** (character.integers(0, 25) / 12)
    decay_s = character.uniform(0.6, 2.5)
    brightness = character.uniform(0.1, 0.9)
    pluck = character.uniform(0.1, 0.45)
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
        length = min(len(out) - first, int(min(3 * decay_s, 2.0) * rate))
        for note in chord:
            hz = root_hz * 2 ** (scale[note] / 12)
            out[first : first + length] += _pluck(rng, hz, decay_s, brightness, pluck, length, rate)
    return out


def _pluck(
    rng: np.random.Generator,
    hz: float,
    decay_s: float,
    brightness: float,
    pluck: float,
    length: int,
    rate: int,
) -> Wave:
    """One string: a burst of noise in a delay line that averages neighbours at every turn, as one linear
    filter.
    """
    period = rate / hz
    # Averaging takes half a sample of the turn; the rest of the fraction is linear interpolation.
    whole = int(period - 0.5)
    fraction = period - 0.5 - whole
    keep = 10 ** (-3 / (hz * decay_s))
    feedback = np.zeros(whole + 3)
    feedback[whole : whole + 3] = keep * np.convolve([0.5, 0.5], [1 - fraction, fraction])
    burst = signal.lfilter([brightness], [1.0, brightness - 1], rng.uniform(-1, 1, whole))
    # Where the string is plucked, its harmonics with a node there are missing.
    offset = max(1, int(pluck * whole))
    excitation = np.zeros(length)
    shaped = np.concatenate([burst, np.zeros(offset)]) - np.concatenate([np.zeros(offset), burst])
    excitation[: min(length, len(shaped))] = shaped[:length]
    denominator = np.concatenate([[1.0], -feedback[1:]])
    tone = signal.lfilter([1.0], denominator, excitation)
    fade = np.minimum(1.0, np.arange(length)[::-1] / (0.01 * rate))
    return tone * fade * rng.uniform(0.5, 1.0) / max(np.abs(tone).max(), 1e-9)


def _drums(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> Wave:
    """A kick, a snare and a hi-hat in a pattern of sixteen steps."""
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


def _noise(character: np.random.Generator, rng: np.random.Generator, seconds: float, rate: int) -> Wave:
    """Coloured noise that swells, with crackle: rain, wind, machines."""
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


_MAKERS: dict[str, Callable[[np.random.Generator, np.random.Generator, float, int], Wave]] = {
    "voice": _voice, "strings": _strings, "drums": _drums, "noise": _noise,
}  # fmt: skip
