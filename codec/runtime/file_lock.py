"""Locks between processes, which the operating system releases when their holder dies.

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

LOCK_FILE = ".lock"
"""Name of the lock file of an output folder, see :func:`exclusive`."""


class Lock:
    """A lock file that one process holds at a time, or several processes that share it. It is not for threads.

    Args:
        path: the lock file; it is created if it is missing
    """

    def __init__(self, path: Path):
        self.path = path
        self._descriptor: int | None = None
        _locks.add(self)

    def acquire(self, *, wait: bool = True, share: bool = False) -> bool:
        """Take the lock.

        Args:
            wait: wait until it is free
            share: share it with other processes that do the same. (Windows has no shared locks: one process holds it.)

        Returns:
            Whether it is held now; without ``wait``, another process may hold it.

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
        """Release the lock, if it is held."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    @contextmanager
    def held(self, *, share: bool = False) -> Iterator[None]:
        """Wait for the lock, and hold it while the block runs.

        Args:
            share: as for :meth:`acquire`

        Yields:
            Nothing.
        """
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
    """Reserve an output folder for this process while the block runs.

    The file ``folder/.lock`` names the holder, and is empty if there is none.

    Args:
        folder: it is made if it is missing

    Yields:
        Nothing.

    Raises:
        UserError: another process works in the folder (the message names it), or it cannot be written to.
    """
    lock = Lock(folder / LOCK_FILE)
    if not lock.acquire(wait=False):
        raise UserError(
            f"{folder}: {_holder(lock.path)} is writing to this folder; wait for it to end, or choose another folder"
        )
    try:
        _write(lock.path, json.dumps({"process": os.getpid(), "host": platform.node()}) + "\n")
        yield
    finally:
        _write(lock.path, "")
        lock.release()


def _write(path: Path, text: str) -> None:
    """Write in place: a new file of this name would be another lock."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError:  # a full disk, or the folder was removed: the lock holds without its holder's name
        return


def _holder(path: Path) -> str:
    try:
        named = json.loads(path.read_text(encoding="utf-8"))
        return f"process {named['process']} on {named['host']}"
    except (OSError, ValueError, KeyError, TypeError):  # it has locked the file but not written its name yet
        return "another process"
