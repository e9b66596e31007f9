"""Whether the search beat what it started from."""

from eval.metrics import metric
from eval.results import format_difference
from eval.search.results import Row, SearchResult, speed_steps
from eval.statistics import Estimate


def verdict(result: SearchResult) -> str:
    """One paragraph: which candidates are better than the default at no more bits and no less speed, or how far the
    nearest is from it. Quality is that on the half that reports, with 95 % intervals, paired by clip."""
    default = next((row for row in result.rows if row.default), None)
    if default is None:
        return "The default was not judged."
    peers = [(row, row.difference) for row in result.rows if row.difference and row.rung == default.rung]
    if not peers:
        return "So far no other candidate got as far as the default: there is nothing to compare it with."
    unbeaten = "The default is on the front" if default.front else "Nothing beats the default"
    rivals = [(row, difference) for row, difference in peers if _costs_no_more(row, default)]
    if not rivals:
        return f"{unbeaten}: every other candidate that got as far either costs more bits or is slower."
    meant = metric(result.metric)
    sign = -1 if meant.better == "lower" else 1

    def told(row: Row, difference: Estimate) -> str:
        encodes = row.encode_ratio.median / default.encode_ratio.median
        decodes = row.decode_ratio.median / default.decode_ratio.median
        quality = f"{meant.label} {format_difference(result.metric, difference)}"
        return (
            f"{row.label} ({quality}; {row.kbps:.2f} kbps; encodes {encodes:.1f}, decodes {decodes:.1f} times as fast)"
        )

    limits = "at no more bits and no less speed"
    reference = f"the default ({default.kbps:.2f} kbps)"
    better = [told(*rival) for rival in rivals if _side(rival[1]) == sign]
    if better:
        count = "1 candidate is" if len(better) == 1 else f"{len(better)} candidates are"
        return (
            f"{count} better than {reference} {limits}, by a difference whose 95 % interval leaves out 0:"
            f" {'; '.join(better)}."
        )
    equal = [told(*rival) for rival in rivals if _side(rival[1]) == 0]
    if equal:
        count = "1 is" if len(equal) == 1 else f"{len(equal)} are"
        return (
            f"No candidate is clearly better than {reference} {limits}; {count} about as good, since the 95 % interval"
            f" of the difference holds 0: {'; '.join(equal)}."
        )
    nearest = max(rivals, key=lambda rival: sign * rival[1].mean)
    count = "The only candidate" if len(rivals) == 1 else f"The nearest of {len(rivals)} candidates"
    return f"{unbeaten}: none reaches the quality of {reference} {limits}. {count} within these is {told(*nearest)}."


def _costs_no_more(row: Row, default: Row) -> bool:
    """With steps of 10 % in speed, as the front has them."""
    ours, theirs = ([speed_steps(one.encode_ratio), speed_steps(one.decode_ratio)] for one in (row, default))
    return row.kbps <= default.kbps and all(a >= b for a, b in zip(ours, theirs))


def _side(difference: Estimate) -> int:
    """1 where the interval lies above 0, -1 below; 0 where it holds 0, or there is none."""
    if difference.low is None or difference.high is None:
        return 0
    return (difference.low > 0) - (difference.high < 0)
