"""Rate–distortion points and differences: quality over bit rate for every system, operating point, domain and metric,
and our difference to each of the other systems, clip by clip, at the nearest bit rate.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Literal

from eval.evaluation.results import ClipResult, Difference, RatePoint
from eval.evaluation.rows import estimate_scores, real_kbps
from eval.metrics.confidence import SIGNIFICANCE, holm, paired_difference, reported
from eval.metrics.registry import METRICS, metric
from eval.systems.system import System

ALL = "all"
"""Stands for clips of any domain."""


@dataclass(frozen=True)
class SystemClips:
    """The clips of a report, coded by one system; all systems have the same clips in the same order."""

    system: System
    clips: list[ClipResult]


@dataclass(frozen=True)
class _Subset:
    """Clips that are averaged together, by their indices."""

    domain: str
    distribution: Literal["in", "out"]
    indices: list[int]

    def of(self, system: SystemClips) -> list[ClipResult]:
        return [system.clips[index] for index in self.indices]


def _subsets(clips: Sequence[ClipResult]) -> list[_Subset]:
    """Return the clips in and those out of distribution, which are never averaged together: as a whole, by domain."""
    found = []
    for inside in (True, False):
        some = [index for index, clip in enumerate(clips) if clip.in_distribution == inside]
        for domain in (ALL, *sorted({clips[index].domain for index in some})):
            if indices := [index for index in some if domain in (ALL, clips[index].domain)]:
                found.append(_Subset(domain or "unstated", "in" if inside else "out", indices))
    return found


def rate_points(systems: Sequence[SystemClips]) -> list[RatePoint]:
    """Compute the points of the rate–distortion curves.

    Args:
        systems: systems with the same clips.

    Returns:
        A point for each system, subset of the clips and metric that has a value.
    """
    return [
        point
        for system in systems
        for subset in _subsets(system.clips)
        for entry in METRICS
        if (point := _point(system.system, subset, subset.of(system), entry.name)) is not None
    ]


def _point(system: System, subset: _Subset, clips: Sequence[ClipResult], name: str) -> RatePoint | None:
    value = estimate_scores(name, ((clip.scores.get(name), clip.group) for clip in clips))
    if value is None:
        return None
    return RatePoint(
        system=system.name,
        point=system.point,
        domain=subset.domain,
        distribution=subset.distribution,
        metric=name,
        kbps=real_kbps(clips),
        **asdict(value),
        failed=sum(clip.scores[name].failed for clip in clips if name in clip.scores),
    )


def differences(ours: Sequence[SystemClips], others: Sequence[SystemClips]) -> list[Difference]:
    """Compare each of the other systems with our operating point of the nearest bit rate.

    All comparisons on the same clips, of every system by every metric, are corrected for their number together. The
    audio before coding is no rival, and is left out.

    Args:
        ours: our model at its operating points; with a system of unknown bit rate, the first is compared.
        others: the other systems.

    Returns:
        The differences, one for each system, subset of the clips and metric that both have.
    """
    found: dict[tuple[str, str], list[Difference]] = {}
    for other in others:
        if other.system.kind == "original":
            continue
        own = _nearest(ours, other)
        for subset in _subsets(own.clips):
            for entry in METRICS:
                value = _difference(own, other, subset, entry.name)
                if value is not None:
                    found.setdefault((subset.domain, subset.distribution), []).append(value)
    return [entry for some in found.values() for entry in _correct(some)]


def own_differences(ours: Sequence[SystemClips]) -> list[Difference]:
    """Compare each operating point of our model with the next one of a lower bit rate.

    These comparisons are corrected for their number by themselves.

    Args:
        ours: our model at its operating points.

    Returns:
        The differences, one for each pair, subset of the clips and metric; the lower point stands for the other system.
    """
    rated = sorted((one for one in ours if real_kbps(one.clips)), key=lambda one: real_kbps(one.clips) or 0.0)
    found: dict[tuple[str, str], list[Difference]] = {}
    for lower, higher in pairwise(rated):
        for subset in _subsets(higher.clips):
            for entry in METRICS:
                value = _difference(higher, lower, subset, entry.name)
                if value is not None:
                    found.setdefault((subset.domain, subset.distribution), []).append(value)
    return [entry for some in found.values() for entry in _correct(some)]


def _difference(own: SystemClips, other: SystemClips, subset: _Subset, name: str) -> Difference | None:
    mine, theirs = subset.of(own), subset.of(other)
    groups = {clip.clip_id: clip.group for clip in mine}
    weights = {clip.clip_id: clip.scores[name].weight for clip in mine if name in clip.scores}
    value = paired_difference(_values(mine, name), _values(theirs, name), groups, weights)
    if value is None:
        return None
    return Difference(
        ours=own.system.point,
        our_kbps=real_kbps(mine),
        system=other.system.name,
        point=other.system.point,
        kbps=real_kbps(theirs),
        domain=subset.domain,
        distribution=subset.distribution,
        metric=name,
        **asdict(reported(value, is_distance=False)),
        p_holm=None,
        comparisons=0,
        better="",
    )


def _correct(some: Sequence[Difference]) -> list[Difference]:
    """Correct the p values of all comparisons on the same clips for their number."""
    adjusted = holm([entry.p for entry in some])
    comparisons = sum(p is not None for p in adjusted)
    return [
        replace(entry, p_holm=p, comparisons=comparisons, better=_better(entry, p)) for entry, p in zip(some, adjusted)
    ]


def _nearest(ours: Sequence[SystemClips], other: SystemClips) -> SystemClips:
    wanted = real_kbps(other.clips)

    def distance(system: SystemClips) -> float:
        kbps = real_kbps(system.clips)
        return abs(math.log(kbps / wanted)) if kbps and wanted else 0.0

    return min(ours, key=distance)


def _values(clips: Sequence[ClipResult], name: str) -> Mapping[str, float | None]:
    return {clip.clip_id: score.value for clip in clips if (score := clip.scores.get(name)) is not None}


def _better(difference: Difference, p: float | None) -> Literal["ours", "theirs", ""]:
    if p is None or p > SIGNIFICANCE:
        return ""
    return "ours" if metric(difference.metric).is_gain(difference.mean) else "theirs"
