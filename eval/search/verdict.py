"""Whether the search beat what it started from."""

from eval.metrics import metric
from eval.results import format_estimate
from eval.search.results import Row, SearchResult, speed_steps
from eval.statistics import Estimate


def verdict(result: SearchResult) -> str:
    """One paragraph: which candidates are better than the default at no more bits and no less speed, or how far the
    nearest is from it. Quality is that on the half that reports, with 95 % intervals, paired by clip."""
    default = next((row for row in result.rows if row.default), None)
    if default is None:
        return "The default was not judged."
    rivals = [(row, row.difference) for row in result.rows if row.difference and _costs_no_more(row, default)]
    if not rivals:
        return "No candidate that got as far costs no more bits and is no slower than the default: it is on the front."
    meant = metric(result.metric)
    sign = -1 if meant.better == "lower" else 1

    def told(row: Row, difference: Estimate) -> str:
        speeds = (
            (row.encode_ratio.median, default.encode_ratio.median),
            (row.decode_ratio.median, default.decode_ratio.median),
        )
        times = " and ".join(f"{ours / theirs:.1f}" for ours, theirs in speeds)
        quality = f"{format_estimate(result.metric, difference)} {meant.label}"
        return f"{row.label} ({quality}, {row.kbps:.2f} kbps, {times} times as fast)"

    among = (
        f"of {len(rivals)} candidates with no more bits and no less speed than the default ({default.kbps:.2f} kbps)"
    )
    better = [told(*rival) for rival in rivals if _side(rival[1]) == sign]
    if better:
        return f"{len(better)} {among} are better, their intervals leaving out 0: {'; '.join(better)}."
    equal = [told(*rival) for rival in rivals if _side(rival[1]) == 0]
    if equal:
        told_all = "; ".join(equal)
        return (
            f"{len(equal)} {among} cannot be told from it in quality, none is better beyond its interval: {told_all}."
        )
    nearest = max(rivals, key=lambda rival: sign * rival[1].mean)
    return f"None {among} reaches its quality; the nearest is {told(*nearest)}. The default is on the front."


def _costs_no_more(row: Row, default: Row) -> bool:
    """With steps of 10 % in speed, as the front has them."""
    ours, theirs = ([speed_steps(one.encode_ratio), speed_steps(one.decode_ratio)] for one in (row, default))
    return row.rung == default.rung and row.kbps <= default.kbps and all(a >= b for a, b in zip(ours, theirs))


def _side(difference: Estimate) -> int:
    """1 where the interval lies above 0, -1 below; 0 where it holds 0, or there is none."""
    if difference.low is None or difference.high is None:
        return 0
    return (difference.low > 0) - (difference.high < 0)
