"""Lists of audio files: tables, JSON Lines as NeMo and Hugging Face write them, plain lists of paths.

Kaldi's and lhotse's lists, which consist of several files, are in :mod:`data_prep.toolkits`. The formats are documented
by NeMo under "ASR datasets" (``audio_filepath``), and by Hugging Face ``datasets`` under "AudioFolder" (``file_name``).
"""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from codec.batch.inputs import read_lines
from codec.dataset.columns import GROUP_COLUMNS, TEXT_COLUMNS, first_cell
from codec.errors import UserError
from data_prep import toolkits
from data_prep.entries import AudioEntry, domain_of
from data_prep.tables import (
    PATH_COLUMNS,
    TableRow,
    canonical_names,
    cell_text,
    one_line,
    read_csv,
    read_json_lines,
    read_parquet,
)

TABLES = frozenset({".csv", ".tsv"})
PATH_LISTS = frozenset({".txt", ".lst", ".list"})
PARQUET = ".parquet"
LIST_SUFFIXES = TABLES | PATH_LISTS | {PARQUET, ".jsonl", ".json", ".scp", ".gz"}
"""Suffixes in lower case of files that are read as lists; ``.gz`` stands for ``.jsonl.gz``."""


def read_audio_list(path: Path) -> Iterator[AudioEntry]:
    """Read a list of audio files. Relative paths begin at the list's folder.

    Args:
        path: a table (``.csv``, ``.tsv``, ``.parquet``) with a column ``path`` (or ``audio_filepath``, ``file_name``,
            …) and optionally ``group`` (or ``speaker``, ``client_id``, …), ``domain``, ``source`` and ``text`` (or
            ``sentence``, …); ``.jsonl`` or ``.json`` with such objects, or lhotse's recordings or cuts, compressed as
            ``.gz`` or not; Kaldi's ``wav.scp``; or ``.txt`` with a path on each line.

    Yields:
        An entry for each row; a file may have several. One from an offset on has no text, since files are used as a
        whole.

    Raises:
        UserError: the list cannot be read, names no files, or has a command instead of a file.
    """
    entries = _entries(path)
    if (first := next(entries, None)) is None:
        raise UserError(f"{path}: this list names no files")
    yield first
    yield from entries


def _entries(path: Path) -> Iterator[AudioEntry]:
    suffix = path.suffix.lower()
    if suffix == ".scp":
        return toolkits.read_kaldi(path)
    if suffix in TABLES:
        return _from_rows(path, read_csv(path))
    if suffix == PARQUET:
        return _from_rows(path, read_parquet(path))
    if suffix in PATH_LISTS:
        return _from_rows(path, ({"path": line.rstrip("\r\n")} for line in read_lines(path, "list") if line.strip()))
    if toolkits.is_lhotse(next(read_json_lines(path), {})):
        return iter(toolkits.read_lhotse(path, list(read_json_lines(path))))
    return _from_rows(path, (_json_row(path, value) for value in read_json_lines(path)))


def _json_row(path: Path, value: dict[str, object]) -> TableRow:
    return dict(zip(canonical_names(path, value), map(cell_text, value.values()), strict=True))


def _from_rows(manifest: Path, rows: Iterable[TableRow]) -> Iterator[AudioEntry]:
    folder = Path(os.path.abspath(manifest.parent))
    for number, row in enumerate(rows, 1):
        if not (name := first_cell(row, PATH_COLUMNS)):
            found = ", ".join(filter(None, row)) or "none"
            raise UserError(f"{manifest}: entry {number} has no path; its columns are: {found[:200]}")
        path = Path(os.path.abspath(folder / name))
        if "\\" in name and not path.exists():  # written on Windows
            path = Path(os.path.abspath(folder / name.replace("\\", "/")))
        group, domain = first_cell(row, GROUP_COLUMNS), row.get("domain", "").strip().lower()
        yield AudioEntry(
            path=path,
            relative=toolkits.relative_to(path, folder),
            source=row.get("source", "").strip() or folder.name,
            domain=domain or domain_of(path.parent),
            group=group,
            plain=not group,
            part=bool(row.get("offset", "").strip()),
            text=_text_of_file(row),
            fields={**row, "domain": domain} if domain else row,
        )


def _text_of_file(row: TableRow) -> str:
    """Return the words of a file in one line, or an empty text if the row begins within it, as NeMo's may."""
    try:
        begins_within = float(row.get("offset") or 0) > 0
    except ValueError:
        begins_within = True
    if begins_within:
        return ""
    return one_line(first_cell(row, TEXT_COLUMNS))
