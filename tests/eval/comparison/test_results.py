"""The numbers in the tables of a comparison."""

from pathlib import Path

import numpy as np
import pytest

from eval.comparison.results import CandidateResult, TrainedRun, compare_rates, count_comparisons
from eval.evaluation.codec_scores import ClipScores, CodecScores
from eval.metrics.registry import Score, metric


def finished(name: str, scores: list[Score]) -> CandidateResult:
    """Return a candidate whose only run was scored on clips of one group each."""
    clips = [ClipScores(f"c{i}", f"g{i}", 4.0, 12000.0, {"pesq": score}) for i, score in enumerate(scores)]
    run = TrainedRun(Path(), 0, 1, 1.0, 1.0, "", 1, [CodecScores(3.0, 6, 3.0, clips)], [])
    return CandidateResult(name, "ours", None, None, None, [], "", [run])


def test_a_candidate_does_not_gain_by_silencing_a_difficult_clip_and_it_is_counted():
    easy, gone = [Score(3.0 + 0.1 * i) for i in range(5)], Score(None, "silent reference")
    silenced = Score(metric("pesq").worst, "silent decode")
    rows = compare_rates([finished("A", [*easy, Score(1.35), gone]), finished("B", [*easy, silenced, gone])], [3.0])
    kept, silent = (row.metrics["pesq"] for row in rows)
    assert (kept.failed, kept.undefined, silent.failed, silent.undefined) == (0, 1, 1, 1)
    assert kept.value.clips == silent.value.clips == silent.difference.clips == 6
    assert silent.value.mean < kept.value.mean and silent.difference.mean < 0


def test_significance_is_corrected_for_all_candidates_at_a_rate():
    rng = np.random.default_rng(0)
    first = rng.normal(3.0, 0.3, 8)
    candidates = [finished("first", [Score(value) for value in first])] + [
        finished(str(i), [Score(value) for value in first + rng.normal(0, 0.1, 8)]) for i in range(40)
    ]
    better = finished("better", [Score(value) for value in first + rng.normal(0.5, 0.05, 8)])
    rows = compare_rates([*candidates, better], [3.0])
    assert count_comparisons(rows) == 41
    alone = [row.metrics["pesq"].difference for row in rows[1:-1]]
    assert any(found.low > 0 or found.high < 0 for found in alone)  # by chance, each by itself
    assert [row.metrics["pesq"].sign for row in rows] == [0] * 41 + [1]


def test_two_groups_have_means_and_no_intervals():
    rows = compare_rates([finished("A", [Score(3.0), Score(3.3)]), finished("B", [Score(3.1), Score(3.5)])], [3.0])
    for estimate in (row.metrics["pesq"].value for row in rows):
        assert estimate.groups == 2 and estimate.low is estimate.high is None
    difference = rows[1].metrics["pesq"].difference
    assert difference.mean == pytest.approx(0.15) and difference.low is difference.high is None
