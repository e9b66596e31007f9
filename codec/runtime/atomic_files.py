"""Write files whole or not at all, and folders that are there or say why not."""

import contextlib
import os
import re
import time
from collections.abc import Collection
from pathlib import Path

from codec.errors import UserError


def make_folder(folder: Path) -> None:
    """Raises :class:`UserError` where it cannot be made or written to."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = temporary_path(folder / "writable")
        try:
            probe.touch()
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot write here ({error.strerror}); choose another --out") from error


def temporary_path(path: Path, process: int | None = None) -> Path:
    """Where a file is while it is written by this process, or by the one with this number."""
    return path.with_name(f".{path.name}.{process or os.getpid()}.part")


_PART = re.compile(r"\.(.+)\.(\d+)\.part", re.DOTALL)
_SILENT_S = 60
"""So long a part was not written to when it is taken for abandoned: its process may run on another machine."""


def sweep_parts(folder: Path, names: Collection[str]) -> None:
    """Remove the parts of files with these names in ``folder`` whose process has gone."""
    for path in folder.glob(".*.part"):
        found = _PART.fullmatch(path.name)
        if found and found[1] in names and not _runs(int(found[2])):
            with contextlib.suppress(OSError):  # another process does the same
                if time.time() - path.stat().st_mtime > _SILENT_S:
                    path.unlink()


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str) -> None:
    """Replace ``path`` in one step. Raises :class:`UserError` on a full disk or missing permission."""
    part = temporary_path(path)
    try:
        # newline="" keeps what the csv module wrote; file names need not be valid UTF-8.
        with part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)
        os.replace(part, path)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror})") from error
    finally:
        part.unlink(missing_ok=True)


def settle(part: Path, path: Path) -> None:
    """Give a finished part file its name, once its bytes are on the disk: after a power cut, too, ``path`` is whole.

    Args:
        part: in the folder of ``path``.
        path: a file there is replaced.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.
    """
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    with contextlib.suppress(OSError):  # not every file system does this for folders
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
