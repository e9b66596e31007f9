"""Folders and disks in tests."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from codec.runtime.file_lock import LOCK_FILE


def contents(folder: Path) -> dict[str, bytes | None]:
    """Return what a folder holds: bytes by path, None for folders. Lock files, which stay behind, are left out."""
    paths = [path for path in folder.rglob("*") if path.name != LOCK_FILE]
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in paths}


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Limit the size of files while the block runs, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
