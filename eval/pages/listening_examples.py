"""Listening examples of a report: the choice of clips, their audio and their spectrograms."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec import audio
from eval.evaluation.results import ClipResult
from eval.metrics.programme_loudness import matching_gains
from eval.metrics.registry import METRICS
from eval.pages.players import ORIGINAL, AudioVersion
from eval.pages.spectrograms import data_url, spectrogram_images
from eval.systems.own import CodedClip

_SHORTEST_S, _LONGEST_S = 4.0, 8.0
"""Length of an excerpt, the beginning of its clip."""
_MAX_BYTES = 9_000_000
"""Maximum size of all audio in the page. For many clips, excerpts are shortened first, then views are left out."""
_BYTES_PER_SAMPLE = 1.6
"""About the size of FLAC at 16 bits in base64."""


@dataclass(frozen=True)
class View:
    """A choice of clips."""

    name: str
    """Name of a metric, or "domains"."""
    label: str
    ranks: dict[int, str]
    """Index of a clip to its rank in this view, such as "best"."""


@dataclass(frozen=True)
class ListeningExample:
    """A clip that can be listened to."""

    place: int
    """Index among all clips."""
    clip: ClipResult
    ranks: dict[str, str]
    """Label of a view to the rank of the clip in it."""
    seconds: float
    versions: list[AudioVersion]
    """The original, ours, and those of the other systems."""
    pictures: list[str]
    """Spectrograms of the original, of ours, and of the difference, as ``data:`` URLs."""


def views(clips: Sequence[ClipResult]) -> list[View]:
    """Choose the best, median and worst clip by each metric, and the median of each domain by mel distance.

    Args:
        clips: clips of the report.

    Returns:
        A view for each metric; and one for the domains, if there are several.
    """
    found = []
    for entry in METRICS:
        order = _order(clips, entry.name)[:: -entry.sign]
        if order:
            ranks = {order[len(order) // 2]: "median"} | {order[-1]: "worst"} | {order[0]: "best"}
            found.append(View(entry.name, entry.label, {i: ranks[i] for i in order if i in ranks}))
    domains = sorted({clip.domain for clip in clips})
    if len(domains) > 1:
        order = _order(clips, "mel")
        its = {domain: [i for i in order if clips[i].domain == domain] for domain in domains}
        ranks = {some[len(some) // 2]: domain or "unstated" for domain, some in its.items() if some}
        found.insert(1, View("domains", "one of each domain", ranks))
    return found


def _order(clips: Sequence[ClipResult], name: str) -> list[int]:
    """Return the indices of the clips that have a value, the lowest first."""
    values = {i: score.value for i, clip in enumerate(clips) if (score := clip.scores.get(name)) is not None}
    known = {i: value for i, value in values.items() if value is not None}
    return sorted(known, key=lambda i: known[i])


@dataclass(frozen=True)
class ListeningExamples:
    """All listening examples of a report."""

    views: list[View]
    examples: list[ListeningExample]


def choose_listening_examples(
    clips: Sequence[ClipResult], systems: Mapping[str, Sequence[CodedClip]]
) -> ListeningExamples:
    """Choose clips to listen to, and embed their audio.

    Args:
        clips: clips of the report.
        systems: label of a system to the same clips by it; the model of the report first.

    Returns:
        The views, and the clips that are in them.
    """
    offered = views(clips)
    if not offered:
        return ListeningExamples([], [])
    coded = next(iter(systems.values()))
    first = audio.read(coded[0].original)
    per_second = _BYTES_PER_SAMPLE * first.sample_rate * len(first.samples) * (1 + len(systems))
    most = int(_MAX_BYTES / (_SHORTEST_S * per_second))
    shown: dict[int, None] = {}
    kept: list[View] = []
    for view in offered:
        if not kept or len(shown | dict.fromkeys(view.ranks)) <= most:
            shown |= dict.fromkeys(view.ranks)
            kept.append(view)
    seconds = min(_LONGEST_S, max(_SHORTEST_S, _MAX_BYTES / (len(shown) * per_second)))
    examples = [
        _example(
            i,
            clips[i],
            {view.label: view.ranks[i] for view in kept if i in view.ranks},
            {ORIGINAL: coded[i].original} | {label: entries[i].decoded for label, entries in systems.items()},
            seconds,
        )
        for i in shown
    ]
    return ListeningExamples(kept, examples)


def _example(
    place: int, clip: ClipResult, ranks: dict[str, str], paths: Mapping[str, Path], seconds: float
) -> ListeningExample:
    read = [audio.read(path) for path in paths.values()]
    rate = read[0].sample_rate
    waves = [version.samples[:, : int(seconds * rate)] for version in read]
    gains = matching_gains(waves, rate)
    return ListeningExample(
        place,
        clip,
        ranks,
        waves[0].shape[1] / rate,
        [AudioVersion(label, _flac(wave, rate), gain) for label, wave, gain in zip(paths, waves, gains)],
        spectrogram_images(waves[0], waves[1], rate),
    )


def _flac(wave: audio.FloatArray, sample_rate: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.flac"
        audio.write(path, wave, sample_rate)
        return data_url("audio/flac", path.read_bytes())
