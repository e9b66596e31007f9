"""The audio files of all sources, each once, sorted by path: a table in the store, so that there may be millions."""

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from codec.errors import UserError
from data_prep.entries import ENTRY_COLUMNS, AudioEntry
from data_prep.merging import Disagreement, FoundRow, MergedFile, describe_value, merge_rows
from data_prep.store import Store

NO_CORPUS = -1
"""Number that stands for no corpus."""
_CELLS = ", ".join(f'"{name}"' for name in ENTRY_COLUMNS)


class Listing:
    """Audio files, each once, sorted by path.

    Args:
        store: the files are kept in its tables ``files`` and, until they are settled, ``found``. The table
            ``contradictions`` has what lists state about a file in two ways, and ``conversations`` the groups of files
            that have several.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self.lists: list[Path] = []
        """The lists, folders and corpora, at the places of their numbers in the tables."""
        store.create("found", {**ENTRY_COLUMNS, "list": int, "number": int, "corpus": int})
        store.create("files", {**ENTRY_COLUMNS, "list": int, "corpus": int}, key=["path"])
        store.create("contradictions", {"path": str, "column": str, "text": str}, key=["path", "column"])
        store.create("conversations", {"path": str, "speaker": str, "name": str}, key=["path", "speaker"])

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

    def add(self, entries: Iterable[AudioEntry], place: Path, corpus: int = NO_CORPUS) -> None:
        """Add the files of a list or folder. All that was added about a file becomes one entry, see
        :func:`data_prep.merging.merge_rows`.

        Args:
            entries: rows of the list, or files of the folder.
            place: path of the list or folder.
            corpus: number of the corpus that they belong to.
        """
        number = len(self.lists)
        self.lists.append(place)
        numbered = enumerate(entries, 1)
        self._store.add("found", ((*entry.cells(), number, row, corpus) for row, entry in numbered))

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
        order = "ORDER BY path, list, number"
        self._store.execute(f"INSERT OR IGNORE INTO files SELECT {_CELLS}, list, corpus FROM found {order}")
        several = "SELECT path FROM found GROUP BY path HAVING count(*) > 1"
        rows = self._store.query(f"SELECT {_CELLS}, list, number, corpus FROM found WHERE path IN ({several}) {order}")
        for _, same in groupby(rows, key=itemgetter(0)):
            found = (FoundRow(AudioEntry.from_cells(row[:-3]), *row[-3:]) for row in same)
            self._settle_file(merge_rows(list(found)))
        self._store.execute("DROP TABLE found")

    def _settle_file(self, merged: MergedFile) -> None:
        """Enter a file of several rows."""
        row = merged.row
        self._store.add("files", [(*row.entry.cells(), row.list, row.corpus)], replace=True)
        path = str(row.entry.path)
        found = (difference for difference in merged.disagreements if difference.is_contradiction)
        self._store.add("contradictions", ((path, item.column, self._describe(item)) for item in found))
        if len(merged.groups) > 1:
            self._store.add("conversations", ((path, name, row.entry.group) for name in merged.groups))

    def _describe(self, difference: Disagreement) -> str:
        """Describe two rows: their list, the file, and what they state about it."""
        first, second = difference.first, difference.second
        path = os.path.relpath(first.entry.path, self._folder(first.list))
        name = str(first.entry.path) if path.startswith(os.pardir) else path
        values = [describe_value(row, difference.column) for row in (first, second)]
        if first.list == second.list:
            values = [f"{value} in entry {row.number}" for value, row in zip(values, (first, second), strict=True)]
            return f"{self.lists[first.list]}: {name} has {values[0]} and {values[1]}"
        return f"{self.lists[first.list]} has {values[0]} for {name}, and {self.lists[second.list]} has {values[1]}"

    def _folder(self, number: int) -> Path:
        place = self.lists[number]
        return place if place.is_dir() else place.parent

    def find_contradiction(self, column: str) -> tuple[int, str]:
        """Find files about which lists contradict themselves or each other.

        Args:
            column: column of the lists, or :data:`data_prep.merging.GROUP`.

        Returns:
            The number of such files, and the first of them with both statements; empty if there are none.
        """
        stated = 'FROM contradictions WHERE "column" = CAST(? AS TEXT)'
        count = self._store.value(f"SELECT count(*) {stated}", column)
        return count, self._store.value(f"SELECT text {stated} ORDER BY path", column) or ""

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
