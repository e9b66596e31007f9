"""Procedural corpus: synthetic voices, plucked strings, drums and noise textures.

With it everything can be tried without recordings. Every speaker, instrument, drum kit and texture is a group, and the
samples are a function of the seed.
"""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codec import audio
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.progress import ProgressBar
from data_prep.synthetic_sounds import synthesise_drums, synthesise_noise, synthesise_strings
from data_prep.synthetic_voices import synthesise_voice

_Synthesiser = Callable[[np.random.Generator, np.random.Generator, float, int], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class _Family:
    """A kind of sound, which is a domain of the corpus."""

    synthesise: _Synthesiser
    share: float
    """Share of the minutes."""
    groups: int
    """Largest number of groups; with few minutes every clip is a group of its own."""


_FAMILIES = {
    "voice": _Family(synthesise_voice, 0.7, 80),
    "strings": _Family(synthesise_strings, 0.14, 16),
    "drums": _Family(synthesise_drums, 0.08, 10),
    "noise": _Family(synthesise_noise, 0.08, 10),
}
"""Families by their domain. Their order is part of the seed."""
_MEAN_SECONDS = 4.25
_HISS_DBFS = -75
"""Level of the hiss of a quiet room: recordings have no digital silence."""


@dataclass(frozen=True)
class _PlannedClip:
    domain: str
    group: int
    """Number of the group within the domain."""
    clip: int
    """Number of the clip within the group."""

    @property
    def name(self) -> str:
        return f"{self.domain}{self.group:02d}"

    @property
    def path(self) -> Path:
        return Path(self.domain, self.name, f"{self.name}_{self.clip}.flac")


def synthesise_corpus(out: Path, *, seed: int = 0, minutes: float = 8.0, sample_rate: int = 16000) -> Path:
    """Write the corpus: ``out/<domain>/<group>/<clip>.flac`` and ``out/manifest.csv``.

    Clips are 3 to 8 s long, mono, with 16 bits. A folder that is complete for the same arguments is left as it is.

    Args:
        out: folder to write.
        seed: seed of all samples.
        minutes: duration of the corpus, about; 70 % of it are voices.
        sample_rate: sample rate in Hz, 8000 or more.

    Returns:
        The folder.

    Raises:
        UserError: an argument is out of range, or the folder cannot be written.
    """
    if minutes <= 0 or sample_rate < 8000:
        raise UserError(f"cannot synthesise {minutes:g} min at {sample_rate} Hz; use more than 0 min, 8000 Hz or more")
    make_folder(out)
    stamp = out / "corpus.txt"
    arguments = f"seed {seed}, {minutes:g} minutes, {sample_rate} Hz, version 1\n"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == arguments:
        return out
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["path", "domain", "source", "group", "seconds"])
    for clip in ProgressBar(_plan_clips(minutes), desc="synthesis", unit="clip"):
        samples = _synthesise_clip(clip, seed, sample_rate)
        make_folder((out / clip.path).parent)
        audio.write(out / clip.path, samples[None].astype(np.float32), sample_rate)
        seconds = f"{len(samples) / sample_rate:.3f}"
        table.writerow([clip.path.as_posix(), clip.domain, "synthetic", clip.name, seconds])
    write_text(out / "manifest.csv", text.getvalue())
    write_text(stamp, arguments)
    return out


def _plan_clips(minutes: float) -> list[_PlannedClip]:
    """Return the clips of a corpus of about this duration. Every group has one clip before any has two."""
    clips = []
    for domain, family in _FAMILIES.items():
        count = max(1, round(60 * minutes * family.share / _MEAN_SECONDS))
        clips += [_PlannedClip(domain, number % family.groups, number // family.groups) for number in range(count)]
    return clips


def _synthesise_clip(clip: _PlannedClip, seed: int, sample_rate: int) -> npt.NDArray[np.float64]:
    domain_key = list(_FAMILIES).index(clip.domain)
    character = np.random.default_rng([seed, domain_key, clip.group])
    rng = np.random.default_rng([seed, domain_key, clip.group, 1 + clip.clip])
    seconds = 3.0 + 5.0 * rng.random() ** 3
    samples = _FAMILIES[clip.domain].synthesise(character, rng, seconds, sample_rate)
    level = 10 ** (rng.uniform(-27, -19) / 20)
    samples *= min(level / np.sqrt(np.mean(samples**2)), 0.95 / np.abs(samples).max())
    return samples + rng.standard_normal(len(samples)) * 10 ** (_HISS_DBFS / 20)
