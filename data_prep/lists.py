"""Lists of audio files: tables, JSON Lines as NeMo and Hugging Face write them, plain lists of paths.

Kaldi's and lhotse's lists, which consist of several files, are in :mod:`data_prep.toolkits`. The formats are documented
by NeMo under "ASR datasets" (``audio_filepath``), and by Hugging Face ``datasets`` under "AudioFolder" (``file_name``).
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from codec.batch import inputs
from codec.dataset.columns import GROUP_COLUMNS, TEXT_COLUMNS, first_cell
from codec.errors import UserError
from data_prep import toolkits
from data_prep.entries import AudioEntry, domain_of
from data_prep.tables import PATH_COLUMNS, TableRow, cell_text, one_line, read_csv, read_json_lines, read_parquet

TABLES = frozenset({".csv", ".tsv"})
PATH_LISTS = frozenset({".txt", ".lst", ".list"})
PARQUET = ".parquet"
LIST_SUFFIXES = TABLES | PATH_LISTS | {PARQUET, ".jsonl", ".json", ".scp", ".gz"}
"""Suffixes in lower case of files that are read as lists; ``.gz`` stands for ``.jsonl.gz``."""


def read_audio_list(path: Path) -> list[AudioEntry]:
    """Read a list of audio files. Relative paths begin at the list's folder.

    Args:
        path: a table (``.csv``, ``.tsv``, ``.parquet``) with a column ``path`` (or ``audio_filepath``, ``file_name``,
            …) and optionally ``group`` (or ``speaker``, ``client_id``, …), ``domain``, ``source`` and ``text`` (or
            ``sentence``, …); ``.jsonl`` or ``.json`` with such objects, or lhotse's recordings or cuts, compressed as
            ``.gz`` or not; Kaldi's ``wav.scp``; or ``.txt`` with a path on each line.

    Returns:
        The files, each once. A file that the list has in several groups is a group of its own; one that it has with
        several texts, or from an offset on, has no text, since files are used as a whole.

    Raises:
        UserError: the list cannot be read, names no files, or has a command instead of a file.
    """
    suffix = path.suffix.lower()
    if suffix == ".scp":
        entries: Iterable[AudioEntry] = toolkits.read_kaldi(path)
    elif suffix in TABLES:
        entries = _from_rows(path, read_csv(path))
    elif suffix == PARQUET:
        entries = _from_rows(path, read_parquet(path))
    elif suffix in PATH_LISTS:
        entries = _from_rows(path, ({"path": os.fspath(name)} for name in inputs.read_path_list(path)))
    else:
        values = list(read_json_lines(path))
        known = toolkits.read_lhotse(path, values)
        rows = ({name: cell_text(value) for name, value in row.items()} for row in values)
        entries = known if known is not None else _from_rows(path, rows)
    if merged := _merged(entries):
        return merged
    raise UserError(f"{path}: this list names no files")


def _from_rows(manifest: Path, rows: Iterable[TableRow]) -> Iterable[AudioEntry]:
    folder = Path(os.path.abspath(manifest.parent))
    for number, row in enumerate(rows, 1):
        if not (name := first_cell(row, PATH_COLUMNS)):
            found = ", ".join(filter(None, row)) or "none"
            raise UserError(f"{manifest}: entry {number} has no path; its columns are: {found[:200]}")
        path = Path(os.path.abspath(folder / name))
        if "\\" in name and not path.exists():  # written on Windows
            path = Path(os.path.abspath(folder / name.replace("\\", "/")))
        group = first_cell(row, GROUP_COLUMNS)
        yield AudioEntry(
            path=path,
            relative=toolkits.relative_to(path, folder),
            source=row.get("source") or folder.name,
            domain=row.get("domain") or domain_of(path.parent),
            group=group,
            plain=not group,
            text=_text_of_file(row),
            fields=row,
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


def _merged(entries: Iterable[AudioEntry]) -> list[AudioEntry]:
    by_path: dict[Path, list[AudioEntry]] = defaultdict(list)
    for entry in entries:
        by_path[entry.path].append(entry)
    return [_one(same) for same in by_path.values()]


def _one(same: Sequence[AudioEntry]) -> AudioEntry:
    groups = {entry.group for entry in same if entry.group}
    texts = {entry.text for entry in same}
    first = same[0] if len(texts) == 1 else replace(same[0], text="")
    return replace(first, group=first.relative, plain=False) if len(groups) > 1 else first
