"""Trees with the names of corpora. Their files are empty, since nothing is decoded to recognise a layout."""

from collections.abc import Sequence
from pathlib import Path

from data_prep.groups import choose_grouping, group_entries
from data_prep.sources import Sources, find_audio


def touch_files(root: Path, names: Sequence[str]) -> Path:
    """Create empty files, and their folders."""
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def files_by_group(*sources: Path, rule: str | None = None) -> tuple[Sources, dict[str, list[str]]]:
    """Return the content of the sources, and the names of the files of each group, sorted by path."""
    content = find_audio(sources)
    groups: dict[str, list[str]] = {}
    for entry, group in group_entries(content.entries, choose_grouping(content.entries, rule)):
        groups.setdefault(group, []).append(entry.path.name)
    return content, groups
