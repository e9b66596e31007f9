"""Values read from files that several steps of one job use."""

from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Value = TypeVar("Value")


class ReadOnce(Generic[Value]):
    """A value read from a file when it is first asked for, and again only if the file has changed since.

    An object can be pickled, with the value if it has been read.

    Args:
        path: the file
        read: function that reads the value; it can be pickled
    """

    def __init__(self, path: Path, read: Callable[[], Value]) -> None:
        self._path, self._read = path, read
        self._found: tuple[tuple[int, int], Value] | None = None

    def get(self) -> Value:
        """Return the value.

        Returns:
            The result of ``read`` for the present state of the file.

        Raises:
            Exception: any error of ``read``.
        """
        try:
            status = self._path.stat()
        except OSError:
            return self._read()  # which gives the reason
        state = status.st_mtime_ns, status.st_size
        if self._found is None or self._found[0] != state:
            self._found = state, self._read()
        return self._found[1]
