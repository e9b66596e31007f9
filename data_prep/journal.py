"""Journal of the audio scan: a line for each file that was measured, so that a later run need not decode it again.

Lines are appended one by one, and sorted once all are there. During a run, a table in the store holds the same.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO

from codec.audio.statistics import AudioStats
from codec.errors import UserError
from codec.runtime.atomic_files import write_text
from data_prep.segments import AudioSegment, segment_key
from data_prep.store import Cell, Store

SCAN_JOURNAL = "inventory.jsonl"
"""Name of the journal in the data folder."""
_BITS = 63
"""Size of integers in the store, without their sign."""
_VERSION = 2
"""Version of the measurements. Lines of other versions are ignored."""


@dataclass(frozen=True, slots=True)
class ScanRecord:
    """Measurements of a file, or of a segment of it: a line of the journal."""

    path: str
    size: int
    """Size of the file in bytes; with ``mtime_ns``, it shows whether the file has changed since."""
    mtime_ns: int
    """Time of the last change, in nanoseconds."""
    error_kind: str = ""
    """Reason, in one or two words, why the file could not be decoded completely; empty if it could."""
    error: str = ""
    """Details of the reason."""
    format: str = ""
    """Container and encoding, such as ``WAV/PCM_16``."""
    stats: AudioStats = field(default_factory=AudioStats)
    """Measurements; at their defaults after an error."""
    start_s: float = 0.0
    """Start of the segment in seconds."""
    end_s: float = 0.0
    """End of the segment in seconds; 0 means the whole file."""

    @property
    def segment(self) -> AudioSegment:
        """The audio that was measured."""
        return AudioSegment(Path(self.path), self.start_s, self.end_s)

    @property
    def seconds(self) -> float:
        """Duration in seconds, 0 after an error."""
        return self.stats.frames / self.stats.sample_rate if self.stats.sample_rate else 0.0


_STATS: dict[str, Any] = {entry.name: entry.type for entry in fields(AudioStats)}
_OTHERS: dict[str, Any] = {entry.name: entry.type for entry in fields(ScanRecord) if entry.name != "stats"}
_NAMES = [name for entry in fields(ScanRecord) for name in (_STATS if entry.name == "stats" else [entry.name])]
_FIRST = _NAMES.index(next(iter(_STATS)))
"""Place of the first of the statistics, which stand between the other fields."""
_CELLS = ", ".join(f"measured.{name}" for name in _NAMES)


class SegmentQueue:
    """Audio that must be measured, in a table of the store."""

    def __init__(self, store: Store, spans: Iterable[tuple[str, float, float]]) -> None:
        self._store = store
        store.create("queue", {"path": str, "start_s": float, "end_s": float})
        store.add("queue", spans)

    def __len__(self) -> int:
        return int(self._store.value("SELECT count(*) FROM queue"))

    def __iter__(self) -> Iterator[AudioSegment]:
        for path, start_s, end_s in self._store.query("SELECT * FROM queue ORDER BY rowid"):
            yield AudioSegment(Path(path), start_s, end_s)


class ScanJournal:
    """The journal of a data folder.

    Args:
        path: its path; it may be missing. Lines that are damaged are left out, so that their files are measured again.
        store: its table ``measured`` receives the measurements, by :attr:`AudioSegment.key`.
    """

    def __init__(self, path: Path, store: Store) -> None:
        self._path, self._store = path, store
        store.create("measured", {"key": str, **{name: (_STATS | _OTHERS)[name] for name in _NAMES}}, key=["key"])
        if path.is_file():
            with path.open("rb") as lines:
                self._enter(record for record in map(_parse_line, lines) if record)

    def queue(self, table: str, key: str, span: str = "0.0, 0.0") -> SegmentQueue:
        """List the audio that is not in the journal, or whose file has changed since.

        Args:
            table: a table of the store with a column ``path``.
            key: its column with :attr:`AudioSegment.key`.
            span: its columns with start and end in seconds; by default, files are whole.

        Returns:
            The part of it that must be measured, in the same order.
        """
        joined = f"{table} LEFT JOIN measured ON measured.key = {table}.{key}"
        columns = f"{table}.path, {span}, measured.size, measured.mtime_ns"
        rows = self._store.query(f"SELECT {columns} FROM {joined} ORDER BY {table}.path, {span}")
        return SegmentQueue(self._store, (row[:3] for row in rows if not _is_current(row[0], row[3:])))

    def append(self, records: Iterable[ScanRecord]) -> None:
        """Write measurements as they arrive, then sort the journal.

        Args:
            records: the measurements.

        Raises:
            UserError: the journal cannot be written.
        """
        try:
            with self._path.open("a+b") as file:
                if _is_cut_off(file):
                    file.write(b"\n")
                self._enter(_written(records, file))
        except OSError as error:
            raise UserError(f"{self._path}: cannot write ({error.strerror})") from error
        rows = self._store.query(f"SELECT {_CELLS} FROM measured ORDER BY key")
        write_text(self._path, map(_format_line, rows))

    def records(self, table: str, key: str, span: str = "0.0, 0.0") -> Iterator[ScanRecord]:
        """Read measurements.

        Args:
            table: as for :meth:`queue`.
            key: as for :meth:`queue`.
            span: as for :meth:`queue`.

        Yields:
            The measurements of its audio, sorted by path and time.
        """
        joined = f"{table} JOIN measured ON measured.key = {table}.{key}"
        return map(_record, self._store.query(f"SELECT {_CELLS} FROM {joined} ORDER BY {table}.path, {span}"))

    def _enter(self, records: Iterable[ScanRecord]) -> None:
        self._store.add("measured", ((_key(record), *_cells(record)) for record in records), replace=True)


def _is_current(path: str, measured: tuple[int | None, int | None]) -> bool:
    """Return whether a file still has the size and time that it had when it was measured."""
    if measured[0] is None:
        return False
    try:
        stat = os.stat(path)
    except OSError:
        return False
    return measured == (stat.st_size, stat.st_mtime_ns)


def _written(records: Iterable[ScanRecord], file: BinaryIO) -> Iterator[ScanRecord]:
    for record in records:
        file.write(_format_line(_cells(record)).encode())
        file.flush()
        yield record


def _is_cut_off(file: BinaryIO) -> bool:
    """Return whether the last line is truncated, so that a new line must be started before writing."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


