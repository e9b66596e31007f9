"""What the report lets one hear and see: which clips, in which views, with which sounds and pictures."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from codec import audio
from eval.evaluation.results import ClipResult
from eval.metrics.programme_loudness import matching_gains
from eval.metrics.registry import METRICS
from eval.pages.spectrograms import data_address, spectrogram_triple
from eval.systems.own import CodedClip

SHORTEST_S, LONGEST_S = 4.0, 8.0
"""Of an excerpt, the beginning of its clip."""
MOST_BYTES = 9_000_000
"""Of all sounds in the page. Where many clips are to be heard excerpts are shorter, and then views are fewer."""
BYTES_PER_SAMPLE = 1.6
"""Of FLAC at 16 bits, as text; about."""


@dataclass(frozen=True)
class View:
    """A choice of clips: ``ranks`` says of each, by its place among all clips, what it is here. ``name``: of a metric,
    or "domains"."""

    name: str
    label: str
    ranks: dict[int, str]


@dataclass(frozen=True)
class Sound:
    """``address``: FLAC, in itself. ``gain``: plays it as loud as the original."""

    label: str
    address: str
    gain: float


@dataclass(frozen=True)
class Example:
    """A clip, ``place`` among all, with its ``sounds``: the original first, then ours, then others; ``pictures``:
    original, ours, and the difference. ``ranks``: what it is in each view, by the view's label."""

    place: int
    clip: ClipResult
    ranks: dict[str, str]
    seconds: float
    sounds: list[Sound]
    pictures: list[str]


def views(clips: Sequence[ClipResult]) -> list[View]:
    """Best, median and worst by each metric; and the median of each domain by mel distance, where there are several."""
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
    """Places of the clips that have a value, the lowest first."""
    values = {i: score.value for i, clip in enumerate(clips) if (score := clip.scores.get(name)) is not None}
    known = {i: value for i, value in values.items() if value is not None}
    return sorted(known, key=lambda i: known[i])


@dataclass(frozen=True)
class Listening:
    views: list[View]
    examples: list[Example]


def listening(
    clips: Sequence[ClipResult], coded: Sequence[CodedClip], beside: Mapping[str, Sequence[CodedClip]]
) -> Listening:
    """``coded``: the same clips; ``beside``: label of another codec, and the same clips by it."""
    offered = views(clips)
    if not offered:
        return Listening([], [])
    first = audio.read(coded[0].original)
    per_second = BYTES_PER_SAMPLE * first.sample_rate * len(first.samples) * (2 + len(beside))
    most = int(MOST_BYTES / (SHORTEST_S * per_second))
    shown: dict[int, None] = {}
    kept: list[View] = []
    for view in offered:
        if not kept or len(shown | dict.fromkeys(view.ranks)) <= most:
            shown |= dict.fromkeys(view.ranks)
            kept.append(view)
    seconds = min(LONGEST_S, max(SHORTEST_S, MOST_BYTES / (len(shown) * per_second)))
    examples = [
        _example(
            i,
            clips[i],
            {view.label: view.ranks[i] for view in kept if i in view.ranks},
            {"Original": coded[i].original, "Ours": coded[i].decoded}
            | {label: entries[i].decoded for label, entries in beside.items()},
            seconds,
        )
        for i in shown
    ]
    return Listening(kept, examples)


def _example(place: int, clip: ClipResult, ranks: dict[str, str], paths: Mapping[str, Path], seconds: float) -> Example:
    read = [audio.read(path) for path in paths.values()]
    rate = read[0].sample_rate
    waves = [sound.samples[:, : int(seconds * rate)] for sound in read]
    gains = matching_gains(waves, rate)
    return Example(
        place,
        clip,
        ranks,
        waves[0].shape[1] / rate,
        [Sound(label, _flac(wave, rate), gain) for label, wave, gain in zip(paths, waves, gains)],
        spectrogram_triple(waves[0], waves[1], rate),
    )


def _flac(wave: audio.FloatArray, sample_rate: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sound.flac"
        audio.write(path, wave, sample_rate)
        return data_address("audio/flac", path.read_bytes())
