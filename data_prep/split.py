"""Divide groups among training, validation and test, in tables of the store: no clock, no global random state.

Every domain is divided on its own. A new group goes to the split that is furthest below its share of the domain's
seconds, in an order that depends on the seed and the group's name alone. So no split misses its share by more than the
size of the largest group. Groups that were assigned earlier do not move.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from data_prep.rows import ASSIGNED, CHANGED_GROUP, DUPLICATE, ORDER, USED, RowTable
from data_prep.split_advice import advise_on_splits
from data_prep.split_ratios import SPLITS, SplitRatios, SplitSize, find_empty_splits

LARGE_GROUP = 0.25
"""Groups with more than this share of the seconds of the smallest split are assigned first."""
_Seconds = defaultdict[str, float]
"""Seconds by domain."""


@dataclass(frozen=True)
class SplitAssignment:
    """Result of :func:`assign_splits`, apart from the splits themselves."""

    filled: tuple[str, ...]
    """Splits that got a group only by departing from the requested ratios."""
    advice: tuple[str, ...]
    """Lines for the user about departures from the request."""


class KnownSplits:
    """Splits that groups already have, and samples that belong to a split; the first entry of each holds.

    Args:
        earlier: rows of an earlier run. Its store receives the tables ``splits``, with the split of each group, and
            ``content``, with the split, the group and the key of the clip that has samples of this SHA-256.
    """

    def __init__(self, earlier: RowTable) -> None:
        self._store = earlier.store
        self._store.create("splits", {"name": str, "split": str}, key=["name"])
        self._store.create("content", {"sha256": str, "key": str, "name": str, "split": str}, key=["sha256"])
        order = f"FROM {earlier.name} WHERE split != '' %s ORDER BY {ORDER}"
        self._store.execute(f'INSERT OR IGNORE INTO splits SELECT "group", split {order % ""}')
        with_samples = order % f"AND {ASSIGNED}"
        self._store.execute(f'INSERT OR IGNORE INTO content SELECT sha256, key, "group", split {with_samples}')

    def add(self, groups: Iterable[tuple[str, str]]) -> None:
        """Add groups that have a split from the start.

        Args:
            groups: names and splits of groups.
        """
        self._store.add("splits", groups)


def assign_splits(rows: RowTable, ratios: SplitRatios, *, seed: int = 0) -> SplitAssignment:
    """Assign every group to a split. Of several clips with the same samples, one is used.

    Args:
        rows: all rows; they receive the split of their group, and duplicates are excluded. The tables of
            :class:`KnownSplits` are in the same store, which receives the table ``twins``, with the duplicates of
            clips of other groups.
        ratios: shares of the splits.
        seed: seed of the order in which groups are assigned.

    Returns:
        Which splits were filled, and advice.
    """
    store = rows.store
    store.create("rejected", {"key": str, "reason": str}, key=["key"])
    store.create("twins", {"key": str, "name": str, "used_key": str, "used_name": str}, key=["key"])
    store.add("rejected", _find_duplicates(rows))
    _exclude_rejected(rows)
    _follow_content(rows)
    _reject_content_of_other_splits(rows)
    _exclude_rejected(rows)
    _keep_changed(rows)
    groups = _Groups(rows, ratios, seed)
    groups.assign()
    filled = groups.fill_empty_splits()
    advice = advise_on_splits(groups.sizes(), ratios, filled, groups.largest())
    new = f"coalesce((SELECT split FROM splits WHERE name = {rows.name}.\"group\"), '')"
    store.execute(f"UPDATE {rows.name} SET split = {new}")
    return SplitAssignment(tuple(filled), tuple(advice))


def _find_duplicates(rows: RowTable) -> Iterator[tuple[str, str]]:
    """Find all but one of the clips with the same samples: prefer the clip used in an earlier run, then a clip whose
    group already has a split, then the first by path.
    """
    several = f"SELECT sha256 FROM {rows.name} WHERE {USED} GROUP BY sha256 HAVING count(*) > 1"
    clips = f"""
        SELECT clip.sha256, clip.key, clip."group",
            content.key IS NOT clip.key AS is_new,
            CASE WHEN content.split IS NULL THEN splits.split IS NULL ELSE splits.split IS NOT content.split END AS away
        FROM {rows.name} AS clip
        LEFT JOIN content ON content.sha256 = clip.sha256
        LEFT JOIN splits ON splits.name = clip."group"
        WHERE clip.{USED} AND clip.sha256 IN ({several})
        ORDER BY clip.sha256, is_new, away, clip.key
    """
    for _, same in groupby(rows.store.query(clips), key=itemgetter(0)):
        (_, first_key, first_group, *_), *others = same
        for _, key, group, *_ in others:
            across = ""
            if group != first_group:
                across = f", which belongs to another group ({first_group})"
                rows.store.add("twins", [(key, group, first_key, first_group)])
            yield key, f"{DUPLICATE}: same samples as {first_key}{across}"


def _exclude_rejected(rows: RowTable) -> None:
    """Exclude the rows in the table ``rejected``."""
    rows.store.execute(
        f"""
        UPDATE {rows.name} SET status = 'excluded', reason = rejected.reason FROM rejected
        WHERE rejected.key = {rows.name}.key
        """
    )


def _follow_content(rows: RowTable) -> None:
    """Give a new group the split that already holds most of its audio (for example after files were moved)."""
    rank = "CASE content.split WHEN 'train' THEN 0 WHEN 'val' THEN 1 ELSE 2 END"
    rows.store.execute(
        f"""
        INSERT INTO splits SELECT name, split FROM (
            SELECT clip."group" AS name, content.split,
                row_number() OVER (PARTITION BY clip."group" ORDER BY sum(clip.seconds) DESC, {rank}) AS place
            FROM {rows.name} AS clip JOIN content ON content.sha256 = clip.sha256
            WHERE clip.{USED} AND clip."group" NOT IN (SELECT name FROM splits)
            GROUP BY clip."group", content.split
        ) WHERE place = 1
        """
    )


def _reject_content_of_other_splits(rows: RowTable) -> None:
    """Reject clips whose samples belong to another split than their group, among them clips whose group has changed
    since an earlier run.
    """
    rows.store.execute(
        f"""
        INSERT INTO rejected SELECT clip.key,
            CASE clip.key
            WHEN content.key THEN '{CHANGED_GROUP}: it is now of ' || clip."group" || ', which is in ' || splits.split
            ELSE '{DUPLICATE}: same samples as ' || content.key || ', which is in ' || content.split
                || '; its own group ' || clip."group" || ' is in ' || splits.split
            END
        FROM {rows.name} AS clip
        JOIN content ON content.sha256 = clip.sha256
        JOIN splits ON splits.name = clip."group"
        WHERE clip.{USED} AND splits.split != content.split
        """
    )


def _keep_changed(rows: RowTable) -> None:
    """Give excluded clips whose group has changed to one of another split their earlier group, which keeps them in
    theirs for later runs.
    """
    rows.store.execute(
        f"""
        UPDATE {rows.name} SET "group" = content.name FROM content
        WHERE content.sha256 = {rows.name}.sha256 AND content.key = {rows.name}.key AND status = 'excluded'
            AND content.split IS NOT (SELECT split FROM splits WHERE name = {rows.name}."group")
        """
    )


class _Groups:
    """Groups with their seconds, in a table of the store."""

    def __init__(self, rows: RowTable, ratios: SplitRatios, seed: int) -> None:
        self._rows, self._store, self._ratios = rows, rows.store, ratios
        self._totals: _Seconds = defaultdict(float)
        self._reached = {split: _Seconds(float) for split in SPLITS}
        columns = {"name": str, "seconds": float, "locked": bool, "domain": str, "domains": str}
        self._store.create("groups", {**columns, "large": float, "digest": str}, key=["name"])
        self._sum_domains()
        self._store.add("groups", self._sum_groups(seed))

    def _clips(self, order: str) -> Iterator[tuple[str, str, float, str | None]]:
        return self._store.query(  # type: ignore[return-value]
            f"""
            SELECT "group", domain, seconds, splits.split
            FROM {self._rows.name} LEFT JOIN splits ON splits.name = "group" WHERE {USED} ORDER BY {order}
            """
        )

    def _sum_domains(self) -> None:
        # In a fixed order, so that sums of floats do not depend on the order of the files.
        for _, domain, seconds, split in self._clips("key"):
            self._totals[domain] += seconds
            if split:
                self._reached[split][domain] += seconds

    def _sum_groups(self, seed: int) -> Iterator[tuple[str, float, bool, str, str, float, str]]:
        """Yield the rows of the table. Large groups come first: they then go to training instead of dominating a small
        split.
        """
        smallest = min(share for share in map(self._ratios.share, SPLITS) if share > 0)
        for (name, split), clips in groupby(self._clips('"group", key'), key=itemgetter(0, 3)):
            domains: _Seconds = defaultdict(float)
            total = 0.0
            for _, domain, seconds, _ in clips:
                total += seconds
                domains[domain] += seconds
            main = max(sorted(domains), key=domains.__getitem__)
            large = domains[main] > LARGE_GROUP * smallest * self._totals[main]
            order = -domains[main] if large else 0.0
            yield name, total, bool(split), main, json.dumps(domains), order, _digest(name, seed)

    def assign(self) -> None:
        """Assign the groups without a split."""
        self._store.add("splits", self._assigned())

    def _assigned(self) -> Iterator[tuple[str, str]]:
        new = "SELECT name, domain, domains FROM groups WHERE NOT locked ORDER BY large, digest"
        for name, main, domains in self._store.query(new):
            split = max(
                SPLITS, key=lambda split: self._ratios.share(split) * self._totals[main] - self._reached[split][main]
            )
            for domain, seconds in json.loads(domains).items():
                self._reached[split][domain] += seconds
            yield name, split

    def fill_empty_splits(self) -> list[str]:
        """Fill splits that the ratios leave empty, which happens with few groups, and return the splits that were
        filled.

        Each receives the group, not assigned in an earlier run, whose duration is closest to the split's share.
        """
        filled = []
        for empty in find_empty_splits(self.sizes(), self._ratios):
            sizes = self.sizes()
            wanted = self._ratios.share(empty) * sum(size.seconds for size in sizes.values())
            several = ", ".join(f"'{split}'" for split, size in sizes.items() if size.groups > 1)
            moved = self._store.value(
                f"""
                SELECT name FROM groups JOIN splits USING (name) WHERE NOT locked AND split IN ({several})
                ORDER BY abs(seconds - ?), name
                """,
                wanted,
            )
            if moved is not None:
                self._store.add("splits", [(moved, empty)], replace=True)
                filled.append(empty)
        return filled

    def sizes(self) -> Mapping[str, SplitSize]:
        """Return the sizes of the splits."""
        sizes = {split: SplitSize(0, 0.0, False) for split in SPLITS}
        counted = (
            "SELECT split, count(*), sum(seconds), max(locked) FROM groups JOIN splits USING (name) GROUP BY split"
        )
        for split, count, seconds, locked in self._store.query(counted):
            sizes[split] = SplitSize(count, seconds, bool(locked))
        return sizes

    def largest(self) -> float:
        """Return the seconds of the largest group."""
        return float(self._store.value("SELECT max(seconds) FROM groups") or 0.0)


def _digest(group: str, seed: int) -> str:
    return hashlib.blake2b(f"{seed}:{group}".encode("utf-8", "surrogateescape")).hexdigest()