def _key(record: ScanRecord) -> str:
    return segment_key(record.path, record.start_s, record.end_s)


def _cells(record: ScanRecord) -> tuple[Cell, ...]:
    stats = record.stats
    return (
        record.path, record.size, record.mtime_ns, record.error_kind, record.error, record.format,
        *(getattr(stats, name) for name in _STATS), record.start_s, record.end_s,
    )  # fmt: skip


def _record(cells: Sequence[Any]) -> ScanRecord:
    last = _FIRST + len(_STATS)
    values = [*cells[:_FIRST], AudioStats(*cells[_FIRST:last]), *cells[last:]]
    return ScanRecord(*values)


def _format_line(cells: Sequence[Cell]) -> str:
    return json.dumps({"v": _VERSION, **dict(zip(_NAMES, cells, strict=True))}) + "\n"


def _parse_line(line: bytes) -> ScanRecord | None:
    """Return the record of a line, None if it is damaged or of another version."""
    try:
        values = json.loads(line)
        if values.pop("v") != _VERSION:
            return None
        stats = {name: _checked(values.pop(name), kind) for name, kind in _STATS.items()}
        others = {name: _checked(values.pop(name), kind) for name, kind in _OTHERS.items()}
        return ScanRecord(**others, stats=AudioStats(**stats), **values)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _checked(value: object, kind: object) -> Any:
    """Return the value of a field of this type. Raises ``ValueError`` for another type, NaN, infinity and numbers of
    more than 64 bits.
    """
    wanted = (int, float) if kind is float else (kind,)
    if type(value) not in wanted or (isinstance(value, float) and not math.isfinite(value)):
        raise ValueError(f"{value!r} is no {kind}")
    if isinstance(value, int) and value.bit_length() > _BITS:
        raise ValueError(f"{kind} out of range")
    return value
