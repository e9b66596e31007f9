"""Find the files below folders, in the same way for all commands.

Hidden files and folders are skipped (names that begin with a dot, among them the ``._NAME`` companions that
macOS writes on foreign disks, and the ``__MACOSX`` folders of its archives). Linked folders are entered, but every
real folder only once: by its own path if that lies below the start, else by the first link. Loops of links end
therefore.
"""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_LISTED_SUFFIXES = 8


@dataclass(frozen=True)
class FoundFiles:
    """The files below folders, sorted by path."""

    files: list[Path] = field(default_factory=list)
    """Files with one of the suffixes."""
    others: list[Path] = field(default_factory=list)
    """Files with other suffixes, or without one."""
    unlisted: dict[Path, str] = field(default_factory=dict)
    """Folders that could not be listed, with the reason."""


def find_files(folders: Path | Sequence[Path], suffixes: Collection[str]) -> FoundFiles:
    """Find the files below one folder, or several.

    Args:
        folders: where to start; they may be links or hidden
        suffixes: suffixes of the wanted files, in lower case and with the dot

    Returns:
        Paths that begin with one of ``folders``.
    """
    found = FoundFiles()
    for path, names in list_folders([folders] if isinstance(folders, Path) else folders, found.unlisted):
        for name in names:
            matches = os.path.splitext(name)[1].lower() in suffixes
            (found.files if matches else found.others).append(Path(path, name))
    found.files.sort()
    found.others.sort()
    return found


def list_folders(folders: Sequence[Path], unlisted: dict[Path, str]) -> Iterator[tuple[str, list[str]]]:
    """List folders, and all folders below them.

    Args:
        folders: where to start
        unlisted: receives the folders that cannot be listed, with the reason

    Yields:
        The path of a folder, and the names of the files in it.
    """

    def note_error(error: OSError) -> None:
        unlisted[Path(error.filename)] = error.strerror or str(error)

    seen: set[str] = set()
    starts = deque(sorted(map(str, folders), key=lambda start: (os.path.islink(start), start)))
    while starts:
        for path, subfolders, names in os.walk(starts.popleft(), onerror=note_error):  # does not enter links itself
            real = os.path.realpath(path)
            subfolders[:] = [] if real in seen else sorted(filter(_is_visible, subfolders))
            if real not in seen:
                seen.add(real)
                starts.extend(link for name in subfolders if os.path.islink(link := os.path.join(path, name)))
                yield path, list(filter(_is_visible, names))


def count_suffixes(paths: Iterable[Path]) -> dict[str, int]:
    """Count files by suffix.

    Args:
        paths: files

    Returns:
        Number of files by suffix in lower case (``""``: without one), the most frequent first.
    """
    return dict(Counter(path.suffix.lower() for path in sorted(paths)).most_common())


def describe_left_out(counts: Mapping[str, int]) -> str:
    """Describe files that are left out because their kind is not wanted.

    Args:
        counts: their number by suffix, from :func:`count_suffixes`

    Returns:
        One line.
    """
    kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in counts.items()]
    files = (
        "1 file of another kind was"
        if sum(counts.values()) == 1
        else f"{sum(counts.values())} files of other kinds were"
    )
    return f"{files} left out: {', '.join(kinds[:_LISTED_SUFFIXES])}{', …' if len(kinds) > _LISTED_SUFFIXES else ''}"


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
