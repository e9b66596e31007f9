"""Advice for the user about splits that could not be made as requested."""

from collections.abc import Mapping, Sequence

from codec.runtime.text import format_duration
from data_prep.split_ratios import SplitRatios, SplitSize, find_empty_splits

_FAR = 0.03
"""Differences from the requested shares that are mentioned; smaller ones are usual."""
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
    far = {
        split: size for split, size in sizes.items() if abs(size.seconds - ratios.share(split) * total) > _FAR * total
    }
    if not far:
        return []
    reached = ":".join(f"{100 * size.seconds / total:.0f}" for size in sizes.values())
    asked = ":".join(f"{100 * ratios.share(split):.0f}" for split in sizes)
    if any(size.locked and abs(size.seconds - ratios.share(split) * total) > largest for split, size in far.items()):
        why = "groups that were assigned earlier keep their splits; to divide all of them again, choose a new --out"
    else:
        why = (
            f"groups are not divided, and the largest has {format_duration(largest)}; that does no harm, and more"
            " groups come closer; if the recordings are long, --group-by time with a new --out divides them"
        )
    return [f"the splits have {reached} % of the seconds instead of {asked} %, since {why}"]


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
