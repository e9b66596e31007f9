"""Manifests: CSV tables that name audio files and give further columns for their tokens."""

import csv
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from codec.batch.inputs import read_text
from codec.errors import UserError


def read_manifest(path: Path) -> dict[Path, dict[str, str]]:
    """Read a manifest.

    Args:
        path: a CSV table with a column ``path``, relative to the folder of the table

    Returns:
        The files that it names, each with its other columns.

    Raises:
        UserError: no such table, or it names no files.
    """
    found = {}
    try:
        for row in csv.DictReader(io.StringIO(read_text(path, "manifest"), newline="")):
            if place := row.pop("path"):
                found[path.parent / place] = {name: text or "" for name, text in row.items() if name}
    except (KeyError, TypeError, csv.Error) as error:
        raise UserError(f"{path}: not a manifest; write a CSV table with a column named path") from error
    if not found:
        raise UserError(f"{path}: names no files; write their paths into the column path")
    return found


def find_rows(sources: Iterable[Path], rows: Mapping[Path, dict[str, str]]) -> dict[Path, dict[str, str]]:
    """Find the rows of some files, however their paths are written.

    Args:
        sources: the files
        rows: from :func:`read_manifest`

    Returns:
        The columns of each source that has a row.
    """
    absolute = {os.path.abspath(path): columns for path, columns in rows.items()}
    paths = {source: os.path.abspath(source) for source in sources}
    return {source: absolute[path] for source, path in paths.items() if path in absolute}
