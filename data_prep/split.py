"""Divide groups among training, validation and test. Pure functions: no files, no clock, no global random state.

Every domain is divided on its own. A new group goes to the split that is furthest below its share of the domain's
seconds, in an order that depends on the seed and the group's name alone. So no split ends further from its share than
one (the largest) group: a split above its share was below it before its last group, and a split that ends d seconds
below was never passed over in favour of one that was less than d below. Groups that were assigned earlier do not move.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from codec.errors import UserError

SPLITS = ("train", "val", "test")
"""Names of the splits."""
FEW_GROUPS = 10
"""Splits with fewer groups are mentioned in the advice."""
LARGE_GROUP = 0.25
"""Groups with more than this share of the seconds of the smallest split are assigned first."""


@dataclass(frozen=True)
class SplitRatios:
    """Shares of the seconds, which sum to 1."""

    train: float
    val: float
    test: float

    @staticmethod
    def parse(text: str) -> "SplitRatios":
        """Parse the option ``--ratios``.

        Args:
            text: three numbers, train:val:test, in any unit; the first is above 0.

        Returns:
            The shares.

        Raises:
            UserError: the text is not of that form.

        >>> SplitRatios.parse("6:2:2")
        SplitRatios(train=0.6, val=0.2, test=0.2)
        """
        try:
            parts = [float(part) for part in text.split(":")]
        except ValueError:
            parts = []
        if len(parts) != 3 or not all(math.isfinite(part) and part >= 0 for part in parts) or parts[0] == 0:
            raise UserError(f"--ratios {text}: give train:val:test, such as 8:1:1 or 9:0.5:0.5")
        return SplitRatios(*(part / sum(parts) for part in parts))

    def share(self, split: str) -> float:
        """Return the share of a split.

        Args:
            split: name of the split.

        Returns:
            Its share, from 0 to 1.
        """
        return {"train": self.train, "val": self.val, "test": self.test}[split]


@dataclass(frozen=True)
class SplitCandidate:
    """A clip that can be used."""

    path: str
    group: str
    domain: str
    seconds: float
    sha256: str
    """SHA-256 of its samples."""


@dataclass(frozen=True)
class KnownSplit:
    """Split of a group and of a clip, according to an earlier run."""

    group: str
    split: str
    path: str = ""
    sha256: str = ""
    """SHA-256 of the clip's samples, which belong to the split, too; empty if they do not."""


@dataclass(frozen=True)
class SplitAssignment:
    """Result of :func:`assign_splits`."""

    splits: dict[str, str]
    """Split of every group, including those of earlier runs."""
    rejected: dict[str, str]
    """Reasons for clips that are not used, by path."""
    filled: tuple[str, ...]
    """Splits that have a group only because the ratios were given up."""
    advice: tuple[str, ...]
    """Lines for the user about what was not possible as requested."""


def assign_splits(
    candidates: Sequence[SplitCandidate], ratios: SplitRatios, *, seed: int = 0, known: Iterable[KnownSplit] = ()
) -> SplitAssignment:
    """Assign every group to a split. Of several clips with the same samples, one is used.

    Args:
        candidates: clips of all groups, in any order.
        ratios: shares of the splits.
        seed: seed of the order in which groups are assigned.
        known: groups and clips of earlier runs, which keep their splits.

    Returns:
        The splits, the clips that are rejected as duplicates, and advice.

    Groups keep their splits when others are added:

    >>> clips = [SplitCandidate(f"{name}.wav", name, "speech", 10.0, name) for name in "abcdefghij"]
    >>> first = assign_splits(clips[:5], SplitRatios.parse("3:1:1"))
    >>> first.splits
    {'b': 'train', 'c': 'train', 'd': 'val', 'a': 'test', 'e': 'train'}
    >>> known = [KnownSplit(group, split) for group, split in first.splits.items()]
    >>> second = assign_splits(clips, SplitRatios.parse("3:1:1"), known=known)
    >>> [second.splits[group] == split for group, split in first.splits.items()]
    [True, True, True, True, True]
    """
    splits: dict[str, str] = {}
    content: dict[str, KnownSplit] = {}
    for earlier in known:
        splits.setdefault(earlier.group, earlier.split)
        if earlier.sha256:
            content.setdefault(earlier.sha256, earlier)
    rejected = _reject_duplicates(candidates, splits, content)
    kept = [clip for clip in candidates if clip.path not in rejected]
    _follow_content(kept, splits, content)
    rejected |= _reject_content_of_other_splits(kept, splits, content)
    kept = [clip for clip in kept if clip.path not in rejected]
    locked = frozenset(splits)
    _assign_new_groups(kept, ratios, seed, splits)
    seconds = _sum_seconds(kept)
    filled = _fill_empty_splits(seconds, ratios, splits, locked)
    advice = (
        *_advise_on_empty_splits(seconds, ratios, splits, filled),
        *_advise_on_ratios(seconds, ratios, splits, locked),
        *_advise_on_few_groups(seconds, ratios, splits),
    )
    return SplitAssignment(splits, rejected, tuple(filled), advice)


