"""Manifest of a data folder: a table for programs and people with one row for every file that was found."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from codec.batch.inputs import read_text
from codec.errors import UserError
from codec.runtime.atomic_files import replacing, write_text
from codec.runtime.extras import installed
from data_prep.groups import Grouping
from data_prep.segments import AudioSegment
from data_prep.tables import read_csv

MANIFEST_NAME = "manifest.csv"
PARQUET_NAME = "manifest.parquet"
"""The same table as the manifest, for programs; written if pyarrow is installed, and never read here."""
_ROW_GROUP = 100_000
"""Rows of the Parquet file that are written at a time."""
SETTINGS_NAME = "manifest.json"
"""File next to the manifest with its number of rows and its grouping."""
ABSENT_REASON = "not in the sources: kept so that its group stays in its split"
"""Reason of rows whose file has left the sources."""
_ADDED = {"start_s": "0", "end_s": "0", "licence": "", "language": "", "text": ""}
"""Columns that the first manifests did not have, with the cells that stand for them."""


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

    @property
    def assigned(self) -> bool:
        """True if the audio belongs to a split: it is used, or was used until it left the sources."""
        return bool(self.split) and (self.used or self.reason == ABSENT_REASON)


@dataclass(frozen=True)
class EarlierRun:
    """Result of an earlier run on a data folder."""

    rows: tuple[ManifestRow, ...] = ()
    grouping: Grouping | None = None
    """None if there was no earlier run, or its version did not store the grouping."""


def read_rows(path: Path) -> list[ManifestRow]:
    """Read the manifest of an earlier run.

    Args:
        path: path of the manifest.

    Returns:
        Its rows; empty if there is no manifest.

    Raises:
        UserError: this is no manifest of ``codec prepare``, or it is truncated.
    """
    if not path.is_file():
        return []
    types = {field.name: field.type for field in fields(ManifestRow)}
    if not read_text(path, "manifest").endswith("\n"):
        raise UserError(f"{path}: the last line of the manifest is truncated; restore it, or choose another --out")
    try:
        return [
            ManifestRow(
                **{
                    name: kind(row.get(name) or _ADDED[name] if name in _ADDED else row[name])  # type: ignore
                    for name, kind in types.items()
                }
            )
            for row in read_csv(path, types)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: this manifest is not of codec prepare ({error!r}); choose another --out") from error


def read_earlier_run(out: Path) -> EarlierRun:
    """Read the manifest and settings of an earlier run from a data folder.

    Args:
        out: the data folder.

    Returns:
        Rows and grouping; empty if there was no run.

    Raises:
        UserError: the manifest is damaged or has lost rows, so that groups could not keep their splits.
    """
    rows = tuple(read_rows(out / MANIFEST_NAME))
    if not (out / SETTINGS_NAME).is_file():
        return EarlierRun(rows)
    try:
        settings = json.loads((out / SETTINGS_NAME).read_text(encoding="utf-8"))
        written = [int(count) for count in settings["rows"]]
        grouping = Grouping(settings["group_by"], str(settings["plain"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"{out / SETTINGS_NAME}: the file is damaged ({error!r}); restore it, or choose another --out"
        ) from error
    if len(rows) not in written:
        raise UserError(
            f"{out / MANIFEST_NAME}: the manifest has {len(rows)} rows, but {written[-1]} were written; restore it, or"
            " choose another --out"
        )
    return EarlierRun(rows, grouping)


def write_manifest(out: Path, rows: Sequence[ManifestRow], grouping: Grouping, before: int) -> None:
    """Write the manifest and its settings, which agree even if the process is killed in between.

    Args:
        out: the data folder.
        rows: rows in any order; the table is sorted by path.
        grouping: how groups were made.
        before: number of rows of the manifest that is replaced.

    Raises:
        UserError: a file cannot be written.
    """
    _write_settings(out, [before, len(rows)], grouping)
    rows = sorted(rows, key=lambda row: (row.path, row.start_s))
    write_text(out / MANIFEST_NAME, _format_lines(rows))
    _write_parquet(out / PARQUET_NAME, rows)
    _write_settings(out, [len(rows)], grouping)


def _write_settings(out: Path, rows: list[int], grouping: Grouping) -> None:
    settings = {"rows": rows, "group_by": grouping.rule, "plain": grouping.plain_rule}
    write_text(out / SETTINGS_NAME, json.dumps(settings) + "\n")


def _format_lines(rows: Sequence[ManifestRow]) -> Iterator[str]:
    """Yield the lines of the table."""
    names = [field.name for field in fields(ManifestRow)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        yield text.getvalue()
        text.seek(0)
        text.truncate()
        writer.writerow([_format_cell(name, getattr(row, name)) for name in names])
    yield text.getvalue()


def _write_parquet(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write the same table as Parquet if pyarrow is installed; otherwise, leave none that would be out of date."""
    if not installed("pyarrow"):
        path.unlink(missing_ok=True)
        return
    import pyarrow
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    schema = pyarrow.schema([(field.name, kinds[field.type]) for field in fields(ManifestRow)])  # type: ignore[index]
    try:
        with replacing(path) as part, parquet.ParquetWriter(part, schema) as writer:
            for start in range(0, len(rows), _ROW_GROUP):
                group = rows[start : start + _ROW_GROUP]
                cells = {name: [_parquet_value(getattr(row, name)) for row in group] for name in schema.names}
                writer.write_table(pyarrow.table(cells, schema))
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror or error})") from error


def _parquet_value(value: object) -> object:
    """Return the value of a cell; bytes of a file name that are not UTF-8 are written as escapes."""
    if not isinstance(value, str) or value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _format_cell(name: str, value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6f}" if name == "seconds" else f"{value:.1f}" if name == "bandwidth_hz" else f"{value:.2f}"
    return value
