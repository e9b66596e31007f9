"""Advice for the user about splits that could not be made as requested."""

from collections.abc import Mapping, Sequence

from data_prep.split_ratios import SPLITS, SplitRatios, find_empty_splits

FEW_GROUPS = 10
"""Splits with fewer groups are mentioned in the advice."""


def advise_on_splits(
    seconds: Mapping[str, float],
    ratios: SplitRatios,
    splits: Mapping[str, str],
    filled: Sequence[str],
    locked: frozenset[str],
) -> list[str]:
    """Describe departures from the request: empty splits, other ratios, splits of few groups.

    Args:
        seconds: seconds of each group with clips.
        ratios: shares of the splits.
        splits: split of each group.
        filled: splits that got a group only by departing from the requested ratios.
        locked: groups that were assigned by an earlier run.

    Returns:
        Lines for the user.
    """
    return [
        *_advise_on_empty_splits(seconds, ratios, splits, filled),
        *_advise_on_ratios(seconds, ratios, splits, locked),
        *_advise_on_few_groups(seconds, ratios, splits),
    ]


def _advise_on_empty_splits(
    seconds: Mapping[str, float], ratios: SplitRatios, splits: Mapping[str, str], filled: Sequence[str]
) -> list[str]:
    groups = "1 group" if len(seconds) == 1 else f"{len(seconds)} groups"
    lines = [f"{groups}: the ratios are not met, so that the {split} split is not empty" for split in filled]
    empty = find_empty_splits(seconds, ratios, splits)
    return [*lines, *(f"the {split} split is empty: {groups} cannot fill three splits" for split in empty)]


def _advise_on_ratios(
    seconds: Mapping[str, float], ratios: SplitRatios, splits: Mapping[str, str], locked: frozenset[str]
) -> list[str]:
    total, largest = sum(seconds.values()), max(seconds.values(), default=0.0)
    lines = []
    for split in SPLITS:
        members = [group for group in seconds if splits[group] == split]
        reached = sum(seconds[group] for group in members)
        if abs(reached - ratios.share(split) * total) > largest and any(group in locked for group in members):
            lines.append(
                f"{split} has {100 * reached / total:.1f} % of the seconds instead of "
                f"{100 * ratios.share(split):.1f} %: groups that were assigned earlier keep their splits"
            )
    return lines


def _advise_on_few_groups(seconds: Mapping[str, float], ratios: SplitRatios, splits: Mapping[str, str]) -> list[str]:
    counts = {split: sum(splits[group] == split for group in seconds) for split in SPLITS if ratios.share(split) > 0}
    few = ", ".join(f"{split} {count}" for split, count in counts.items() if count < FEW_GROUPS)
    if not few:
        return []
    wide = ratios.val >= 0.2 and ratios.test >= 0.2
    cure = "add recordings of more groups" if wide else "try --ratios 6:2:2 with a new --out"
    return [f"some splits have fewer than {FEW_GROUPS} groups ({few}), so results will be uncertain; {cure}"]
