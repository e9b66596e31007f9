"""Means over the clips of an evaluation: with intervals, bit rates, and counts of clips that could not be judged."""

from collections.abc import Iterable, Mapping, Sequence

from eval.evaluation.results import ClipResult, Halves, Row
from eval.metrics.confidence import Estimate, GroupedValues, estimate, estimate_gap, reported
from eval.metrics.registry import METRICS, Score, metric

IN_DISTRIBUTION, OUT_OF_DISTRIBUTION = "in distribution", "out of distribution"


def build_rows(clips: Sequence[ClipResult]) -> list[Row]:
    """Summarise clips in distribution, out of distribution, and by domain if there are several.

    Args:
        clips: clips of one system.

    Returns:
        Rows that have clips, in this order.
    """
    inside = [clip for clip in clips if clip.in_distribution]
    outside = [clip for clip in clips if not clip.in_distribution]
    domains = sorted({clip.domain for clip in clips})
    parts = [(IN_DISTRIBUTION, inside), (OUT_OF_DISTRIBUTION, outside)]
    if len(domains) > 1:
        parts += [(name or "unstated", [clip for clip in clips if clip.domain == name]) for name in domains]
    return [_row(name, some) for name, some in parts if some]


def _row(name: str, clips: Sequence[ClipResult]) -> Row:
    failed: dict[str, dict[str, int]] = {}
    undefined: dict[str, dict[str, int]] = {}
    for clip in clips:
        for key, score in clip.scores.items():
            if score.failed or score.undefined:
                reasons = (failed if score.failed else undefined).setdefault(key, {})
                reasons[score.reason] = reasons.get(score.reason, 0) + 1
    return Row(
        name=name,
        clips=len(clips),
        groups=len({clip.group for clip in clips}),
        seconds=sum(clip.seconds for clip in clips),
        kbps=real_kbps(clips),
        container_kbps=_kbps(clips, [clip.container_bytes for clip in clips]),
        metrics=_estimate_metrics([(clip.scores, clip.group) for clip in clips]),
        baseline=_estimate_metrics([(clip.baseline, clip.group) for clip in clips]),
        failed=failed,
        undefined=undefined,
    )


def real_kbps(clips: Sequence[ClipResult]) -> float | None:
    """Compute the bit rate of clips: bits of all over seconds of all.

    Args:
        clips: clips of one system.

    Returns:
        The bit rate in kbit/s; None if the bits of a clip are unknown.
    """
    return _kbps(clips, [clip.bytes for clip in clips])


def _kbps(clips: Sequence[ClipResult], sizes: Sequence[int | None]) -> float | None:
    known = [size for size in sizes if size is not None]
    return 8 * sum(known) / sum(clip.seconds for clip in clips) / 1000 if len(known) == len(sizes) > 0 else None


def _estimate_metrics(scores: Sequence[tuple[Mapping[str, Score], str]]) -> dict[str, Estimate]:
    found = {}
    for entry in METRICS:
        result = estimate_scores(entry.name, ((values.get(entry.name), group) for values, group in scores))
        if result:
            found[entry.name] = result
    return found


def estimate_scores(name: str, scores: Iterable[tuple[Score | None, str]]) -> Estimate | None:
    """Estimate the weighted mean of the scores that are defined, with its interval over groups.

    Args:
        name: name of the metric.
        scores: scores, each with the group of its clip.

    Returns:
        The estimate; None if no score is defined.
    """
    judged = _defined(scores)
    found = estimate(judged.values, judged.groups, judged.weights)
    return None if found is None else reported(found, is_distance=metric(name).is_distance)


def _defined(scores: Iterable[tuple[Score | None, str]]) -> GroupedValues:
    values, groups, weights = [], [], []
    for score, group in scores:
        if score is not None and score.value is not None:
            values.append(score.value)
            groups.append(group)
            weights.append(score.weight)
    return GroupedValues(values, groups, weights)


def compare_halves(reporting: Sequence[ClipResult], selecting: Sequence[ClipResult]) -> Halves | None:
    """Compare the two halves of the validation groups, on clips in distribution, or on all if there are none.

    Args:
        reporting: clips of the half for the report.
        selecting: clips of the half for model selection.

    Returns:
        The halves; None if there are no such clips for model selection.
    """
    name = build_rows(reporting)[0].name
    row = next((row for row in build_rows(selecting) if row.name == name), None)
    if row is None:
        return None
    inside = name == IN_DISTRIBUTION
    here, there = ([clip for clip in clips if clip.in_distribution == inside] for clips in (reporting, selecting))
    gaps = {entry.name: _gap(here, there, entry.name) for entry in METRICS}
    return Halves(row, {name: value for name, value in gaps.items() if value is not None})


def _gap(reporting: Sequence[ClipResult], selecting: Sequence[ClipResult], name: str) -> Estimate | None:
    here, there = (_defined((clip.scores.get(name), clip.group) for clip in clips) for clips in (reporting, selecting))
    return estimate_gap(here, there)
