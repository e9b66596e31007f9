"""Files in a folder of any file system that fsspec knows: listed, read and downloaded, with retries.

Source: fsspec, https://filesystem-spec.readthedocs.io. Its own caches (``filecache``, ``simplecache``) have no limit of
size, so :mod:`codec.dataset.shard_cache` is used instead.
"""

import posixpath
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from codec.errors import UserError
from codec.runtime.extras import install_command

_ATTEMPTS = 6
_FIRST_PAUSE_S = 0.2
_BLOCK_BYTES = 4 << 20
_REFUSED = (401, 403)
"""HTTP statuses of a missing permission."""
_Value = TypeVar("_Value")


class MissingFileError(UserError):
    """There is no such file, folder or bucket."""


class RemoteFolder:
    """A folder at a URL.

    Connections are made anew in each process, so that it can be pickled and inherited by a fork.

    Args:
        url: URL or local path of the folder
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def list(self, folder: str, suffix: str) -> list[str]:
        """List the files of a folder.

        Args:
            folder: path below this folder
            suffix: ending of their names

        Returns:
            Paths below this folder, sorted; empty if the folder is missing.

        Raises:
            UserError: it cannot be listed.
        """

        def find() -> list[str]:
            files, base = self._files(folder)
            files.invalidate_cache()
            found = files.ls(base, detail=False)
            return sorted(posixpath.basename(str(name).rstrip("/")) for name in found)

        try:
            return [f"{folder}/{name}" for name in self._retrying(folder, find) if name.endswith(suffix)]
        except MissingFileError:
            return []

    def read(self, name: str) -> bytes:
        """Read a small file.

        Args:
            name: path below this folder

        Returns:
            Its content.

        Raises:
            MissingFileError: there is none.
            UserError: it cannot be read.
        """

        def read() -> bytes:
            files, path = self._files(name)
            return bytes(files.cat_file(path))

        return self._retrying(name, read)

    def identity(self, name: str) -> str:
        """Return a text that changes when a file is written again, as far as its server tells.

        Args:
            name: path below this folder

        Returns:
            The URL, the size and whichever of entity tag and time the server gives.

        Raises:
            MissingFileError: there is none.
            UserError: it cannot be read.
        """

        def ask() -> str:
            files, path = self._files(name)
            info = files.info(path)
            known = ("size", "ETag", "mtime", "LastModified", "created")
            return f"{self.url}/{name} {[str(info[key]) for key in known if info.get(key) is not None]}"

        return self._retrying(name, ask)

    def download(self, name: str, target: Path) -> None:
        """Copy a file; after a broken connection, go on where it broke, if the server can.

        Args:
            name: path below this folder
            target: local file to write

        Raises:
            MissingFileError: there is none.
            UserError: it cannot be read, or ``target`` cannot be written.
        """
        whole = False
        with target.open("wb") as out:

            def copy() -> None:
                nonlocal whole
                files, path = self._files(name)
                if not whole:
                    try:
                        return _copy_parts(files, path, out, target)
                    except ValueError:  # the server ignores ranges, or cannot seek
                        whole = True
                files.get_file(path, str(target))

            self._retrying(name, copy)

    def _files(self, name: str) -> tuple[Any, str]:
        """Return the file system, connected in this process, and the path of a file in it."""
        from fsspec.core import url_to_fs

        return url_to_fs(f"{self.url}/{name}")

    def _retrying(self, name: str, action: Callable[[], _Value]) -> _Value:
        """Call until it succeeds; errors that another attempt cannot mend are reported at once."""
        where = f"{self.url}/{name}"
        for attempt in range(_ATTEMPTS):
            try:
                return action()
            except UserError:
                raise
            except (FileNotFoundError, NotADirectoryError) as error:
                reason = _reason(error)
                raise MissingFileError(
                    f"{where}: there is no such file" + (f" ({reason})" if "bucket" in reason.lower() else "")
                ) from error
            except ImportError as error:
                command = install_command("s3") if self.url.startswith(("s3:", "s3a:")) else "install that package"
                raise UserError(f"{where}: {_reason(error)}; {command}") from error
            except Exception as error:  # each protocol raises errors of its own
                if isinstance(error, PermissionError) or getattr(error, "status", None) in _REFUSED:
                    raise UserError(f"{where}: no permission to read it ({_reason(error)})") from error
                if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                    raise UserError(f"{where}: {_reason(error)}; see docs/data.md on remote data") from error
                if attempt == _ATTEMPTS - 1 or isinstance(error, ValueError | TypeError):
                    raise UserError(f"{where}: cannot be read ({_reason(error)}), in {attempt + 1} attempts") from error
            time.sleep(_FIRST_PAUSE_S * 2**attempt)
        raise AssertionError("unreachable")


def _copy_parts(files: Any, path: str, out: Any, target: Path) -> None:
    """Copy by ranges of bytes, from where ``out`` ends."""
    with files.open(path, "rb", cache_type="none", block_size=_BLOCK_BYTES) as source:
        if out.tell():
            source.seek(out.tell())
        while block := source.read(_BLOCK_BYTES):
            _write(out, block, target)


def _write(out: Any, block: bytes, target: Path) -> None:
    try:
        out.write(block)
    except OSError as error:  # not the server's
        raise UserError(f"{target}: cannot write ({error.strerror}); the cache needs more room") from error


def _reason(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
