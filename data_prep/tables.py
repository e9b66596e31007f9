"""Read the tables that list audio: CSV, TSV and JSON Lines of any spreadsheet, editor or system, and Parquet.

For encodings see :func:`codec.batch.inputs.read_text`. The separator is a comma, a semicolon, a tab or a vertical bar,
the one that separates the largest number of known column names in the header.
"""

import csv
import json
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from codec.batch.inputs import read_lines, read_text
from codec.dataset.columns import GROUP_COLUMNS, LANGUAGE_COLUMNS, LICENCE_COLUMNS, TEXT_COLUMNS
from codec.errors import UserError
from codec.runtime.extras import require_installed

TableRow = dict[str, str]
"""Cells of a row by column name."""

PATH_COLUMNS = (
    "path", "audio_filepath", "file_name", "audio_path", "filepath", "file_path", "filename", "file", "wav_path",
    "audio_file", "wav", "audio",
)  # fmt: skip
"""Names of the column with the path; the first one present counts. NeMo has audio_filepath, Hugging Face file_name."""
_KNOWN_COLUMNS = frozenset(
    (*PATH_COLUMNS, *GROUP_COLUMNS, *LICENCE_COLUMNS, *LANGUAGE_COLUMNS, *TEXT_COLUMNS, "domain", "source")
)

COLUMNS_OF_NO_GROUP = _KNOWN_COLUMNS | {"offset", "duration"}
"""Names of columns that do not say which files belong together, or that do so without being asked for."""


def read_header(path: Path) -> list[str]:
    """Read the column names of a CSV or TSV table.

    Args:
        path: the table.

    Returns:
        The names in the first line; empty if the table is.

    Raises:
        UserError: the table cannot be read, or its first line is malformed.
    """
    first = next(read_lines(path, "list"), "").rstrip("\r\n")
    try:
        names = next(csv.reader([first], delimiter=_separator(path, first, PATH_COLUMNS)), [])
        return [canonical_name(name) for name in names]
    except csv.Error as error:
        raise UserError(f"{path}: line 1 is malformed ({error})") from error


def read_csv(path: Path, known: Collection[str] = PATH_COLUMNS) -> Iterator[TableRow]:
    """Read the rows of a CSV or TSV table with a header.

    Args:
        path: the table; ``.tsv`` is read without quoting, as Common Voice writes it.
        known: column names by which the separator is recognised.

    Yields:
        Rows, in which missing cells are empty.

    Raises:
        UserError: the table cannot be read, or is malformed: a column occurs twice, or a row has more cells than the
            header.
    """
    tabs = path.suffix.lower() == ".tsv"
    separator = _separator(path, next(read_lines(path, "list"), "").rstrip("\r\n"), known)
    lines = read_lines(path, "list", newline="")
    reader = (
        csv.DictReader(lines, delimiter=separator, quoting=csv.QUOTE_NONE)
        if tabs
        else csv.DictReader(lines, delimiter=separator)
    )
    try:
        reader.fieldnames = canonical_names(path, reader.fieldnames or ())
        for row in reader:
            _refuse_more_cells(path, reader.line_num, row.get(None, ()))  # type: ignore[call-overload]
            yield {name: value or "" for name, value in row.items() if isinstance(name, str)}
    except csv.Error as error:
        raise UserError(f"{path}: line {reader.line_num} is malformed ({error})") from error


def read_json_lines(path: Path) -> Iterator[dict[str, object]]:
    """Read a file with one JSON object on each line, or with one JSON list of objects.

    Args:
        path: the file.

    Yields:
        The objects.

    Raises:
        UserError: the file cannot be read, or a line, which the message names, is no object.
    """
    first = next((line for line in read_lines(path, "list") if line.strip()), "")
    if first.lstrip().startswith("["):
        values = _json(read_text(path, "list"), f"{path}: not JSON")
        for number, value in enumerate(values if isinstance(values, list) else [values], 1):
            yield _object(value, f"{path}: element {number}")
        return
    for number, line in enumerate(read_lines(path, "list"), 1):
        if line.strip():
            yield _object(_json(line, f"{path}: line {number} is not JSON"), f"{path}: line {number}")


