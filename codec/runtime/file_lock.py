"""Locks between processes that the system itself releases when their holder dies, whatever it dies of.

On Unix they are BSD locks (flock(2)) on a file of their own. Such a lock belongs to the open file, which a forked child
inherits; a child therefore closes its copies at once, so that the lock dies with the process that took it.
"""

import json
import os
import platform
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.errors import UserError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

EXCLUSIVE = ".lock"
"""File name of the lock on a whole output folder, see :func:`exclusive`."""


class Lock:
    """A file that one process at a time may hold, or several that ``share`` it. Not for threads of one process."""

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None
        _locks.add(self)

    def acquire(self, *, wait: bool = True, share: bool = False) -> bool:
        """Take the lock.

        Returns:
            Whether it is held now; without ``wait`` it may be another's.

        Raises:
            UserError: the file cannot be written, or its file system has no locks.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UserError(f"{self.path}: cannot write here ({error.strerror})") from error
        try:
            _lock(descriptor, wait=wait, share=share)
        except BlockingIOError:
            os.close(descriptor)
            return False
        except OSError as error:
            os.close(descriptor)
            raise UserError(f"{self.path}: this file system has no locks ({error.strerror})") from error
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        return True

    def release(self) -> None:
        """Give the lock back; nothing happens where it is not held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def held(self, *, share: bool = False) -> Iterator[None]:
        """Hold the lock, waiting for it, while the block runs."""
        self.acquire(share=share)
        try:
            yield
        finally:
            self.release()


def _lock(descriptor: int, *, wait: bool, share: bool) -> None:
    """Raise ``BlockingIOError`` where another process holds the lock and ``wait`` is false."""
    if fcntl is not None:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if share else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
        return
    import msvcrt  # Windows, whose locks of files cannot be shared

    while True:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
            return
        except OSError as error:
            if not wait:
                raise BlockingIOError from error
            time.sleep(0.1)


_locks: "weakref.WeakSet[Lock]" = weakref.WeakSet()


def _release_all() -> None:
    for lock in list(_locks):
        lock.release()


if hasattr(os, "register_at_fork"):  # Windows does not fork
    os.register_at_fork(after_in_child=_release_all)


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold an output folder for this process alone while the block runs; it is made if it is missing.

    The file ``folder/.lock`` names the holder, and is empty when no one holds it.

    Raises:
        UserError: another process works in the folder (the message names it), or it cannot be written to.
    """
    lock = Lock(folder / EXCLUSIVE)
    if not lock.acquire(wait=False):
        raise UserError(f"{folder}: {_holder(lock.path)} works in this folder; wait for it, or choose another one")
    try:
        _write(lock.path, json.dumps({"process": os.getpid(), "host": platform.node()}) + "\n")
        yield
    finally:
        _write(lock.path, "")
        lock.release()


def _write(path: Path, text: str) -> None:
    """In place: a new file under this name would be another lock."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:  # a full disk, or the folder was removed: the lock holds without its holder's name
        return


def _holder(path: Path) -> str:
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
        return f"process {named['process']} on {named['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # between its locking and its writing
        return "another process"
