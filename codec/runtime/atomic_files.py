"""Write files and folders completely or not at all."""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from codec.errors import UserError

_PART = re.compile(r"\.(.+)\.(\d+)\.part", re.DOTALL)
_ABANDONED_S = 60
"""A temporary file that was not written to for this long is abandoned, if its process does not run on this machine; it
may run on another one that shares the folder."""


def make_folder(folder: Path) -> None:
    """Make a folder, and its parents, and check that files can be written there.

    Args:
        folder: it may exist

    Raises:
        UserError: it cannot be made or written to.
    """
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
    """Return the temporary path of a file that is being written.

    Args:
        path: its final path
        process: number of the process that writes it; this one by default

    Returns:
        A hidden path in the same folder.
    """
    return path.with_name(f".{path.name}.{process or os.getpid()}.part")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write a file or a folder under a temporary path, which becomes ``path`` at the end of the block.

    Args:
        path: a file there is replaced; a folder there must be empty

    Yields:
        The temporary path, in the same folder. If the block raises an error, what is there is removed, and ``path``
        stays as it was.

    Raises:
        OSError: the disk is full, or the folder cannot be written to.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder, "a.txt")) as part:
    ...         _ = part.write_text("whole")
    ...     Path(folder, "a.txt").read_text(), len(os.listdir(folder))
    ('whole', 1)
    """
    part = temporary_path(path)
    try:
        yield part
        os.replace(part, path)
    finally:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def remove_abandoned_parts(folder: Path, names: Collection[str]) -> None:
    """Remove temporary files whose process has ended.

    Args:
        folder: their folder
        names: names of the files that they were to become; other temporary files stay
    """
    for path in folder.glob(".*.part"):
        match = _PART.fullmatch(path.name)
        if match and match[1] in names and not _is_running(int(match[2])):
            with contextlib.suppress(OSError):  # another process does the same
                if time.time() - path.stat().st_mtime > _ABANDONED_S:
                    path.unlink()


def _is_running(process: int) -> bool:
    if os.name == "nt":  # there, os.kill would end the process
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_text(path: Path, text: str | Iterable[str]) -> None:
    """Write a text file in one step.

    Args:
        path: a file there is replaced
        text: its content, or the parts of it in order. Line breaks remain unchanged, and so do file names that are not
            UTF-8.

    Raises:
        UserError: the disk is full, or writing is not permitted.
    """
    try:
        # newline="" keeps the line breaks of the csv module
        with replacing(path) as part, part.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.writelines([text] if isinstance(text, str) else text)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror})") from error


def commit_file(part: Path, path: Path) -> None:
    """Give a finished file its final name, once its bytes are on the disk.

    So ``path`` is complete even after a power failure.

    Args:
        part: the file, in the folder of ``path``
        path: a file there is replaced

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
