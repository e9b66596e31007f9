"""Locks between processes that the system itself releases when their holder dies, whatever it dies of."""

import fcntl
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.errors import UserError


class Lock:
    """A file that one process at a time may hold, or several that ``share`` it. Not for threads of one process."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None

    def acquire(self, *, wait: bool = True, share: bool = False) -> bool:
        """Whether it is held now; without ``wait`` it may be another's."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{self.path}: cannot write here ({error.strerror})") from error
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_SH if share else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            os.close(descriptor)
            return False
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def held(self, *, share: bool = False) -> Iterator[None]:
        self.acquire(share=share)
        try:
            yield
        finally:
            self.release()


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
