"""Evaluations of several models on the same clips: the differences from the first one, clip by clip."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from eval.metrics.confidence import SIGNIFICANCE, PairedDifference, holm, paired_difference, reported
from eval.metrics.registry import METRICS, Score, metric


@dataclass(frozen=True)
class ScoredClip:
    """A clip of an evaluation."""

    clip_id: str
    group: str
    scores: dict[str, Score]


@dataclass(frozen=True)
class ScoredClips:
    """The part of a ``results.json`` that is compared, see :class:`eval.evaluation.results.EvaluationResult`."""

    split: str
    operating_point: str
    kbps: float
    clips: list[ScoredClip]


@dataclass(frozen=True)
class MetricDifference:
    """Difference of a model from the first one by a metric, clip by clip."""

    name: str
    """Name of the model."""
    metric: str
    mean: float
    """Mean of the model itself over the clips that both have."""
    difference: PairedDifference
    sign: int
    """1 if the model is significantly better, -1 if worse, 0 if neither; corrected for all comparisons of the page."""


@dataclass(frozen=True)
class EvaluatedTogether:
    """The evaluations of all models on clips that they share."""

    split: str
    points: dict[str, str]
    """Model to its operating point and bit rate."""
    clips: int
    groups: int
    differences: list[MetricDifference]


def compare_evaluations(evaluations: Mapping[str, ScoredClips]) -> EvaluatedTogether | None:
    """Compare each model with the first one on the clips that all were evaluated on.

    Args:
        evaluations: name of each model to its evaluation, at least two.

    Returns:
        The differences; None if the evaluations share no clip.
    """
    clips = {name: {clip.clip_id: clip for clip in each.clips} for name, each in evaluations.items()}
    first, *others = evaluations
    shared = [clip for clip in clips[first] if all(clip in each for each in clips.values())]
    if not shared:
        return None
    groups = {clip: clips[first][clip].group for clip in shared}
    pairs = []
    for entry in METRICS:
        reference = _values(clips[first], shared, entry.name)
        weights = {clip: clips[first][clip].scores[entry.name].weight for clip in reference}
        for name in others:
            values = _values(clips[name], shared, entry.name)
            both = [value for clip, value in values.items() if clip in reference]
            if (found := paired_difference(values, reference, groups, weights)) is not None:
                pairs.append((name, entry, sum(both) / len(both), found))
    adjusted = holm([found.p for *_, found in pairs])
    differences = [
        MetricDifference(name, entry.name, mean, reported(found, is_distance=False), _sign(entry.sign * found.mean, p))
        for (name, entry, mean, found), p in zip(pairs, adjusted)
    ]
    points = {name: f"{each.operating_point}, {each.kbps:.2f} kbit/s" for name, each in evaluations.items()}
    split = next(iter(evaluations.values())).split
    return EvaluatedTogether(split, points, len(shared), len(set(groups.values())), differences)


def describe_evaluations(evaluated: EvaluatedTogether) -> str:
    """Say in one sentence how the models compare.

    Args:
        evaluated: their evaluations on common clips.

    Returns:
        The verdict.
    """
    first, *others = evaluated.points
    clips = f"on {evaluated.clips} clips of {evaluated.groups} groups"
    parts = []
    for name in others:
        for sign, word in ((1, "better"), (-1, "worse")):
            found = [one for one in evaluated.differences if one.name == name and one.sign == sign]
            labels = ", ".join(metric(one.metric).label for one in found)
            parts += [f"{name} is significantly {word} than {first} by {labels}"] if labels else []
    if parts:
        return f"{'; '.join(parts)}, {clips}."
    if all(one.difference.p is None for one in evaluated.differences):
        return f"No difference from {first} can be tested, {clips}: a test needs several groups."
    return f"By no metric does another model differ significantly from {first}, {clips}."


def _values(clips: Mapping[str, ScoredClip], shared: Iterable[str], name: str) -> dict[str, float]:
    found = {clip: clips[clip].scores.get(name) for clip in shared}
    return {clip: score.value for clip, score in found.items() if score is not None and score.value is not None}


def _sign(better: float, p: float | None) -> int:
    return 0 if p is None or p > SIGNIFICANCE else 1 if better > 0 else -1
