"""Find files below folders: one walk for all commands, so that the same folder means the same files everywhere.

Hidden files and folders are passed over (names that begin with a dot, among them the ``._NAME`` companions that
macOS writes on foreign disks, and the ``__MACOSX`` folders of its archives). Linked folders are entered, but every
real folder once: by its own path where that lies below the start, else by the first link. So loops of links end.
"""

import os
from collections import Counter, deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_KINDS_SHOWN = 8


@dataclass(frozen=True)
class Walk:
    """The files below a folder, each list in the order of the paths."""

    files: list[Path] = field(default_factory=list)
    """Files with one of the suffixes."""
    others: list[Path] = field(default_factory=list)
    """Files with other suffixes, or without one."""
    unlisted: dict[Path, str] = field(default_factory=dict)
    """Folders that could not be listed, with the reason."""


def walk(folders: Path | Sequence[Path], suffixes: Collection[str]) -> Walk:
    """Find the files below one folder, or several.

    Args:
        folders: where to start; they may be links, and hidden.
        suffixes: of the files that are looked for, in lower case and with their dot.

    Returns:
        Paths that begin with one of ``folders``.
    """
    found = Walk()
    for path, names in listings([folders] if isinstance(folders, Path) else folders, found.unlisted):
        for name in names:
            matches = os.path.splitext(name)[1].lower() in suffixes
            (found.files if matches else found.others).append(Path(path, name))
    found.files.sort()
    found.others.sort()
    return found


def listings(folders: Sequence[Path], unlisted: dict[Path, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of each folder from ``folders`` down, with the names of the files in it.

    Args:
        folders: where to start.
        unlisted: receives the folders that cannot be listed, with the reason.
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
    """Return the number of files per suffix in lower case (``""``: without one), the most frequent first."""
    return dict(Counter(path.suffix.lower() for path in sorted(paths)).most_common())


def describe_left_out(counts: Mapping[str, int]) -> str:
    """Return the line that names the files of other kinds, counted by :func:`count_suffixes`."""
    kinds = [f"{count} {suffix or 'without a suffix'}" for suffix, count in counts.items()]
    files = (
        "1 file of another kind was"
        if sum(counts.values()) == 1
        else f"{sum(counts.values())} files of other kinds were"
    )
    return f"{files} left out: {', '.join(kinds[:_KINDS_SHOWN])}{', …' if len(kinds) > _KINDS_SHOWN else ''}"


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
