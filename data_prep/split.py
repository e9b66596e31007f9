"""Divide groups among training, validation and test. Pure functions: no files, no clock, no global
randomness.

Every domain is divided on its own. A new group goes to the split that is furthest below its share of the
domain's seconds, in an order that depends on the seed and the group's name alone. So no split ends more than
one (the largest) group away from its share: a split that is over it was below it before its last group; and a
split that ends d seconds below was never chosen over by one that was less than d below. Groups assigned
earlier do not move.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from codec.errors import UserError

SPLITS = ("train", "val", "test")
FEW_GROUPS = 10
LARGE_GROUP = 0.25
"""Of the seconds that the smallest split is due."""


@dataclass(frozen=True)
class SplitRatios:
    """Shares of the seconds, which sum to 1."""

    train: float
    val: float
    test: float

    @staticmethod
    def parse(text: str) -> "SplitRatios":
        """Read "8:1:1", "9:0.5:0.5", "6:2:2" or any other train:val:test. Raises :class:`UserError`."""
        try:
            parts = [float(part) for part in text.split(":")]
        except ValueError:
            parts = []
        if len(parts) != 3 or not all(math.isfinite(part) and part >= 0 for part in parts) or parts[0] == 0:
            raise UserError(f"--ratios {text}: give train:val:test, like 8:1:1 or 9:0.5:0.5")
        return SplitRatios(*(part / sum(parts) for part in parts))

    def share(self, split: str) -> float:
        return {"train": self.train, "val": self.val, "test": self.test}[split]


@dataclass(frozen=True)
class SplitCandidate:
    """A clip that is fit for use."""

    path: str
    group: str
    domain: str
    seconds: float
    sha256: str


@dataclass(frozen=True)
class KnownSplit:
    """What an earlier manifest says: the group has this split; so has the content, unless ``sha256`` is
    empty.
    """

    group: str
    split: str
    path: str = ""
    sha256: str = ""


@dataclass(frozen=True)
class SplitAssignment:
    """``splits``: of every group, old ones included. ``rejected``: reason by path. ``advice``: lines for the
    user.
    """

    splits: dict[str, str]
    rejected: dict[str, str]
    advice: tuple[str, ...]


def assign_splits(
    candidates: Sequence[SplitCandidate], ratios: SplitRatios, *, seed: int = 0, known: Iterable[KnownSplit] = ()
) -> SplitAssignment:
    """Give every group a split; of clips with the same content one is kept."""
    splits: dict[str, str] = {}
    content: dict[str, KnownSplit] = {}
    for earlier in known:
        splits.setdefault(earlier.group, earlier.split)
        if earlier.sha256:
            content.setdefault(earlier.sha256, earlier)
    rejected = _duplicates(candidates, splits, content)
    kept = [clip for clip in candidates if clip.path not in rejected]
    _follow_content(kept, splits, content)
    for clip in kept:
        earlier_home = content.get(clip.sha256)
        if earlier_home and splits[clip.group] != earlier_home.split:
            rejected[clip.path] = (
                f"duplicate: of {earlier_home.path}, which is in {earlier_home.split}; "
                f"its own group {clip.group} is in {splits[clip.group]}"
            )
    kept = [clip for clip in kept if clip.path not in rejected]
    locked = frozenset(splits)
    _divide(kept, ratios, seed, splits)
    advice = [*_fill_empty(kept, ratios, splits, locked), *_advice(kept, ratios, splits, locked)]
    return SplitAssignment(splits, rejected, tuple(advice))


def _duplicates(
    candidates: Sequence[SplitCandidate], splits: dict[str, str], content: dict[str, KnownSplit]
) -> dict[str, str]:
    """Of clips with the same content keep the one that was used before, else one of an assigned group, else
    the first.
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


def _follow_content(kept: Sequence[SplitCandidate], splits: dict[str, str], content: dict[str, KnownSplit]) -> None:
    """A new group with clips that already belong to a split (files that were moved) goes to the split of most
    of them.
    """
    votes: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for clip in kept:
        if clip.group not in splits and clip.sha256 in content:
            votes[clip.group][content[clip.sha256].split] += clip.seconds
    for group, seconds in votes.items():
        splits[group] = max(SPLITS, key=lambda split: seconds[split])


