"""Tables on disk for what is too much for memory: a temporary SQLite database, which ends with its process.

It is in the folder for temporary files, the first of ``SQLITE_TMPDIR``, ``TMPDIR``, ``/var/tmp`` and ``/tmp`` that can
be written to. Nothing in it is needed after a run, or after an interruption: what lasts is in the data folder.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from codec.errors import UserError

Cell = str | int | float
"""Value in a table."""

_CACHE_KIB = 32 * 1024
"""Memory for pages of the tables."""
_TYPES = {str: "TEXT", int: "INTEGER", bool: "INTEGER", float: "REAL"}


class Store:
    """Tables in a temporary database. Text may hold any characters, and sorts like Python's strings."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        for setting in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE_KIB}", "temp_store=FILE"):
            self._database.execute(f"PRAGMA {setting}")
        self._database.execute("BEGIN")
        self._inserts: dict[str, str] = {}

    def create(self, table: str, columns: Mapping[str, type], key: Sequence[str] = ()) -> None:
        """Make an empty table.

        Args:
            table: its name.
            columns: types of the columns: str, int, bool or float.
            key: columns by which rows are found and differ; without them, rows keep the order in which they are added.
        """
        parts = [f'"{name}" {_TYPES[kind]} NOT NULL' for name, kind in columns.items()]
        if key:
            parts.append(f"PRIMARY KEY ({_quoted(key)})")
        self.execute(f"DROP TABLE IF EXISTS {table}")
        self.execute(f"CREATE TABLE {table} ({', '.join(parts)}) {'WITHOUT ROWID' if key else ''}")
        cells = ", ".join("CAST(? AS TEXT)" if kind is str else "?" for kind in columns.values())
        self._inserts[table] = f"INTO {table} ({_quoted(columns)}) VALUES ({cells})"

    def add(self, table: str, rows: Iterable[Sequence[Cell]], *, replace: bool = False) -> None:
        """Add rows to a table.

        Args:
            table: its name.
            rows: their cells in the order of the columns.
            replace: a row replaces the one with the same key; otherwise, the first one stays.
        """
        with _reported():
            verb = "INSERT OR REPLACE" if replace else "INSERT OR IGNORE"
            self._database.executemany(f"{verb} {self._inserts[table]}", map(self._bound, rows))

    def execute(self, statement: str, *values: Cell) -> None:
        """Execute a statement of SQL that changes tables.

        Args:
            statement: the statement; for text, its parameters are ``CAST(? AS TEXT)``.
            values: its parameters.
        """
        with _reported():
            self._database.execute(statement, self._bound(values))

    def query(self, statement: str, *values: Cell) -> Iterator[tuple[Any, ...]]:
        """Read the rows of a query one by one. Meanwhile, other tables may change.

        Args:
            statement: as for :meth:`execute`.
            values: its parameters.

        Yields:
            The cells of each row.
        """
        with _reported():
            yield from self._database.execute(statement, self._bound(values))

    def value(self, statement: str, *values: Cell) -> Any:
        """Read the first cell of the first row of a query.

        Args:
            statement: as for :meth:`execute`.
            values: its parameters.

        Returns:
            The cell; None if there is no row.
        """
        return next(self.query(statement, *values), (None,))[0]

    def _bound(self, row: Sequence[Cell]) -> Sequence[Cell | bytes]:
        """Return cells as SQLite's Python module takes them, for which surrogates are no text. They stand for bytes of
        file names that are not UTF-8.
        """
        try:
            for cell in row:
                if type(cell) is str and not cell.isascii():
                    cell.encode()
        except UnicodeEncodeError:
            self._database.text_factory = partial(str, encoding="utf-8", errors="surrogatepass")
            return [cell.encode("utf-8", "surrogatepass") if type(cell) is str else cell for cell in row]
        return row


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


@contextmanager
def _reported() -> Iterator[None]:
    """Report a full disk as an error of the user's."""
    try:
        yield
    except sqlite3.OperationalError as error:
        raise UserError(
            f"the temporary database cannot be written ({error}); set TMPDIR to a folder with more room, and run the"
            " command again, which continues"
        ) from error
