"""Advice for the user about splits that could not be made as requested."""

from collections.abc import Mapping, Sequence

from data_prep.split_ratios import SplitRatios, SplitSize, find_empty_splits

FEW_GROUPS = 10
"""Splits with fewer groups are mentioned in the advice."""


def advise_on_splits(
    sizes: Mapping[str, SplitSize], ratios: SplitRatios, filled: Sequence[str], largest: float
) -> list[str]:
    """Describe departures from the request: empty splits, other ratios, splits of few groups.

    Args:
        sizes: sizes of the splits.
        ratios: shares of the splits.
        filled: splits that got a group only by departing from the requested ratios.
        largest: seconds of the largest group.

    Returns:
        Lines for the user.
    """
    return [
        *_advise_on_empty_splits(sizes, ratios, filled),
        *_advise_on_ratios(sizes, ratios, largest),
        *_advise_on_few_groups(sizes, ratios),
    ]


def _advise_on_empty_splits(sizes: Mapping[str, SplitSize], ratios: SplitRatios, filled: Sequence[str]) -> list[str]:
    count = sum(size.groups for size in sizes.values())
    groups = "1 group" if count == 1 else f"{count} groups"
    lines = [f"{groups}: the ratios are not met, so that the {split} split is not empty" for split in filled]
    empty = find_empty_splits(sizes, ratios)
    return [*lines, *(f"the {split} split is empty: {groups} cannot fill three splits" for split in empty)]


def _advise_on_ratios(sizes: Mapping[str, SplitSize], ratios: SplitRatios, largest: float) -> list[str]:
    total = sum(size.seconds for size in sizes.values())
    return [
        f"{split} has {100 * size.seconds / total:.1f} % of the seconds instead of {100 * ratios.share(split):.1f} %:"
        " groups that were assigned earlier keep their splits"
        for split, size in sizes.items()
        if size.locked and abs(size.seconds - ratios.share(split) * total) > largest
    ]


def _advise_on_few_groups(sizes: Mapping[str, SplitSize], ratios: SplitRatios) -> list[str]:
    few = ", ".join(
        f"{split} {size.groups}"
        for split, size in sizes.items()
        if ratios.share(split) > 0 and size.groups < FEW_GROUPS
    )
    if not few:
        return []
    wide = ratios.val >= 0.2 and ratios.test >= 0.2
    cure = "add recordings of more groups" if wide else "try --ratios 6:2:2 with a new --out"
    return [f"some splits have fewer than {FEW_GROUPS} groups ({few}), so results will be uncertain; {cure}"]
