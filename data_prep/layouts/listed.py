"""Folders with a list of their files: manifests of this project, NeMo, Hugging Face, Kaldi, ESPnet and lhotse."""

import re
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from codec.batch.inputs import read_lines
from codec.dataset.columns import GROUP_COLUMNS, TEXT_COLUMNS
from codec.errors import UserError
from data_prep.layouts.tree import CorpusLayout, FolderTree
from data_prep.lists import read_audio_list
from data_prep.tables import PATH_COLUMNS, read_header, read_json_lines

_OWN = "manifest.csv"
TRIED_ROWS = 100
"""Rows of a table of which one must name a file that exists, for it to be the list of its folder."""
_HUGGING_FACE = ("metadata.csv", "metadata.jsonl")


def recognise_own_manifest(tree: FolderTree) -> CorpusLayout | None:
    """Recognise ``manifest.csv`` with a column ``path``, a list of this project.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    if _OWN not in tree.names or "path" not in read_header(tree.root / _OWN):
        return None
    return _layout(tree, [_OWN], "manifest")


def recognise_hugging_face(tree: FolderTree) -> CorpusLayout | None:
    """Recognise an audio folder of Hugging Face: ``metadata.csv`` or ``metadata.jsonl`` with ``file_name``.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    for name in _HUGGING_FACE:
        if name in tree.names and "file_name" in _columns(tree, name):
            return _layout(tree, [name], "Hugging Face metadata")
    return None


def recognise_kaldi(tree: FolderTree) -> CorpusLayout | None:
    """Recognise a data folder of Kaldi or ESPnet: ``wav.scp``, with the speakers in ``utt2spk``.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    return _layout(tree, ["wav.scp"], "Kaldi data folder", "utt2spk") if "wav.scp" in tree.names else None


def recognise_lhotse(tree: FolderTree) -> CorpusLayout | None:
    """Recognise manifests of lhotse: recordings, or cuts if there are none.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    lists = sorted(name for name in tree.names if name.endswith((".jsonl", ".jsonl.gz")))
    for word, key in (("recordings", "sources"), ("cuts", "recording")):
        if found := [name for name in lists if word in name and key in _columns(tree, name)]:
            return _layout(tree, found, f"lhotse {word}", "supervisions")
    return None


def recognise_nemo(tree: FolderTree) -> CorpusLayout | None:
    """Recognise a manifest of NeMo: JSON Lines with ``audio_filepath``.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None for any other folder.
    """
    lists = sorted(name for name in tree.names if name.endswith((".jsonl", ".json")) and "manifest" in name)
    found = [name for name in lists if "audio_filepath" in _columns(tree, name)]
    return _layout(tree, found, "NeMo manifest") if found else None


def recognise_table(tree: FolderTree) -> CorpusLayout | None:
    """Recognise one table of the user's own, of any name, which names files that exist.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None if there is no such table, or if there are several.
    """
    found = [name for name in _find_tables(tree) if _names_files(tree.root / name)]
    return _layout(tree, found, "table") if len(found) == 1 else None


def describe_unused_tables(tree: FolderTree) -> list[str]:
    """Describe tables that look like lists of the files of a folder, but are not used, since it is not clear how.

    Args:
        tree: a folder of which no layout was recognised.

    Returns:
        A line for each such table, or one for several.
    """
    names = _find_tables(tree)
    if not names:
        return [
            f"{tree.root / name}: this table names files, and is not used, since its header has no column path with"
            " speaker, group, domain or text; rename its columns"
            for name in _tables(tree)
            if _has_cells_with_files(tree.root / name)
        ]
    if len(found := [name for name in names if _names_files(tree.root / name)]) > 1:
        reason = f"{len(found)} tables list files ({', '.join(found[:3])}{', …' * (len(found) > 3)})"
        return [f"{tree.root}: {reason}, and none of them is used; give those that hold as sources of their own"]
    reason = "looks like a list, but names no file that exists there, so it is not used"
    return [f"{tree.root / names[0]}: this table {reason}; correct its paths, which begin at its folder"]


def _tables(tree: FolderTree) -> list[str]:
    return [name for name in sorted(tree.names) if name.endswith((".csv", ".tsv"))]


def _has_cells_with_files(path: Path) -> bool:
    """Return whether one of the first lines of a table has the path of a file among its cells."""
    try:
        cells = (
            cell.strip(' "') for line in islice(read_lines(path, "list"), 3) for cell in re.split(r"[,;\t|]", line)
        )
        return any((path.parent / cell).is_file() for cell in cells if cell)
    except (UserError, OSError, ValueError):  # no table, whatever its name says, or cells that are no paths
        return False


def _find_tables(tree: FolderTree) -> list[str]:
    """Return the names of the tables whose header is that of a list of files with something about them."""
    known = {*GROUP_COLUMNS, "domain", *TEXT_COLUMNS}
    headers = {name: _header(tree.root / name) for name in _tables(tree)}
    return [name for name, header in headers.items() if header & {*PATH_COLUMNS} and header & known]


def _header(path: Path) -> set[str]:
    try:
        return set(read_header(path))
    except UserError:  # no table, whatever its name says
        return set()


def _names_files(path: Path) -> bool:
    """Return whether one of the first rows of a list names a file that exists."""
    return any(entry.path.is_file() for entry in islice(read_audio_list(path), TRIED_ROWS))


def _columns(tree: FolderTree, name: str) -> Iterable[str]:
    path = tree.root / name
    if name.endswith(".csv"):
        return read_header(path)
    try:
        return next(read_json_lines(path), {})
    except UserError:  # another type of file with a name that lists also have
        return ()


def _layout(tree: FolderTree, names: list[str], layout: str, groups_from: str = "") -> CorpusLayout:
    lists = tuple(tree.root / name for name in names)
    first = next(read_audio_list(lists[0]))
    column = next((word for word in GROUP_COLUMNS if first.fields.get(word)), "")
    grouping = groups_from or (f"column {column}" if column else "")
    if all(entry.plain for path in lists for entry in read_audio_list(path)):
        grouping = ""
    return CorpusLayout(layout, ", ".join(names[:3]) + ", …" * (len(names) > 3), grouping, lists=lists)


LISTED_LAYOUTS: tuple[Callable[[FolderTree], CorpusLayout | None], ...] = (
    recognise_own_manifest,
    recognise_hugging_face,
    recognise_kaldi,
    recognise_lhotse,
    recognise_nemo,
)
