"""Entries from a list of audio files: tables, JSON Lines as NeMo and Hugging Face have them, plain lists of paths.

Kaldi's and lhotse's lists, which have more than one file, are in :mod:`data_prep.toolkits`.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from codec.batch import inputs
from codec.errors import UserError
from data_prep import toolkits
from data_prep.entries import AudioEntry, domain_of
from data_prep.tables import GROUP_COLUMNS, PATH_COLUMNS, TableRow, cell_text, first_cell, read_csv, read_json_lines

TABLES = frozenset({".csv", ".tsv"})
PATH_LISTS = frozenset({".txt", ".lst", ".list"})
LIST_SUFFIXES = TABLES | PATH_LISTS | {".jsonl", ".json", ".scp", ".gz"}
"""Lower-case suffixes of files that are read as lists; ``.gz`` is for ``.jsonl.gz``."""


def read_audio_list(path: Path) -> list[AudioEntry]:
    """Return the files that a list names, each once; relative paths begin at the list's folder.

    A file that stands under several groups is a group of its own.

    Args:
        path: a table (``.csv``, ``.tsv``) with a column ``path`` (or ``audio_filepath``, ``file_name``, …) and perhaps
            ``group`` (or ``speaker``, ``client_id``, …), ``domain`` and ``source``; ``.jsonl`` or ``.json`` with such
            objects, or lhotse's recordings or cuts, also packed as ``.gz``; Kaldi's ``wav.scp``; ``.txt`` with a path
            on each line.

    Raises:
        UserError: it cannot be read, names no files, or names a command in place of a file.
    """
    suffix = path.suffix.lower()
    if suffix == ".scp":
        entries: Iterable[AudioEntry] = toolkits.read_kaldi(path)
    elif suffix in TABLES:
        entries = _from_rows(path, read_csv(path))
    elif suffix in PATH_LISTS:
        entries = _from_rows(path, ({"path": os.fspath(name)} for name in inputs.read_path_list(path)))
    else:
        values = list(read_json_lines(path))
        known = toolkits.read_lhotse(path, values)
        rows = ({name: cell_text(value) for name, value in row.items()} for row in values)
        entries = known if known is not None else _from_rows(path, rows)
    if merged := _merged(entries):
        return merged
    raise UserError(f"{path}: lists no files")


def _from_rows(manifest: Path, rows: Iterable[TableRow]) -> Iterable[AudioEntry]:
    folder = Path(os.path.abspath(manifest.parent))
    for number, row in enumerate(rows, 1):
        if not (name := first_cell(row, PATH_COLUMNS)):
            found = ", ".join(filter(None, row)) or "none"
            raise UserError(f"{manifest}: entry {number} has no path; columns: {found[:200]}")
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
            fields=row,
        )


def _merged(entries: Iterable[AudioEntry]) -> list[AudioEntry]:
    by_path: dict[Path, list[AudioEntry]] = defaultdict(list)
    for entry in entries:
        by_path[entry.path].append(entry)
    return [_one(same) for same in by_path.values()]


def _one(same: Sequence[AudioEntry]) -> AudioEntry:
    groups = {entry.group for entry in same if entry.group}
    return replace(same[0], group=same[0].relative, plain=False) if len(groups) > 1 else same[0]
