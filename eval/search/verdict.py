"""Whether the search beat what it started from."""

from eval.evaluation.formatting import format_difference
from eval.metrics.bootstrap import PairedDifference, describe_correction, significant_signs
from eval.metrics.registry import metric
from eval.search.results import Row, SearchResult, speed_steps


def verdict(result: SearchResult) -> str:
    """Summarise in one paragraph which candidates are better than the default at no more bits and no less speed.

    Quality is that on the half that reports, paired by clip. Each candidate that costs no more is tested, and the tests
    are corrected for their number: with 30 candidates that are as good as the default one of them would else be called
    better in most searches.
    """
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
    signs = significant_signs([difference for _, difference in rivals])

    def describe(row: Row, difference: PairedDifference) -> str:
        encodes = row.encode_ratio.median / default.encode_ratio.median
        decodes = row.decode_ratio.median / default.decode_ratio.median
        quality = f"{meant.label} {format_difference(result.metric, difference)}"
        return (
            f"{row.label} ({quality}; {row.kbps:.2f} kbps; encodes {encodes:.1f}, decodes {decodes:.1f} times as fast)"
        )

    limits = "at no more bits and no less speed"
    reference = f"the default ({default.kbps:.2f} kbps)"
    tested = describe_correction(sum(difference.p is not None for _, difference in rivals))
    if not any(difference.p is not None for _, difference in rivals):
        found = "1 candidate" if len(rivals) == 1 else f"{len(rivals)} candidates"
        return (
            f"Whether {found} {limits} would be better than {reference} cannot be tested: the clips that report are of"
            " one group."
        )
    better = [describe(*rival) for rival, found in zip(rivals, signs) if meant.is_gain(found)]
    if better:
        count = "1 candidate is" if len(better) == 1 else f"{len(better)} candidates are"
        return f"{count} better than {reference} {limits}, {tested}: {'; '.join(better)}."
    undecided = [describe(*rival) for rival, found in zip(rivals, signs) if found == 0]
    if undecided:
        return (
            f"No candidate is better than {reference} {limits}, {tested}; {len(undecided)} cannot be told from it in"
            f" quality: {'; '.join(undecided)}."
        )
    nearest = max(rivals, key=lambda rival: meant.sign * rival[1].mean)
    count = "The only candidate" if len(rivals) == 1 else f"The nearest of {len(rivals)} candidates"
    return (
        f"{unbeaten}: none reaches the quality of {reference} {limits}, {tested}. {count} within these is"
        f" {describe(*nearest)}."
    )


def _costs_no_more(row: Row, default: Row) -> bool:
    """With steps of 10 % in speed, as the front has them."""
    ours, theirs = ([speed_steps(one.encode_ratio), speed_steps(one.decode_ratio)] for one in (row, default))
    return row.kbps <= default.kbps and all(a >= b for a, b in zip(ours, theirs))
