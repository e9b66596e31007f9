"""Exclusive timing: while one process of a search measures speed, its other processes on the same machine wait."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.runtime.file_lock import Lock


class ExclusiveTiming:
    """A reader–writer lock between the processes of a search on one machine.

    The object is a context manager for one step of ordinary work; any number of processes can be in such steps at once.
    :meth:`alone` waits until none is, and keeps new ones from starting.

    Args:
        out: folder of the search.
    """

    def __init__(self, out: Path):
        self._door, self._room = (Lock(out / "locks" / f"{name}-{platform.node()}") for name in ("door", "room"))

    def __enter__(self) -> None:
        with self._door.held(share=True):
            self._room.acquire(share=True)

    def __exit__(self, *_: object) -> None:
        self._room.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep other processes from working while the block runs.

        Yields:
            Nothing.
        """
        with self._door.held(), self._room.held():  # the door stops new steps, so that this need not wait for long
            yield
