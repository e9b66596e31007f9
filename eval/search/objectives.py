"""The four objectives of a search as costs: quality, bit rate, encode and decode speed."""

import math

from eval.benchmarks.coding_speed import TimingQuantiles
from eval.evaluation.codec_scores import CodecScores, mean_over_clips
from eval.metrics.registry import metric
from eval.search.cost import CandidateCost

SPEED_STEP = 1.1
"""Speeds count in steps of 10 %, so that noise in timing makes no candidate better than another."""


def compute_costs(scores: CodecScores, cost: CandidateCost, name: str) -> list[float]:
    """Compute the costs that are minimised. Scores are those of the groups that select.

    Args:
        scores: scores of all validation clips.
        cost: speeds.
        name: metric that measures quality.

    Returns:
        Quality with the sign that makes less better, bit rate in kbit/s, and both speeds in negative steps.

    Raises:
        ValueError: the metric has no value for any of the clips.
    """
    selecting = scores.half(selecting=True)
    quality = mean_over_clips([selecting], name)
    if quality is None:
        raise ValueError(f"{name} has no value for any clip of the groups that select")
    speeds = (-count_speed_steps(ratio) for ratio in (cost.speed.encode, cost.speed.decode))
    return [-metric(name).sign * quality, selecting.kbps, *speeds]


def count_speed_steps(ratio: TimingQuantiles) -> float:
    """Round a speed ratio on a logarithmic scale.

    Args:
        ratio: speed relative to the reference.

    Returns:
        A whole number of steps of 10 %; 0 is the speed of the reference.

    >>> count_speed_steps(TimingQuantiles(1.21, 1.2, 1.3, 15))
    2.0
    """
    return float(round(math.log(ratio.median, SPEED_STEP)))
