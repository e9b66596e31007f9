"""Results of a comparison as dataclasses; ``comparison.json`` holds exactly these fields."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from eval.evaluation.candidate_scoring import COMPARISON_METRICS
from eval.evaluation.codec_scores import CodecScores, average_seeds, count_failed_clips, mean_over_clips
from eval.metrics.confidence import (
    Estimate,
    PairedDifference,
    estimate,
    paired_difference,
    reported,
    significant_signs,
)
from eval.metrics.registry import metric
from eval.systems.complexity import Complexity


@dataclass(frozen=True)
class TrainedRun:
    """A finished training and its scores."""

    folder: Path
    seed: int
    steps: int
    audio_s: float
    """Seconds of audio that it has learnt from."""
    minutes: float
    stopped: str
    """Reason why the training ended."""
    best_step: int
    judged: list[CodecScores]
    """Scores at each bit rate of the plan."""
    bounds: list[CodecScores]
    """Scores at the bounds of the model; none for peers."""


@dataclass(frozen=True)
class CandidateResult:
    """A candidate with its finished runs."""

    name: str
    architecture: str
    width: int | None
    quantizer: str | None
    cost: Complexity | None
    losses: list[str]
    """Losses that it was trained on."""
    state: str
    """Reason why there are no runs, or fewer than planned; empty if all are there."""
    runs: list[TrainedRun]


@dataclass(frozen=True)
class MetricCell:
    """A metric of one candidate at one bit rate; each clip's value is its mean over the seeds."""

    value: Estimate | None
    difference: PairedDifference | None
    """Difference to the first candidate, paired by clip."""
    trained_on: bool
    """True if the metric is a training loss of this candidate."""
    failed: int
    """Number of clips that failed with any seed, and so had the metric's worst value."""
    undefined: int
    """Number of clips for which the metric is not defined, the same for all candidates."""
    sign: int = 0
    """1 if the difference is significantly above 0, -1 if below, corrected for all comparisons at that bit rate."""


@dataclass(frozen=True)
class RateRow:
    """A candidate at one bit rate."""

    candidate: str
    asked_kbps: float
    codebooks: int
    nominal_kbps: float
    kbps: float
    """Cross entropy of the codes, averaged over the runs."""
    metrics: dict[str, MetricCell]
    seeds: dict[int, dict[str, float]]
    """Seed to metric to mean."""


@dataclass(frozen=True)
class BoundRow:
    """A bound of the quality of a candidate, which has no bit rate."""

    candidate: str
    bound: str
    """Its name, see :mod:`eval.systems.bounds`."""
    metrics: dict[str, Estimate]
    """Each clip's value is its mean over the seeds."""


@dataclass(frozen=True)
class ComparisonResult:
    """All results of a comparison."""

    title: str
    command: str
    """Makes this comparison again, or goes on with it."""
    made: str
    budget: str
    data: str
    clips: int
    groups: int
    candidates_on_validation: int
    candidates: list[CandidateResult]
    rates: list[RateRow]
    bounds: list[BoundRow]
    absent_metrics: dict[str, str]
    """Metric to the reason why it could not be computed."""
    failed: bool
    """True if a training ended in an error."""

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a dictionary for JSON.

        Returns:
            Field to value; :class:`~pathlib.Path` and others are left to the encoder.
        """
        return asdict(self)


def compare_rates(candidates: Sequence[CandidateResult], rates: Sequence[float]) -> list[RateRow]:
    """Compare the candidates at each bit rate with the first of them.

    Args:
        candidates: candidates in the order of the plan; those without a run have no rows.
        rates: bit rates at which every run was scored.

    Returns:
        Rows, bit rate by bit rate.
    """
    rows = []
    for index, asked in enumerate(rates):
        scores = {one.name: [run.judged[index] for run in one.runs] for one in candidates}
        reference = scores[candidates[0].name]
        at_rate = [
            RateRow(
                candidate=one.name,
                asked_kbps=asked,
                codebooks=scores[one.name][0].codebooks,
                nominal_kbps=scores[one.name][0].nominal_kbps,
                kbps=sum(found.kbps for found in scores[one.name]) / len(one.runs),
                metrics=_make_cells(scores[one.name], reference if one is not candidates[0] else [], one.losses),
                seeds={run.seed: _average_metrics(run.judged[index]) for run in one.runs},
            )
            for one in candidates
            if one.runs
        ]
        rows += _mark_significant(at_rate)
    return rows


def list_bounds(candidates: Sequence[CandidateResult]) -> list[BoundRow]:
    """List the bounds of the candidates. They are compared with nothing.

    Args:
        candidates: candidates in the order of the plan.

    Returns:
        Rows, candidate by candidate.
    """
    return [
        BoundRow(
            one.name, bound, _estimate_metrics([each for run in one.runs for each in run.bounds if each.bound == bound])
        )
        for one in candidates
        for bound in dict.fromkeys(each.bound for run in one.runs for each in run.bounds)
    ]


def _estimate_metrics(scores: Sequence[CodecScores]) -> dict[str, Estimate]:
    cells = _make_cells(scores, [], [])
    return {name: cell.value for name, cell in cells.items() if cell.value is not None}


def _make_cells(
    scores: Sequence[CodecScores], reference: Sequence[CodecScores], losses: Sequence[str]
) -> dict[str, MetricCell]:
    groups = {clip.clip_id: clip.group for clip in scores[0].clips}
    cells = {}
    for name in COMPARISON_METRICS:
        values = average_seeds(scores, name)
        defined = {clip: value for clip, value in values.items() if value is not None}
        if values:
            mean = estimate(list(defined.values()), [groups[clip] for clip in defined])
            difference = paired_difference(values, average_seeds(reference, name), groups)
            cells[name] = MetricCell(
                value=None if mean is None else reported(mean, is_distance=metric(name).is_distance),
                difference=None if difference is None else reported(difference, is_distance=False),
                trained_on=name in losses,
                failed=count_failed_clips(scores, name),
                undefined=len(values) - len(defined),
            )
    return cells


def _mark_significant(rows: Sequence[RateRow]) -> list[RateRow]:
    """Return the rows with the sign of each significant difference, corrected for the number of all of them."""
    compared = [cell.difference for row in rows for cell in row.metrics.values() if cell.difference is not None]
    signs = iter(significant_signs(compared))

    def mark(cells: Mapping[str, MetricCell]) -> dict[str, MetricCell]:
        return {
            name: cell if cell.difference is None else replace(cell, sign=next(signs)) for name, cell in cells.items()
        }

    return [replace(row, metrics=mark(row.metrics)) for row in rows]


def count_comparisons(rows: Sequence[RateRow]) -> int:
    """Count the differences that were tested.

    Args:
        rows: rows of one bit rate.

    Returns:
        Number of tests.
    """
    cells = [cell for row in rows for cell in row.metrics.values()]
    return sum(cell.difference is not None and cell.difference.p is not None for cell in cells)


def _average_metrics(scores: CodecScores) -> dict[str, float]:
    means = {name: mean_over_clips([scores], name) for name in COMPARISON_METRICS}
    return {name: mean for name, mean in means.items() if mean is not None}
