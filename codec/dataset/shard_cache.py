"""A local cache of whole shards, of limited size, that several processes share.

The least recently used files are removed. A file that a process has mapped may be removed: its content stays until the
process closes it. The cache can be deleted at any time while no training runs.
"""

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from codec.errors import UserError
from codec.runtime.atomic_files import remove_abandoned_parts, temporary_path
from codec.runtime.file_lock import Lock
from codec.runtime.user_cache import cache_folder

FOLDER_VARIABLE = "LATHE_CACHE"
"""Environment variable with the folder of the cache."""
LIMIT_VARIABLE = "LATHE_CACHE_GB"
"""Environment variable with its limit, in units of 10^9 bytes."""
DEFAULT_LIMIT_GB = 20.0
_SUFFIX, _RESERVED = ".npy", ".room"
"""Suffixes of files, and of empty ones of the size that a file will have."""
_LOCKS = 256
"""Number of locks that the files share."""
_PATIENCE_S, _POLL_S = 600.0, 0.1
"""Time to wait for other files to be finished, and between two looks."""


def default_cache() -> "ShardCache":
    """Return the cache that the environment names.

    Returns:
        By default, ``lathe`` in the user's folder of caches (``XDG_CACHE_HOME``), of 20 GB.

    Raises:
        UserError: the limit is no number above 0.
    """
    text = os.environ.get(LIMIT_VARIABLE) or str(DEFAULT_LIMIT_GB)
    try:
        limit = float(text)
    except ValueError:
        limit = 0.0
    if not 0 < limit < float("inf"):
        raise UserError(f"the environment variable {LIMIT_VARIABLE} must be a number of GB above 0, not {text[:40]!r}")
    return ShardCache(Path(os.environ.get(FOLDER_VARIABLE) or cache_folder()), round(limit * 1e9))


class ShardCache:
    """Files by key, in a folder.

    Args:
        folder: made on first use
        limit_bytes: largest total size of the files, those that are being written included
    """

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self.folder, self.limit_bytes = folder, limit_bytes
        self._files = folder / "shards"

    def path(self, key: str) -> Path:
        """Return where the file of a key is or would be.

        Args:
            key: any text

        Returns:
            The path.
        """
        return self._files / f"{hashlib.sha256(key.encode('utf-8', 'surrogateescape')).hexdigest()[:32]}{_SUFFIX}"

    def get(self, key: str, fill: Callable[[Path], None], size: int = 0) -> Path:
        """Return the file of a key, which is made if it is missing; other processes wait for it.

        Args:
            key: identifies the content
            fill: writes the content to the path that it is given
            size: size of the content in bytes as far as it is known, so that room is made before

        Returns:
            Path of the file. Another process may remove it at any time.

        Raises:
            UserError: the content is larger than the limit, files that are being written leave no room for it, or the
                disk is full; and errors of ``fill``.
        """
        path = self.path(key)
        if self._touch(path):
            return path
        with Lock(self.folder / "locks" / f"{int(path.stem[:8], 16) % _LOCKS}").held():
            if self._touch(path):
                return path
            remove_abandoned_parts(self._files)
            part, reserved = temporary_path(path), temporary_path(path.with_suffix(_RESERVED))
            try:
                self._files.mkdir(parents=True, exist_ok=True)
                self._reserve(reserved, size)
                fill(part)
                with self._room_lock():
                    self._require_limit(part.stat().st_size)
                    reserved.unlink()
                    os.replace(part, path)
                    self._make_room(0, path)
            except OSError as error:
                raise UserError(f"{self.folder}: cannot write ({error.strerror})") from error
            finally:
                part.unlink(missing_ok=True)
                reserved.unlink(missing_ok=True)
        return path

    def size_bytes(self) -> int:
        """Return the total size of the files.

        Returns:
            Bytes.
        """
        return sum(size for _, size, _ in self._contents()) + self._unfinished_bytes()

    def _touch(self, path: Path) -> bool:
        """Mark a file as used now; return whether it exists."""
        try:
            os.utime(path)
        except OSError:
            return False
        return True

    def _unfinished_bytes(self) -> int:
        """Return what files that are being written take, or will take if that is more."""
        sizes: dict[str, int] = {}
        for part in self._files.glob(".*.part"):
            name = part.name.replace(f"{_RESERVED}.", f"{_SUFFIX}.")
            sizes[name] = max(sizes.get(name, 0), _size(part))
        return sum(sizes.values())

    @contextlib.contextmanager
    def _room_lock(self) -> Iterator[None]:
        with Lock(self.folder / "locks" / "room").held():
            yield

    def _contents(self) -> list[tuple[float, int, Path]]:
        """Return time of the last use, size and path of each complete file."""
        found = []
        for path in self._files.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):  # another process removed it
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        return found

    def _reserve(self, reserved: Path, size: int) -> None:
        """Make room for a file, for which others that are being written may have to be finished first."""
        self._require_limit(size)
        started = time.monotonic()
        while True:
            with self._room_lock():
                if self._unfinished_bytes() + size <= self.limit_bytes or not size:
                    self._make_room(size)
                    with reserved.open("wb") as file:
                        file.truncate(size)
                    return
            if time.monotonic() - started > _PATIENCE_S:
                raise UserError(
                    f"{self.folder}: files that are being written have left no room for one of {size / 1e9:.3g} GB"
                    f" within {_PATIENCE_S:.0f} s; set {LIMIT_VARIABLE} higher"
                )
            time.sleep(_POLL_S)
            remove_abandoned_parts(self._files)

    def _require_limit(self, size: int) -> None:
        if size > self.limit_bytes:
            raise UserError(
                f"{self.folder}: the cache's limit of {self.limit_bytes / 1e9:g} GB is too small for one shard"
                f" ({size / 1e9:.3g} GB); set {LIMIT_VARIABLE} higher"
            )

    def _make_room(self, size: int, kept: Path | None = None) -> None:
        """Remove the least recently used files until ``size`` more bytes fit, or only ``kept`` is left; the lock of the
        room is held.
        """
        contents = sorted(self._contents())
        total = size + self._unfinished_bytes() + sum(held for _, held, _ in contents)
        for _, held, path in contents:
            if total <= self.limit_bytes:
                return
            if path != kept:
                path.unlink(missing_ok=True)
                total -= held


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
