"""Folders with a list of their files: manifests of this project, NeMo, Hugging Face, Kaldi, ESPnet and lhotse."""

from collections.abc import Callable, Iterable
from pathlib import Path

from codec.dataset.columns import GROUP_COLUMNS, TEXT_COLUMNS
from codec.errors import UserError
from data_prep.layouts.tree import CorpusLayout, FolderTree
from data_prep.lists import read_audio_list
from data_prep.tables import PATH_COLUMNS, read_header, read_json_lines

_OWN = "manifest.csv"
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
    """Recognise one table of the user's own, of any name, whose first path is a file.

    Args:
        tree: the folder and the names below it.

    Returns:
        The layout; None if there is no such table, or if there are several.
    """
    tables = sorted(name for name in tree.names if name.endswith((".csv", ".tsv")))
    found = [name for name in tables if _names_a_file(tree.root / name)]
    return _layout(tree, found, "table") if len(found) == 1 else None


def _names_a_file(path: Path) -> bool:
    try:
        header = set(read_header(path))
        if header.intersection(PATH_COLUMNS) and header.intersection((*GROUP_COLUMNS, "domain", *TEXT_COLUMNS)):
            return next(read_audio_list(path)).path.is_file()
    except UserError:  # a table of another kind
        pass
    return False


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
