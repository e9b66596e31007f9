"""The verdict on the default, and the text about selection bias."""

from dataclasses import replace
from pathlib import Path

import pytest

from eval.benchmarks.coding_speed import TimingQuantiles
from eval.metrics.confidence import Estimate, PairedDifference
from eval.search.report import explain_search
from eval.search.results import CandidateRow, SearchResult
from eval.search.verdict import describe_verdict, find_rivals

SPEED = TimingQuantiles(1.0, 0.9, 1.1, 15)
DEFAULT = CandidateRow(
    key="k", names=["genetic 0"], settings={}, default=True, front=True, rung=0, seeds=[0], kbps=5.0, selected=2.1,
    reported=Estimate(2.0, 1.9, 2.1, 20, 10), failed=0, difference=None, encode=100.0, decode=100.0,
    encode_ratio=SPEED, decode_ratio=SPEED, parameters=10, latency_ms=40.0, memory_mb=None, reason="",
)  # fmt: skip


def make_result(*others: CandidateRow) -> SearchResult:
    return SearchResult(
        title="Search", kind="design", recipe="speech_16k", metric="pesq", data="data", out=Path("out"), made="",
        space=[], budgets=[], planned=2, drawn={"genetic": 1, "random": 1}, failed={}, refused=0, front_rung=0,
        front_by_arm={"genetic": 1, "random": 0}, gap=-0.12, gap_of_all=-0.11, candidates_on_validation=2,
        rows=[DEFAULT, *others],
    )  # fmt: skip


def make_rival(mean: float, p: float | None, kbps: float, name: str = "random 1") -> CandidateRow:
    difference = PairedDifference(mean, mean - 0.1, mean + 0.1, 20, 10, p)
    return replace(DEFAULT, names=[name], default=False, kbps=kbps, difference=difference)


@pytest.mark.parametrize(
    ("mean", "p", "kbps", "gains", "parts"),
    [
        (0.2, 0.01, 4.0, [1], ["1 candidate is better", "5.00 kbps", "random 1", "+0.20"]),
        (0.05, 0.4, 4.0, [0], ["No candidate is better", "random 1"]),
        (-0.3, 0.01, 4.0, [-1], ["on the front", "The only candidate", "random 1"]),
        (0.2, 0.01, 6.0, [], ["on the front"]),
        (0.2, None, 4.0, [0], ["cannot be tested"]),
    ],
)
def test_candidates_that_cost_no_more_than_the_default_are_tested(mean, p, kbps, gains, parts):
    result = make_result(make_rival(mean, p, kbps))
    assert [rival.gain for rival in find_rivals(result)] == gains
    assert all(part in describe_verdict(result) for part in parts)


def test_candidates_on_another_rung_are_not_compared():
    result = make_result(replace(make_rival(0.2, 0.01, 4.0), rung=1))
    assert find_rivals(result) == [] and "random 1" not in describe_verdict(result)


def test_the_tests_are_corrected_for_the_number_of_candidates():
    result = make_result(*(make_rival(0.2, 0.01, 4.0, f"random {i}") for i in range(1, 31)))
    assert [rival.gain for rival in find_rivals(result)] == [0] * 30  # 30 times 0.01 is no evidence
    assert "30 comparisons" in describe_verdict(result)


def test_selection_bias_is_the_difference_between_the_gaps_of_the_front_and_of_all_candidates():
    (quality,) = [text for text in explain_search(make_result()) if "Selection bias" in text]
    sentence = quality.partition("Selection bias: ")[2]
    assert [number in sentence for number in ("0.12", "0.11", "-0.01")] == [True] * 3
