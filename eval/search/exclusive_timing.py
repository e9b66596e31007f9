"""Measuring speed alone on a machine, while other processes of the same search wait."""

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.runtime.file_lock import Lock


class Turns:
    """The processes of a search on one machine: many work at once, and all wait while one measures speed.

    A context manager around each step of work, which shares ``room``; who measures waits at the ``door`` first, where
    no step gets past it, so that it need not wait for long.
    """

    def __init__(self, out: Path):
        self.door, self.room = (Lock(out / "locks" / f"{name}-{platform.node()}") for name in ("door", "room"))

    def __enter__(self) -> None:
        with self.door.held(share=True):
            self.room.acquire(share=True)

    def __exit__(self, *_: object) -> None:
        self.room.release()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self.door.held(), self.room.held():
            yield
