"""Rows of the manifest, and the tables that hold them during a preparation."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import Any

from data_prep.segments import AudioSegment, segment_key
from data_prep.store import Cell, Store

ABSENT_REASON = "not in the sources: kept so that its group stays in its split"
"""Reason of rows whose file has left the sources."""
DUPLICATE = "duplicate"
"""Kind of the reason for clips with the samples of another clip."""
CHANGED_GROUP = "changed group"
"""Kind of the reason for clips that an earlier run used in another split than that of the group that they have now. The
row keeps the earlier group, so that the clip never gets into another split."""
USED = "status != 'excluded'"
"""Condition on a table of rows: see :attr:`ManifestRow.used`."""
ASSIGNED = f"split != '' AND sha256 != '' AND reason NOT LIKE '{DUPLICATE}:%'"
"""Condition on a table of rows: the audio belongs to a split. It is used, or may have been in an earlier run, although
it has left the sources since, or is excluded, for example as too short."""


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """A file, or a segment of one. The names of the fields are the columns of the table."""

    path: str
    source: str
    domain: str
    group: str
    split: str
    """Split of the group, even if this file is excluded; empty if the group has none."""
    status: str
    """``ok``, ``warned`` or ``excluded``."""
    reason: str
    """Reason why the file is excluded or used with a warning."""
    seconds: float
    sample_rate: int
    """Sample rate of the file, in Hz."""
    channels: int
    format: str
    peak_dbfs: float
    rms_dbfs: float
    noise_dbfs: float
    bandwidth_hz: float
    sha256: str
    """SHA-256 of the decoded samples."""
    start_s: float = 0.0
    """Start of the segment in seconds."""
    end_s: float = 0.0
    """End of the segment in seconds; 0 means the whole file."""
    licence: str = ""
    """Licence as the user's list states it."""
    language: str = ""
    """Language as the user's list states it."""
    text: str = ""
    """Words that are spoken; empty if unknown."""

    @property
    def segment(self) -> AudioSegment:
        """The audio of this row."""
        return AudioSegment(Path(self.path), self.start_s, self.end_s)

    @property
    def used(self) -> bool:
        """True if the audio is packed."""
        return self.status != "excluded"


ROW_COLUMNS: dict[str, Any] = {field.name: field.type for field in fields(ManifestRow)}
"""Columns of the manifest, with their types."""
ORDER = "path, start_s, end_s"
"""Order of the rows of a table."""
ROW_CELLS = ", ".join(f'"{name}"' for name in ROW_COLUMNS)
_cells = attrgetter(*ROW_COLUMNS)


class RowTable:
    """Rows in a table of the store, sorted by path and time.

    Args:
        store: the store.
        name: name of the table. Its columns are those of the manifest and ``key``, see :attr:`AudioSegment.key`.
    """

    def __init__(self, store: Store, name: str) -> None:
        self.store, self.name = store, name
        store.create(name, {**ROW_COLUMNS, "key": str}, key=["path", "start_s", "end_s"])

    def __len__(self) -> int:
        return int(self.store.value(f"SELECT count(*) FROM {self.name}"))

    def __iter__(self) -> Iterator[ManifestRow]:
        return self.where("true")

    def add(self, rows: Iterable[ManifestRow]) -> None:
        """Add rows.

        Args:
            rows: rows of files or segments that the table does not have.
        """
        self.store.add(self.name, ((*_cells(row), segment_key(row.path, row.start_s, row.end_s)) for row in rows))

    def replace_files(self, others: "RowTable") -> None:
        """Replace the rows of the files that another table has by the rows of that table.

        Args:
            others: the other table.
        """
        self.store.execute(f"DELETE FROM {self.name} WHERE path IN (SELECT path FROM {others.name})")
        self.store.execute(f"INSERT INTO {self.name} SELECT * FROM {others.name}")

    def cells(self) -> Iterator[tuple[Any, ...]]:
        """Read the cells of all rows, which takes less time than making rows of them.

        Returns:
            The cells in the order of the columns of the manifest, sorted by path and time.
        """
        return self.store.query(f"SELECT {ROW_CELLS} FROM {self.name} ORDER BY {ORDER}")

    def where(self, condition: str, *values: Cell) -> Iterator[ManifestRow]:
        """Read the rows that fulfil a condition.

        Args:
            condition: condition in SQL.
            values: its parameters.

        Yields:
            The rows, sorted by path and time.
        """
        query = f"SELECT {ROW_CELLS} FROM {self.name} WHERE {condition} ORDER BY {ORDER}"
        return (ManifestRow(*cells) for cells in self.store.query(query, *values))


def count_reasons(rows: RowTable, status: str) -> dict[str, int]:
    """Count rows by the kind of their reason, which is the text before its colon.

    Args:
        rows: the rows.
        status: status of the rows that are counted.

    Returns:
        Number of rows by kind, in the order in which the kinds occur; files that have left the sources come last.
    """
    kind = "CASE instr(reason, ':') WHEN 0 THEN reason ELSE substr(reason, 1, instr(reason, ':') - 1) END"
    counted = f"""
        SELECT {kind} AS kind, count(*) FROM {rows.name} WHERE status = ?
        GROUP BY kind ORDER BY min(reason = '{ABSENT_REASON}'), min(path)
    """
    return dict(rows.store.query(counted, status))
