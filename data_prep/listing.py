"""The audio files of all sources, each once, sorted by path: a table in the store, so that there may be millions."""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from codec.errors import UserError
from data_prep.entries import ENTRY_COLUMNS, AudioEntry
from data_prep.store import Store

NO_CORPUS = -1
"""Number that stands for no corpus."""
_CELLS = ", ".join(f'"{name}"' for name in ENTRY_COLUMNS)


class Listing:
    """Audio files, each once, sorted by path.

    Args:
        store: the files are kept in its tables ``files`` and, until they are settled, ``found``.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lists = 0
        store.create("found", {**ENTRY_COLUMNS, "list": int, "corpus": int})
        store.create("files", {**ENTRY_COLUMNS, "corpus": int}, key=["path"])

    def __iter__(self) -> Iterator[AudioEntry]:
        return map(AudioEntry.from_cells, self._store.query(f"SELECT {_CELLS} FROM files ORDER BY path"))

    def __len__(self) -> int:
        return int(self._store.value("SELECT count(*) FROM files"))

    def plain(self) -> Iterator[AudioEntry]:
        """Read the files of which only the folders decide the group.

        Yields:
            The entries.
        """
        query = f"SELECT {_CELLS} FROM files WHERE plain ORDER BY path"
        return map(AudioEntry.from_cells, self._store.query(query))

    def has_groups(self) -> bool:
        """Return whether a corpus or list decides the group of some files.

        Returns:
            False if all files are :meth:`plain`.
        """
        return bool(self._store.value("SELECT count(*) FROM files WHERE NOT plain"))

    def corpora(self) -> Iterator[int]:
        """Read the numbers of the corpora.

        Yields:
            The number of the corpus of each file, or :data:`NO_CORPUS`.
        """
        return (number for (number,) in self._store.query("SELECT corpus FROM files ORDER BY path"))

    def add(self, entries: Iterable[AudioEntry], corpus: int = NO_CORPUS) -> None:
        """Add the files of a list or folder. Of files that were added before, the earlier entry stays.

        Args:
            entries: rows of the list; of a file in several rows, one entry is made, see :func:`merge_entries`.
            corpus: number of the corpus that they belong to.
        """
        self._lists += 1
        self._store.add("found", ((*entry.cells(), self._lists, corpus) for entry in entries))

    def find_missing(self, paths: Iterable[str], corpus: int) -> tuple[int, str]:
        """Find files that a corpus does not have.

        Args:
            paths: their paths.
            corpus: number of the corpus.

        Returns:
            The number of paths that were not added for this corpus, and the first of them, empty if there are none.
        """
        self._store.create("below", {"path": str}, key=["path"])
        self._store.add("below", ((path,) for path in paths))
        listed = "SELECT path FROM found WHERE corpus = ?"
        query = f"SELECT count(*), coalesce(min(path), '') FROM below WHERE path NOT IN ({listed})"
        count, first = next(self._store.query(query, corpus))
        self._store.execute("DROP TABLE below")
        return int(count), str(first)

    def settle(self) -> None:
        """Merge and sort what was added."""
        order = "ORDER BY path, list, rowid"
        self._store.execute(f"INSERT OR IGNORE INTO files SELECT {_CELLS}, corpus FROM found {order}")
        several = "SELECT path FROM found GROUP BY path HAVING count(*) > 1"
        rows = self._store.query(f"SELECT {_CELLS}, corpus, list FROM found WHERE path IN ({several}) {order}")
        merged = (_merge_rows(list(same)) for _, same in groupby(rows, key=itemgetter(0)))
        self._store.add("files", merged, replace=True)
        self._store.execute("DROP TABLE found")

    def assign_domain(self, domain: str, places: Iterable[Path]) -> int:
        """Set the domain of files.

        Args:
            domain: the domain.
            places: folders, below which all files have it, and single files.

        Returns:
            The number of files.
        """
        count = 0
        for place in places:
            inside = f"{place}{os.sep}" if place.parent != place else str(place)
            here = "path = CAST(? AS TEXT) OR substr(path, 1, length(CAST(? AS TEXT))) = CAST(? AS TEXT)"
            count += self._store.value(f"SELECT count(*) FROM files WHERE {here}", str(place), inside, inside)
            statement = f"UPDATE files SET domain = CAST(? AS TEXT) WHERE {here}"
            self._store.execute(statement, domain, str(place), inside, inside)
        return count

    def keep_domains(self, domains: Sequence[str]) -> None:
        """Remove files of other domains.

        Args:
            domains: the domains to keep; empty: all.

        Raises:
            UserError: a domain does not occur.
        """
        if domains:
            present = [name for (name,) in self._store.query("SELECT DISTINCT domain FROM files ORDER BY domain")]
            for name in domains:
                if name not in present:
                    raise UserError(f"there is no audio of the domain {name!r}; the sources have {', '.join(present)}")
            wanted = ", ".join("CAST(? AS TEXT)" for _ in domains)
            self._store.execute(f"DELETE FROM files WHERE domain NOT IN ({wanted})", *domains)


def _merge_rows(same: list[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the row of a file from its rows in ``found``, of which those of the first list count."""
    first = same[0]
    entries = [AudioEntry.from_cells(row[:-2]) for row in same if row[-1] == first[-1]]
    return (*merge_entries(entries).cells(), first[-2])


def merge_entries(same: Sequence[AudioEntry]) -> AudioEntry:
    """Make one entry of several rows of a list that name the same file.

    Args:
        same: entries with the same path.

    Returns:
        The first entry. With several groups, the file is a group of its own; with several texts, it has none.

    >>> from pathlib import Path
    >>> rows = [AudioEntry(Path("/a.wav"), "a.wav", "corpus", "speech", group=name, text=name) for name in ("x", "y")]
    >>> merged = merge_entries(rows)
    >>> merged.group, merged.text
    ('a.wav', '')
    """
    groups = {entry.group for entry in same if entry.group}
    texts = {entry.text for entry in same}
    first = same[0] if len(texts) == 1 else replace(same[0], text="")
    return replace(first, group=first.relative, plain=False) if len(groups) > 1 else first
