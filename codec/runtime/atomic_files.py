"""Write files and folders completely or not at all."""

import contextlib
import functools
import hashlib
import os
import platform
import re
import shutil
import time
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from codec.errors import UserError

_PART = re.compile(r"\.(.+)\.([0-9a-f]{8})-(\d+)\.part", re.DOTALL)
_ABANDONED_S = 3600
"""A temporary file of another machine is abandoned when it was not written to for this long."""
_MAX_NAME_BYTES = 220
"""Longer names are not part of temporary ones, which would be longer than the 255 bytes that file systems permit."""


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


def writer_name(process: int | None = None) -> str:
    """Return what tells a process from all others that may write to the same folder.

    Args:
        process: number of a process of this machine or container; this one by default

    Returns:
        A digest of the machine or container, and the number, which others may use as well.
    """
    return f"{_place()}-{process or os.getpid()}"


@functools.cache
def _place() -> str:
    """Return a digest of what has process numbers of its own: a start of a machine, or a container."""
    known = [platform.node()]
    with contextlib.suppress(OSError):  # not Linux
        known += [Path("/proc/sys/kernel/random/boot_id").read_text(), os.readlink("/proc/self/ns/pid")]
    return hashlib.sha256(" ".join(known).encode()).hexdigest()[:8]


def temporary_path(path: Path, writer: str | None = None) -> Path:
    """Return the temporary path of a file that is being written.

    Args:
        path: its final path
        writer: :func:`writer_name` of the process that writes it; this one by default

    Returns:
        A hidden path in the same folder.
    """
    return path.with_name(f".{_part_stem(path.name)}.{writer or writer_name()}.part")


def _part_stem(name: str) -> str:
    """Return what a temporary name has of the final one: all of it, or a digest of a long one."""
    encoded = os.fsencode(name)
    return name if len(encoded) <= _MAX_NAME_BYTES else hashlib.sha256(encoded).hexdigest()[:32]


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
        _remove(part)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)


def remove_abandoned_parts(folder: Path, names: Collection[str] | None = None) -> None:
    """Remove temporary files and folders whose process has ended.

    Whether a process of another machine or container runs cannot be seen from here; its files count as abandoned when
    they were not written to for an hour.

    Args:
        folder: their folder
        names: names of what they were to become; None: any
    """
    stems = None if names is None else set(map(_part_stem, names))
    for path in folder.glob(".*.part"):
        match = _PART.fullmatch(path.name)
        if match and (stems is None or match[1] in stems):
            with contextlib.suppress(OSError):  # another process does the same
                here, age = match[2] == _place(), time.time() - path.stat().st_mtime
                if not _is_running(int(match[3])) if here else age > _ABANDONED_S:
                    _remove(path)


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
