"""Find files below folders: one walk for all commands, so that the same folder means the same files everywhere.

Hidden files and folders are passed over (names that begin with a dot, among them the ``._NAME`` companions that
macOS writes on foreign disks, and the ``__MACOSX`` folders of its archives). Linked folders are entered, but every
real folder once: by its own path where that lies below the start, else by the first link. So loops of links end.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Walk:
    """The files below a folder, each list in the order of the paths."""

    files: list[Path] = field(default_factory=list)
    """Files with one of the suffixes."""
    others: list[Path] = field(default_factory=list)
    """Files with other suffixes, or without one."""
    unlisted: dict[Path, str] = field(default_factory=dict)
    """Folders that could not be listed, with the reason."""


def walk(folder: Path, suffixes: Collection[str], seen: set[str] | None = None) -> Walk:
    """Find the files below ``folder``.

    Args:
        folder: where to start; it may be a link, and hidden.
        suffixes: of the files that are looked for, in lower case and with their dot.
        seen: real paths of folders that were visited before and are passed over; visited ones are added.

    Returns:
        Paths that begin with ``folder``.
    """
    found = Walk()
    for path, names in listings(folder, found.unlisted, set() if seen is None else seen):
        for name in names:
            matches = os.path.splitext(name)[1].lower() in suffixes
            (found.files if matches else found.others).append(Path(path, name))
    found.files.sort()
    found.others.sort()
    return found


def listings(folder: Path, unlisted: dict[Path, str], seen: set[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the path of each folder from ``folder`` down, with the names of the files in it.

    Args:
        folder: the first one.
        unlisted: receives the folders that cannot be listed, with the reason.
        seen: see :func:`walk`.
    """

    def note_error(error: OSError) -> None:
        unlisted[Path(error.filename)] = error.strerror or str(error)

    starts = deque([str(folder)])
    while starts:
        for path, subfolders, names in os.walk(starts.popleft(), onerror=note_error):  # does not enter links itself
            real = os.path.realpath(path)
            subfolders[:] = [] if real in seen else sorted(filter(_is_visible, subfolders))
            if real not in seen:
                seen.add(real)
                starts.extend(link for name in subfolders if os.path.islink(link := os.path.join(path, name)))
                yield path, list(filter(_is_visible, names))


def _is_visible(name: str) -> bool:
    return not name.startswith(".") and name != "__MACOSX"
