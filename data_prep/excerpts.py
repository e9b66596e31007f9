"""Divide long recordings by time, if there are too few to assign each to a split as a whole.

Each is cut into an excerpt for training, one for validation and one for testing, in this order. A gap between them is
left out, so that no sound, word or reverberation occurs in two splits.
"""

from collections.abc import Iterable, Iterator
from dataclasses import astuple, dataclass, replace

from data_prep.rows import ASSIGNED, ORDER, USED, ManifestRow, RowTable
from data_prep.segments import AudioSegment
from data_prep.split_ratios import SPLITS, SplitRatios

GAP_S = 5.0
"""Seconds that are left out between two excerpts."""
SPAN = "parts.start_s, parts.end_s"
"""Columns of the table ``parts`` with the time."""
SHORTEST_S = 120.0
"""Shorter recordings are not divided."""


@dataclass(frozen=True)
class SplitExcerpt:
    """A part of a recording, from ``start_s`` to ``end_s`` in seconds, that belongs to a split."""

    split: str
    start_s: float
    end_s: float

    def segment_of(self, row: ManifestRow) -> AudioSegment:
        """Return this part of a file.

        Args:
            row: row of the whole file.

        Returns:
            The segment.
        """
        return AudioSegment(row.segment.path, self.start_s, self.end_s)

    def group_of(self, row: ManifestRow) -> str:
        """Return the name of the group of this part, which is in one split although the recording is not.

        Args:
            row: row of the whole file.

        Returns:
            Name of the file's group, with the times.
        """
        return f"{row.group} from {self.start_s:.2f} to {self.end_s:.2f} s"


def divide_recording(seconds: float, ratios: SplitRatios) -> list[SplitExcerpt]:
    """Divide a recording into one excerpt for each split.

    Args:
        seconds: duration of the recording.
        ratios: shares of the splits; those without a share have no excerpt.

    Returns:
        Excerpts in the order of time, at whole hundredths of a second.

    >>> [(part.split, part.start_s, part.end_s) for part in divide_recording(210.0, SplitRatios(0.8, 0.1, 0.1))]
    [('train', 0.0, 160.0), ('val', 165.0, 185.0), ('test', 190.0, 210.0)]
    """
    splits = [split for split in SPLITS if ratios.share(split) > 0]
    left = seconds - GAP_S * (len(splits) - 1)
    excerpts, at = [], 0.0
    for split in splits:
        end = min(at + ratios.share(split) * left, seconds)
        # Rounded down at the end of the recording, since nothing follows it.
        rounded = int(100 * end) / 100 if split == splits[-1] else round(end, 2)
        excerpts.append(SplitExcerpt(split, round(at, 2), rounded))
        at = end + GAP_S
    return excerpts


class PlannedExcerpts:
    """Excerpts of the files that are divided, in the table ``parts`` of the store.

    Args:
        rows: rows of whole files.
        excerpts: rows of files that are divided, with each of their excerpts.
    """

    def __init__(self, rows: RowTable, excerpts: Iterable[tuple[ManifestRow, SplitExcerpt]]) -> None:
        self._rows = rows
        columns = {"split": str, "start_s": float, "end_s": float, "path": str, "key": str}
        rows.store.create("parts", columns, key=["path", "start_s", "end_s"])
        cells = ((*astuple(excerpt), row.path, excerpt.segment_of(row).key) for row, excerpt in excerpts)
        rows.store.add("parts", cells)

    def __len__(self) -> int:
        return int(self._rows.store.value("SELECT count(*) FROM parts"))

    def __iter__(self) -> Iterator[tuple[ManifestRow, SplitExcerpt]]:
        joined = f"parts JOIN {self._rows.name} AS file ON file.path = parts.path AND file.end_s = 0"
        query = f"SELECT parts.split, parts.start_s, parts.end_s, file.* FROM {joined} ORDER BY parts.path, {SPAN}"
        for split, start_s, end_s, *row, _ in self._rows.store.query(query):
            yield ManifestRow(*row), SplitExcerpt(split, start_s, end_s)


def plan_excerpts(rows: RowTable, earlier: RowTable, ratios: SplitRatios, *, by_time: bool) -> PlannedExcerpts:
    """Decide which files are divided.

    A recording that an earlier run divided keeps its excerpts, even under another name; one that belongs to a split as
    a whole stays whole.

    Args:
        rows: rows of whole files.
        earlier: rows of the earlier run, of whose files the table ``measured`` has the samples' SHA-256.
        ratios: shares of the splits.
        by_time: divide long recordings that are new.

    Returns:
        The excerpts.
    """
    known = _EarlierExcerpts(earlier)
    return PlannedExcerpts(rows, _plan(rows, earlier, ratios, known, by_time) if by_time or len(known) else ())


def _plan(
    rows: RowTable, earlier: RowTable, ratios: SplitRatios, known: "_EarlierExcerpts", by_time: bool
) -> Iterator[tuple[ManifestRow, SplitExcerpt]]:
    store = rows.store
    # Files of one recording, such as stems of a song, are cut at the same times.
    store.create("longest", {"group": str, "seconds": float}, key=["group"])
    store.execute(f'INSERT INTO longest SELECT "group", max(seconds) FROM {rows.name} WHERE {USED} GROUP BY "group"')
    whole = f"SELECT sha256 FROM {earlier.name} WHERE end_s = 0 AND {ASSIGNED}"
    details = f"""
        SELECT longest.seconds, sha256 IN ({whole})
        FROM {rows.name} JOIN longest USING ("group") WHERE {USED} ORDER BY {ORDER}
    """
    for row, (longest, stays_whole) in zip(rows.where(USED), store.query(details), strict=True):
        excerpts = known.of(row.sha256)
        if not excerpts and by_time and longest >= SHORTEST_S and not stays_whole:
            excerpts = _limit(row.seconds, divide_recording(longest, ratios))
        for excerpt in excerpts:
            yield row, excerpt


class _EarlierExcerpts:
    """Excerpts of an earlier run by SHA-256 of the recording's samples."""

    def __init__(self, earlier: RowTable) -> None:
        self._store = earlier.store
        columns = {"sha256": str, "start_s": float, "end_s": float, "split": str}
        self._store.create("excerpts", columns, key=list(columns))
        self._store.execute(
            f"""
            INSERT OR IGNORE INTO excerpts
            SELECT measured.sha256, part.start_s, part.end_s, part.split
            FROM (SELECT * FROM {earlier.name} WHERE end_s > 0 AND {ASSIGNED}) AS part
            JOIN measured ON measured.key = part.path
            """
        )
        self._count = int(self._store.value("SELECT count(*) FROM excerpts"))

    def __len__(self) -> int:
        return self._count

    def of(self, sha256: str) -> list[SplitExcerpt]:
        if not self._count:
            return []
        known = "SELECT split, start_s, end_s FROM excerpts WHERE sha256 = ? ORDER BY start_s, end_s, split"
        return [SplitExcerpt(*cells) for cells in self._store.query(known, sha256)]


def _limit(seconds: float, excerpts: Iterable[SplitExcerpt]) -> list[SplitExcerpt]:
    """Return the parts of the excerpts that a file of this duration has."""
    end = int(100 * seconds) / 100
    return [replace(excerpt, end_s=min(excerpt.end_s, end)) for excerpt in excerpts if excerpt.start_s < end]
