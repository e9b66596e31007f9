"""Quality over bit rate as a tidy table: a row per system, operating point, domain, distribution and metric. And how
far we are from each of the other systems, clip by clip, where the bit rates come nearest."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Literal

from eval.evaluation.results import ClipResult, Difference, RatePoint
from eval.evaluation.rows import estimate_scores, real_kbps
from eval.metrics.bootstrap import SIGNIFICANCE, holm, paired_difference
from eval.metrics.registry import METRICS, metric

ALL = "all"


@dataclass(frozen=True)
class System:
    """A codec at one operating point, and the clips of the report as it made them, in their order."""

    name: str
    point: str
    clips: list[ClipResult]


@dataclass(frozen=True)
class _Cell:
    """Clips that are averaged together, by their places."""

    domain: str
    distribution: Literal["in", "out"]
    places: list[int]

    def of(self, system: System) -> list[ClipResult]:
        return [system.clips[place] for place in self.places]


def _cells(clips: Sequence[ClipResult]) -> list[_Cell]:
    """What is in and what is out of distribution are never averaged together; each as a whole, then by domain."""
    found = []
    for inside in (True, False):
        some = [place for place, clip in enumerate(clips) if clip.in_distribution == inside]
        for domain in (ALL, *sorted({clips[place].domain for place in some})):
            if places := [place for place in some if domain in (ALL, clips[place].domain)]:
                found.append(_Cell(domain or "unstated", "in" if inside else "out", places))
    return found


def rate_points(systems: Sequence[System]) -> list[RatePoint]:
    """All systems judge the same clips."""
    found = []
    for system in systems:
        for cell in _cells(system.clips):
            clips = cell.of(system)
            kbps = real_kbps(clips)
            for entry in METRICS:
                value = estimate_scores((clip.scores.get(entry.name), clip.group) for clip in clips)
                if value is not None:
                    found.append(
                        RatePoint(
                            system.name,
                            system.point,
                            cell.domain,
                            cell.distribution,
                            entry.name,
                            kbps,
                            **asdict(value),
                            failed=sum(clip.scores[entry.name].failed for clip in clips if entry.name in clip.scores),
                        )
                    )
    return found


def differences(ours: Sequence[System], others: Sequence[System]) -> list[Difference]:
    """Compare each of ``others`` with whichever of ``ours`` is nearest in bit rate, or with the first if its own is
    unknown.

    All comparisons on the same clips, of every system by every metric, are corrected for their number together.
    """
    found: dict[tuple[str, str], list[Difference]] = {}
    for other in others:
        own = _nearest(ours, other)
        for cell in _cells(own.clips):
            mine, theirs = cell.of(own), cell.of(other)
            groups = {clip.clip_id: clip.group for clip in mine}
            for entry in METRICS:
                value = paired_difference(_values(mine, entry.name), _values(theirs, entry.name), groups)
                if value is not None:
                    found.setdefault((cell.domain, cell.distribution), []).append(
                        Difference(
                            ours=own.point,
                            our_kbps=real_kbps(mine),
                            system=other.name,
                            point=other.point,
                            kbps=real_kbps(theirs),
                            domain=cell.domain,
                            distribution=cell.distribution,
                            metric=entry.name,
                            **asdict(value),
                            p_holm=None,
                            comparisons=0,
                            better="",
                        )
                    )
    return [entry for some in found.values() for entry in _corrected(some)]


def _corrected(some: Sequence[Difference]) -> list[Difference]:
    adjusted = holm([entry.p for entry in some])
    comparisons = sum(p is not None for p in adjusted)
    return [
        replace(entry, p_holm=p, comparisons=comparisons, better=_better(entry, p)) for entry, p in zip(some, adjusted)
    ]


def _nearest(ours: Sequence[System], other: System) -> System:
    wanted = real_kbps(other.clips)

    def distance(system: System) -> float:
        kbps = real_kbps(system.clips)
        return abs(math.log(kbps / wanted)) if kbps and wanted else 0.0

    return min(ours, key=distance)


def _values(clips: Sequence[ClipResult], name: str) -> dict[str, float | None]:
    return {clip.clip_id: score.value for clip in clips if (score := clip.scores.get(name)) is not None}


def _better(difference: Difference, p: float | None) -> Literal["ours", "theirs", ""]:
    if p is None or p > SIGNIFICANCE:
        return ""
    return "ours" if (difference.mean < 0) == (metric(difference.metric).better == "lower") else "theirs"