def _divide(kept: Sequence[SplitCandidate], ratios: SplitRatios, seed: int, splits: dict[str, str]) -> None:
    totals: dict[str, float] = defaultdict(float)
    held: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    groups: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    # In a fixed order, so that sums of floats do not depend on the order of the files.
    for clip in sorted(kept, key=lambda clip: clip.path):
        totals[clip.domain] += clip.seconds
        groups[clip.group][clip.domain] += clip.seconds
        if clip.group in splits:
            held[clip.domain][splits[clip.group]] += clip.seconds
    smallest = min(share for share in map(ratios.share, SPLITS) if share > 0)

    def order(group: str) -> tuple[float, bytes]:
        """Large groups first, which takes them to training: none must make up most of a small split."""
        seconds = max(groups[group].values())
        total = totals[max(sorted(groups[group]), key=lambda name: groups[group][name])]
        return (-seconds if seconds > LARGE_GROUP * smallest * total else 0.0, _digest(group, seed))

    new = sorted((group for group in groups if group not in splits), key=order)
    for group in new:
        domain = max(sorted(groups[group]), key=lambda name: groups[group][name])
        splits[group] = max(SPLITS, key=lambda split: ratios.share(split) * totals[domain] - held[domain][split])
        for name, seconds in groups[group].items():
            held[name][splits[group]] += seconds


def _digest(group: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}:{group}".encode("utf-8", "surrogateescape")).digest()


def _seconds(kept: Sequence[SplitCandidate]) -> dict[str, float]:
    seconds: dict[str, float] = defaultdict(float)
    for clip in sorted(kept, key=lambda clip: clip.path):
        seconds[clip.group] += clip.seconds
    return seconds


def _fill_empty(
    kept: Sequence[SplitCandidate], ratios: SplitRatios, splits: dict[str, str], locked: frozenset[str]
) -> list[str]:
    """With few groups the ratio alone would leave a split empty: move the new group closest in size to its
    share.
    """
    seconds = _seconds(kept)
    lines = []
    for empty in SPLITS:
        if ratios.share(empty) == 0 or any(splits[group] == empty for group in seconds):
            continue
        counts = {split: sum(splits[group] == split for group in seconds) for split in SPLITS}
        movable = [group for group in seconds if group not in locked and counts[splits[group]] > 1]
        if not movable:
            lines.append(f"the {empty} split is empty: {_count(len(seconds))} cannot fill three splits")
            continue
        wanted = ratios.share(empty) * sum(seconds.values())
        moved = min(movable, key=lambda group: (abs(seconds[group] - wanted), group))
        splits[moved] = empty
        lines.append(f"{_count(len(seconds))}: the ratio is not met, so that the {empty} split is not empty")
    return lines


def _count(groups: int) -> str:
    return "1 group" if groups == 1 else f"{groups} groups"


def _advice(
    kept: Sequence[SplitCandidate], ratios: SplitRatios, splits: dict[str, str], locked: frozenset[str]
) -> list[str]:
    seconds = _seconds(kept)
    total, largest = sum(seconds.values()), max(seconds.values(), default=0.0)
    lines = []
    few = []
    for split in SPLITS:
        members = [group for group in seconds if splits[group] == split]
        reached = sum(seconds[group] for group in members)
        if abs(reached - ratios.share(split) * total) > largest and any(group in locked for group in members):
            lines.append(
                f"{split} holds {100 * reached / total:.1f} % of the seconds instead of "
                f"{100 * ratios.share(split):.1f} %: groups assigned earlier stay where they are"
            )
        if ratios.share(split) > 0 and len(members) < FEW_GROUPS:
            few.append(f"{split} {len(members)}")
    if few:
        wide = ratios.val >= 0.2 and ratios.test >= 0.2
        cure = "add recordings of more groups" if wide else "try --ratios 6:2:2 with a new --out"
        lines.append(f"fewer than {FEW_GROUPS} groups ({', '.join(few)}): results will be uncertain; {cure}")
    return lines
