"""Manifest of a data folder: a table for programs and people with one row for every file that was found."""

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from codec.errors import UserError
from codec.runtime.atomic_files import replacing, write_text
from codec.runtime.extras import installed
from data_prep.groups import Grouping
from data_prep.rows import ROW_COLUMNS, ManifestRow, RowTable
from data_prep.tables import read_csv

MANIFEST_NAME = "manifest.csv"
PARQUET_NAME = "manifest.parquet"
"""The same table as the manifest, for programs; written if pyarrow is installed, and never read here."""
_ROW_GROUP = 20_000
"""Rows of the Parquet file that are written at a time."""
SETTINGS_NAME = "manifest.json"
"""File next to the manifest with its number of rows and its grouping."""
_FORMATS = [
    (place, {"seconds": ".6f", "bandwidth_hz": ".1f"}.get(name, ".2f"))
    for place, (name, kind) in enumerate(ROW_COLUMNS.items())
    if kind is float
]
"""Places and formats of the numbers with decimals."""
_ADDED = {"start_s": "0", "end_s": "0", "licence": "", "language": "", "text": ""}
"""Columns that the first manifests did not have, with the cells that stand for them."""


@dataclass(frozen=True)
class ManifestSettings:
    """Settings of the run that wrote a manifest."""

    grouping: Grouping
    rows: tuple[int, ...]
    """Number of rows; two numbers if the run was interrupted while it replaced the manifest."""


def read_rows(path: Path) -> Iterator[ManifestRow]:
    """Read the manifest of an earlier run.

    Args:
        path: path of the manifest.

    Yields:
        Its rows; none if there is no manifest.

    Raises:
        UserError: this is no manifest of ``codec prepare``, or it is truncated.
    """
    if not path.is_file():
        return
    if not _ends_with_line(path):
        raise UserError(f"{path}: the last line of the manifest is truncated; restore it, or choose another --out")
    try:
        for row in read_csv(path, ROW_COLUMNS):
            cells = {name: row.get(name) or _ADDED[name] if name in _ADDED else row[name] for name in ROW_COLUMNS}
            yield ManifestRow(**{name: kind(cells[name]) for name, kind in ROW_COLUMNS.items()})
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: this manifest is not of codec prepare ({error!r}); choose another --out") from error


def _ends_with_line(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4))
        return b"\n" in file.read()  # in UTF-16 and UTF-32, which spreadsheets write, zeros may follow


def read_settings(out: Path) -> ManifestSettings | None:
    """Read the settings of an earlier run from a data folder.

    Args:
        out: the data folder.

    Returns:
        The settings; None if there was no run, or its version did not store them.

    Raises:
        UserError: the file is damaged.
    """
    path = out / SETTINGS_NAME
    if not path.is_file():
        return None
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        rows = tuple(int(count) for count in settings["rows"])
        return ManifestSettings(Grouping(settings["group_by"], str(settings["plain"])), rows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path}: the file is damaged ({error!r}); restore it, or choose another --out") from error


def read_earlier_rows(out: Path, table: RowTable) -> None:
    """Read the manifest of an earlier run from a data folder.

    Args:
        out: the data folder.
        table: receives the rows.

    Raises:
        UserError: the manifest is damaged or has lost rows, so that groups could not keep their splits.
    """
    settings = read_settings(out)
    table.add(read_rows(out / MANIFEST_NAME))
    if settings and len(table) not in settings.rows:
        raise UserError(
            f"{out / MANIFEST_NAME}: the manifest has {len(table)} rows, but {settings.rows[-1]} were written; restore"
            " it, or choose another --out"
        )


def write_manifest(out: Path, rows: RowTable, grouping: Grouping, before: int) -> None:
    """Write the manifest and its settings, which agree even if the process is killed in between.

    Args:
        out: the data folder.
        rows: the rows.
        grouping: how groups were made.
        before: number of rows of the manifest that is replaced.

    Raises:
        UserError: a file cannot be written.
    """
    _write_settings(out, [before, len(rows)], grouping)
    write_text(out / MANIFEST_NAME, _format_lines(rows))
    _write_parquet(out / PARQUET_NAME, rows)
    _write_settings(out, [len(rows)], grouping)


def _write_settings(out: Path, rows: list[int], grouping: Grouping) -> None:
    settings = {"rows": rows, "group_by": grouping.rule, "plain": grouping.plain_rule}
    write_text(out / SETTINGS_NAME, json.dumps(settings) + "\n")


def _format_lines(rows: RowTable) -> Iterator[str]:
    """Yield the lines of the table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ROW_COLUMNS)
    for row in rows.cells():
        yield text.getvalue()
        text.seek(0)
        text.truncate()
        writer.writerow(_format_row(row))
    yield text.getvalue()


def _format_row(row: Sequence[object]) -> list[object]:
    cells = list(row)
    for place, form in _FORMATS:
        cells[place] = format(cells[place], form)
    return cells


def _write_parquet(path: Path, rows: RowTable) -> None:
    """Write the same table as Parquet if pyarrow is installed; otherwise, leave none that would be out of date."""
    if not installed("pyarrow"):
        path.unlink(missing_ok=True)
        return
    import pyarrow
    from pyarrow import parquet

    kinds = {str: pyarrow.string(), float: pyarrow.float64(), int: pyarrow.int64()}
    schema = pyarrow.schema([(name, kinds[kind]) for name, kind in ROW_COLUMNS.items()])
    texts = [kind is str for kind in ROW_COLUMNS.values()]
    rest = rows.cells()
    try:
        with replacing(path) as part, parquet.ParquetWriter(part, schema) as writer:
            while group := list(islice(rest, _ROW_GROUP)):
                columns = [
                    list(map(_parquet_text, column)) if is_text else column
                    for is_text, column in zip(texts, zip(*group, strict=True), strict=True)
                ]
                writer.write_table(pyarrow.table(columns, schema=schema))
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror or error})") from error


def _parquet_text(text: str) -> str:
    """Return the value of a cell; bytes of a file name that are not UTF-8 are written as escapes."""
    return text if text.isascii() else text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