def read_parquet(path: Path) -> Iterator[TableRow]:
    """Read the rows of a Parquet table.

    Args:
        path: the table.

    Yields:
        Rows, in which missing cells are empty. Columns of bytes or of nested values are left out.

    Raises:
        UserError: the table cannot be read, or pyarrow is not installed.
    """
    require_installed(f"{path}: reading Parquet", "parquet")
    import pyarrow
    from pyarrow import parquet

    def is_plain(kind: object) -> bool:
        return not pyarrow.types.is_nested(kind) and not pyarrow.types.is_binary(kind)

    try:
        with parquet.ParquetFile(path) as file:
            fields = [field.name for field in file.schema_arrow if is_plain(field.type)]
            names = canonical_names(path, fields)
            for batch in file.iter_batches(columns=fields):
                for row in batch.to_pylist():
                    yield {name: cell_text(row[field]) for name, field in zip(names, fields, strict=True)}
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: this list cannot be read ({' '.join(str(error).split())[:200]})") from error


def cell_text(value: object) -> str:
    """Convert a JSON value to the cell of a table.

    Args:
        value: the value.

    Returns:
        Text: empty for null and for NaN, which stands for a missing value; JSON for lists and objects.

    >>> cell_text(None), cell_text(7), cell_text(["a"])
    ('', '7', '["a"]')
    """
    return (
        "" if value is None or value != value else json.dumps(value) if isinstance(value, dict | list) else str(value)
    )


def one_line(text: str) -> str:
    """Replace line breaks and repeated spaces by single spaces.

    Args:
        text: any text.

    Returns:
        One line.
    """
    return " ".join(text.split())


def _json(text: str, failure: str) -> object:
    try:
        return json.loads(text)
    except RecursionError as error:
        raise UserError(f"{failure} (nested too deeply)") from error
    except ValueError as error:
        raise UserError(f"{failure} ({error})") from error


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise UserError(f"{where} is not an object with a path")
    return value


def _refuse_more_cells(path: Path, line: int, more: Iterable[str]) -> None:
    """Refuse a row with cells beyond the header: a separator within a text would move the cells after it."""
    if any(cell.strip() for cell in more):
        raise UserError(
            f"{path}: line {line} has more cells than the header; put a text with the separator in quotation marks"
        )


def canonical_name(name: str) -> str:
    """Return the name of a column; known ones may be written in capitals and with spaces.

    Args:
        name: the name in the header.

    Returns:
        The name in lower case and with underscores if it is known, else without spaces around it.

    >>> canonical_name(" Speaker ID"), canonical_name("Take")
    ('speaker_id', 'Take')
    """
    plain = name.strip().lower().replace(" ", "_")
    return plain if plain in _KNOWN_COLUMNS else name.strip()


def canonical_names(path: Path, names: Iterable[str]) -> list[str]:
    """Return the names of the columns of a list.

    Args:
        path: the list, for messages.
        names: the names in its header.

    Returns:
        Names as :func:`canonical_name` returns them.

    Raises:
        UserError: two columns have the same name.
    """
    found = [canonical_name(name) for name in names]
    for name in dict.fromkeys(found):
        if name and found.count(name) > 1:
            raise UserError(f"{path}: {found.count(name)} columns are called {name}; give each a name of its own")
    return found


def _separator(path: Path, first: str, known: Collection[str]) -> str:
    """Return the separator of a table: the one that gives the largest number of known names in its header; by default a
    comma.
    """
    if path.suffix.lower() == ".tsv":
        return "\t"

    def score(separator: str) -> tuple[int, int]:
        names = [canonical_name(name.strip().strip('"')) for name in first.split(separator)]
        return len({*known, *GROUP_COLUMNS}.intersection(names)), len(names)

    return max(",;\t|", key=score)
