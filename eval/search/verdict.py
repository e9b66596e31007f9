"""The verdict of a search: whether any candidate is better than the default that the search started from."""

from collections.abc import Sequence
from dataclasses import dataclass

from eval.evaluation.formatting import format_difference
from eval.metrics.confidence import PairedDifference, describe_correction, significant_signs
from eval.metrics.registry import metric
from eval.search.objectives import count_speed_steps
from eval.search.results import CandidateRow, SearchResult


@dataclass(frozen=True)
class Rival:
    """A candidate that costs no more than the default, compared with it."""

    row: CandidateRow
    difference: PairedDifference
    gain: int
    """1 if it is significantly better, -1 if it is significantly worse, else 0."""


def find_rivals(result: SearchResult) -> list[Rival]:
    """Find the candidates on the default's rung that have no more bits and no less speed than the default.

    Speeds are compared in steps of 10 %, as on the front. The tests are corrected for the number of rivals: without the
    correction, one of 30 candidates that are as good as the default would be called better in most searches.

    Args:
        result: results of the search.

    Returns:
        Rivals; none if the default was not scored.
    """
    default = find_default(result)
    if default is None:
        return []
    rows = [row for row in result.rows if row.difference and row.rung == default.rung and _costs_no_more(row, default)]
    differences = [row.difference for row in rows if row.difference is not None]
    sign = metric(result.metric).sign
    return [Rival(*rival[:2], sign * rival[2]) for rival in zip(rows, differences, significant_signs(differences))]


def find_default(result: SearchResult) -> CandidateRow | None:
    """Return the row of the default.

    Args:
        result: results of the search.

    Returns:
        The row; None if the default was not scored.
    """
    return next((row for row in result.rows if row.default), None)


def describe_verdict(result: SearchResult) -> str:
    """Describe which candidates are better than the default at no more bits and no less speed.

    Quality is that on the groups that report, paired by clip.

    Args:
        result: results of the search.

    Returns:
        One paragraph.
    """
    default = find_default(result)
    if default is None:
        return "The default was not scored."
    if not any(row.difference and row.rung == default.rung for row in result.rows):
        return "So far no other candidate has reached the default's rung, so there is nothing to compare it with."
    unbeaten = "The default is on the front" if default.front else "No candidate beats the default"
    rivals = find_rivals(result)
    if not rivals:
        return f"{unbeaten}: every other candidate on its rung has more bits or less speed."
    limits = f"the default ({default.kbps:.2f} kbps) at no more bits and no less speed"
    tests = sum(rival.difference.p is not None for rival in rivals)
    if tests == 0:
        count = _count(len(rivals), "candidate is", "candidates are")
        return f"Whether {count} better than {limits} cannot be tested: the clips that report are of one group."
    return _describe_tested(result, default, rivals, limits, f"{describe_correction(tests)}", unbeaten)


def _describe_tested(
    result: SearchResult, default: CandidateRow, rivals: Sequence[Rival], limits: str, tested: str, unbeaten: str
) -> str:
    better = [_describe(result, rival, default) for rival in rivals if rival.gain > 0]
    if better:
        count = _count(len(better), "candidate is", "candidates are")
        return f"{count} better than {limits}, {tested}: {'; '.join(better)}."
    undecided = [_describe(result, rival, default) for rival in rivals if rival.gain == 0]
    if undecided:
        count = _count(len(undecided), "does", "do")
        return (
            f"No candidate is better than {limits}, {tested}; {count} not differ significantly in quality:"
            f" {'; '.join(undecided)}."
        )
    nearest = max(rivals, key=lambda rival: metric(result.metric).sign * rival.difference.mean)
    count = "The only candidate" if len(rivals) == 1 else f"The nearest of {len(rivals)} candidates"
    return (
        f"{unbeaten}: none reaches the quality of {limits}, {tested}. {count} within these limits is"
        f" {_describe(result, nearest, default)}."
    )


def _count(number: int, one: str, several: str) -> str:
    return f"{number} {one if number == 1 else several}"


def _describe(result: SearchResult, rival: Rival, default: CandidateRow) -> str:
    row = rival.row
    encodes = row.encode_ratio.median / default.encode_ratio.median
    decodes = row.decode_ratio.median / default.decode_ratio.median
    quality = f"{metric(result.metric).label} {format_difference(result.metric, rival.difference)}"
    return f"{row.label} ({quality}; {row.kbps:.2f} kbps; encodes {encodes:.1f}, decodes {decodes:.1f} times as fast)"


def _costs_no_more(row: CandidateRow, default: CandidateRow) -> bool:
    ours, theirs = (
        [count_speed_steps(ratio) for ratio in (one.encode_ratio, one.decode_ratio)] for one in (row, default)
    )
    return row.kbps <= default.kbps and all(a >= b for a, b in zip(ours, theirs))
