"""Refuse preparations that would leave a split empty, and name the options that would fill it."""

from collections.abc import Sequence

from codec.errors import UserError
from data_prep.excerpts import SHORTEST_S
from data_prep.group_rules import FILE, TIME
from data_prep.groups import Grouping
from data_prep.rows import USED, RowTable, count_reasons
from data_prep.split_ratios import SPLITS, SplitRatios

_BY_FILE = "--group-by file (each of {} files is a group)"
_BY_TIME = f"--group-by time (recordings of {SHORTEST_S:g} s or more are divided)"
_ALL_TRAINING = "--ratios 1:0:0 (all for training)"


def refuse_too_few_groups(n_files: int, n_groups: int, ratios: SplitRatios, grouping: Grouping) -> None:
    """Refuse too few groups before decoding, if there are enough files for all splits.

    Args:
        n_files: number of files.
        n_groups: number of their groups.
        ratios: shares of the splits.
        grouping: how groups were made.

    Raises:
        UserError: the groups cannot fill all splits, and another grouping could.
    """
    wanted = _count_wanted(ratios)
    if grouping.rule not in (FILE, TIME) and n_groups < wanted <= n_files:
        ways = [_BY_FILE.format(n_files), _BY_TIME, _ALL_TRAINING]
        raise UserError(f"{n_files} files in {n_groups} groups cannot fill {wanted} splits; use {_list_ways(ways)}")


def refuse_empty_splits(rows: RowTable, ratios: SplitRatios, grouping: Grouping, *, repeated: bool) -> None:
    """Refuse an assignment that leaves a split without clips.

    Args:
        rows: all rows with their splits.
        ratios: shares of the splits.
        grouping: how groups were made.
        repeated: an earlier run has assigned groups, which keep their splits.

    Raises:
        UserError: a split with a share has no clip. The message names the options that would fill it.
    """
    counted = f"SELECT split, count(*), max(seconds) FROM {rows.name} WHERE {USED} GROUP BY split"
    used = {split: (count, longest) for split, count, longest in rows.store.query(counted)}
    empty = [split for split in SPLITS if ratios.share(split) > 0 and split not in used]
    if not empty:
        return
    count = sum(count for count, _ in used.values())
    groups = rows.store.value(f'SELECT count(DISTINCT "group") FROM {rows.name} WHERE {USED}')
    ways = ["add recordings of more groups"]
    if repeated:
        ways.append("choose another --out, since groups keep their splits")
    else:
        if grouping.rule not in (FILE, TIME) and count >= _count_wanted(ratios) > groups:
            ways.append(f"use {_BY_FILE.format(count)}")
        if grouping.rule != TIME and any(longest >= SHORTEST_S for _, longest in used.values()):
            ways.append(f"use {_BY_TIME}")
        ways.append(f"use {_ALL_TRAINING}")
    excluded = len(rows) - count
    left_out = f"; {excluded} files are excluded ({list_reasons(rows)})" if excluded else ""
    raise UserError(
        f"the {' and '.join(empty)} split would be empty: there are {count} usable files in {groups} groups"
        f"{left_out}; {_list_ways(ways)}"
    )


def list_reasons(rows: RowTable) -> str:
    """Return the number of excluded rows for each kind of reason.

    Args:
        rows: all rows.

    Returns:
        Text such as ``2 empty, 1 silent``.
    """
    counts = count_reasons(rows, "excluded")
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))


def _count_wanted(ratios: SplitRatios) -> int:
    """Return the number of splits that have a share."""
    return sum(ratios.share(split) > 0 for split in SPLITS)


def _list_ways(ways: Sequence[str]) -> str:
    return ", or ".join(ways)