def _reject_duplicates(
    candidates: Sequence[SplitCandidate], splits: Mapping[str, str], content: Mapping[str, KnownSplit]
) -> dict[str, str]:
    """Reject all but one of the clips with the same samples: keep the one that was used before, else one of an assigned
    group, else the first.
    """
    same: dict[str, list[SplitCandidate]] = defaultdict(list)
    for clip in candidates:
        same[clip.sha256].append(clip)
    rejected = {}
    for sha, clips in same.items():
        earlier = content.get(sha)

        def rank(clip: SplitCandidate, earlier: KnownSplit | None = earlier) -> tuple[bool, bool, str]:
            used_before = earlier is not None and earlier.path == clip.path
            at_home = splits.get(clip.group) == earlier.split if earlier else clip.group in splits
            return (not used_before, not at_home, clip.path)

        first, *others = sorted(clips, key=rank)
        for clip in others:
            across = "" if clip.group == first.group else f", which is of another group ({first.group})"
            rejected[clip.path] = f"duplicate: of {first.path}{across}"
    return rejected


def _reject_content_of_other_splits(
    clips: Iterable[SplitCandidate], splits: Mapping[str, str], content: Mapping[str, KnownSplit]
) -> dict[str, str]:
    """Reject clips whose samples belong to another split than their group."""
    rejected = {}
    for clip in clips:
        earlier = content.get(clip.sha256)
        if earlier and splits[clip.group] != earlier.split:
            rejected[clip.path] = (
                f"duplicate: of {earlier.path}, which is in {earlier.split}; "
                f"its own group {clip.group} is in {splits[clip.group]}"
            )
    return rejected


def _follow_content(clips: Iterable[SplitCandidate], splits: dict[str, str], content: Mapping[str, KnownSplit]) -> None:
    """Assign new groups with clips that belong to a split already (files that were moved) to the split of most of
    them.
    """
    known_seconds: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for clip in clips:
        if clip.group not in splits and clip.sha256 in content:
            known_seconds[clip.group][content[clip.sha256].split] += clip.seconds
    for group, seconds in known_seconds.items():
        splits[group] = max(SPLITS, key=lambda split: seconds[split])


def _assign_new_groups(clips: Iterable[SplitCandidate], ratios: SplitRatios, seed: int, splits: dict[str, str]) -> None:
    totals: dict[str, float] = defaultdict(float)
    reached: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    groups: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    # In a fixed order, so that sums of floats do not depend on the order of the files.
    for clip in sorted(clips, key=lambda clip: clip.path):
        totals[clip.domain] += clip.seconds
        groups[clip.group][clip.domain] += clip.seconds
        if clip.group in splits:
            reached[clip.domain][splits[clip.group]] += clip.seconds
    smallest = min(share for share in map(ratios.share, SPLITS) if share > 0)

    def main_domain(group: str) -> str:
        return max(sorted(groups[group]), key=lambda name: groups[group][name])

    def order(group: str) -> tuple[float, bytes]:
        """Large groups first, which assigns them to training: none must make up most of a small split."""
        seconds = max(groups[group].values())
        total = totals[main_domain(group)]
        return (-seconds if seconds > LARGE_GROUP * smallest * total else 0.0, _digest(group, seed))

    for group in sorted((group for group in groups if group not in splits), key=order):
        domain = main_domain(group)
        splits[group] = max(SPLITS, key=lambda split: ratios.share(split) * totals[domain] - reached[domain][split])
        for name, seconds in groups[group].items():
            reached[name][splits[group]] += seconds


def _digest(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{group}".encode("utf-8", "surrogateescape")).digest()


def _sum_seconds(clips: Iterable[SplitCandidate]) -> dict[str, float]:
    """Return the seconds of each group."""
    seconds: dict[str, float] = defaultdict(float)
    for clip in sorted(clips, key=lambda clip: clip.path):
        seconds[clip.group] += clip.seconds
    return seconds


def _fill_empty_splits(
    seconds: Mapping[str, float], ratios: SplitRatios, splits: dict[str, str], locked: frozenset[str]
) -> list[str]:
    """Fill splits that the ratios alone leave empty, as they do with few groups: each receives the new group closest in
    size to its share. Return the splits that were filled.
    """
    filled = []
    for empty in _find_empty(seconds, ratios, splits):
        counts = {split: sum(splits[group] == split for group in seconds) for split in SPLITS}
        movable = [group for group in seconds if group not in locked and counts[splits[group]] > 1]
        if movable:
            wanted = ratios.share(empty) * sum(seconds.values())
            moved = min(movable, key=lambda group: (abs(seconds[group] - wanted), group))
            splits[moved] = empty
            filled.append(empty)
    return filled


def _find_empty(seconds: Mapping[str, float], ratios: SplitRatios, splits: Mapping[str, str]) -> list[str]:
    """Return the splits that have a share, but no group."""
    return [
        split for split in SPLITS if ratios.share(split) > 0 and not any(splits[group] == split for group in seconds)
    ]


def _advise_on_empty_splits(
    seconds: Mapping[str, float], ratios: SplitRatios, splits: Mapping[str, str], filled: Sequence[str]
) -> list[str]:
    groups = "1 group" if len(seconds) == 1 else f"{len(seconds)} groups"
    lines = [f"{groups}: the ratios are not met, so that the {split} split is not empty" for split in filled]
    empty = _find_empty(seconds, ratios, splits)
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
