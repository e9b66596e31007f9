"""Divide groups among training, validation and test. Pure functions: no files, no clock, no global random state.

Every domain is divided on its own. A new group goes to the split that is furthest below its share of the domain's
seconds, in an order that depends on the seed and the group's name alone. So no split misses its share by more than the
size of the largest group. Groups that were assigned earlier do not move.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from data_prep.split_advice import advise_on_splits
from data_prep.split_ratios import SPLITS, SplitRatios, find_empty_splits

LARGE_GROUP = 0.25
"""Groups with more than this share of the seconds of the smallest split are assigned first."""


@dataclass(frozen=True, slots=True)
class SplitCandidate:
    """A clip that can be used."""

    path: str
    group: str
    domain: str
    seconds: float
    sha256: str
    """SHA-256 of its samples."""


@dataclass(frozen=True, slots=True)
class KnownSplit:
    """Split of a group and of a clip, according to an earlier run."""

    group: str
    split: str
    path: str = ""
    sha256: str = ""
    """SHA-256 of samples already assigned to this split; empty if only the group was assigned."""


@dataclass(frozen=True)
class SplitAssignment:
    """Result of :func:`assign_splits`."""

    splits: dict[str, str]
    """Split of every group, including those of earlier runs."""
    rejected: dict[str, str]
    """Reasons for clips that are not used, by path."""
    filled: tuple[str, ...]
    """Splits that got a group only by departing from the requested ratios."""
    advice: tuple[str, ...]
    """Lines for the user about departures from the request."""


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
    {'e': 'train', 'c': 'train', 'a': 'train', 'b': 'val', 'd': 'test'}
    >>> known = [KnownSplit(group, split) for group, split in first.splits.items()]
    >>> second = assign_splits(clips, SplitRatios.parse("3:1:1"), known=known)
    >>> second.splits  # doctest: +NORMALIZE_WHITESPACE
    {'e': 'train', 'c': 'train', 'a': 'train', 'b': 'val', 'd': 'test',
     'h': 'train', 'i': 'train', 'j': 'train', 'f': 'val', 'g': 'test'}
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
    advice = advise_on_splits(seconds, ratios, splits, filled, locked)
    return SplitAssignment(splits, rejected, tuple(filled), tuple(advice))


def _reject_duplicates(
    candidates: Sequence[SplitCandidate], splits: Mapping[str, str], content: Mapping[str, KnownSplit]
) -> dict[str, str]:
    """Reject all but one of the clips with the same samples: prefer the clip used in an earlier run, then a clip whose
    group already has a split, then the first by path.
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
            across = "" if clip.group == first.group else f", which belongs to another group ({first.group})"
            rejected[clip.path] = f"duplicate: same samples as {first.path}{across}"
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
                f"duplicate: same samples as {earlier.path}, which is in {earlier.split}; "
                f"its own group {clip.group} is in {splits[clip.group]}"
            )
    return rejected


def _follow_content(clips: Iterable[SplitCandidate], splits: dict[str, str], content: Mapping[str, KnownSplit]) -> None:
    """Give a new group the split that already holds most of its audio (for example after files were moved)."""
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
        """Sort large groups first: they then go to training instead of dominating a small split."""
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
    """Fill splits that the ratios leave empty, which happens with few groups, and return the splits that were filled.

    Each receives the group, not assigned in an earlier run, whose duration is closest to the split's share.
    """
    filled = []
    for empty in find_empty_splits(seconds, ratios, splits):
        counts = {split: sum(splits[group] == split for group in seconds) for split in SPLITS}
        movable = [group for group in seconds if group not in locked and counts[splits[group]] > 1]
        if movable:
            wanted = ratios.share(empty) * sum(seconds.values())
            moved = min(movable, key=lambda group: (abs(seconds[group] - wanted), group))
            splits[moved] = empty
            filled.append(empty)
    return filled
