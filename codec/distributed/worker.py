"""The end of a cluster that computes: runs in a process of its own, on any machine.

Functions, units and results cross as pickled bytes, so that the cluster's own software need not know their types.
"""

import os
import pickle
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from codec.errors import UserError
from codec.runtime import own_packages
from codec.runtime.atomic_files import writer_name

PACKAGES = ("lathe-codec", "torch", "numpy", "soxr", "constriction")
"""Packages of which another version might compute other bytes."""


@dataclass(frozen=True)
class WorkerPlace:
    """Where a worker runs."""

    host: str
    process: int
    writer: str
    """Name of the process in temporary files, see :func:`codec.runtime.atomic_files.writer_name`."""

    def __str__(self) -> str:
        return f"{self.host}:{self.process}"


@dataclass(frozen=True)
class _Raised:
    error: Exception


def installed_versions() -> dict[str, str]:
    """Return the installed versions of :data:`PACKAGES`.

    Returns:
        Version by name; packages that are not installed are left out, as Lathe itself is in a checkout.
    """
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


class Worker:
    """Computes units. An object is made in the process that computes, and :meth:`start` is its first call."""

    def __init__(self) -> None:
        self._function: Callable[[Sequence[Any]], list[Any]] | None = None

    def start(self, pickled: bytes, folder: str, versions: Mapping[str, str]) -> bytes:
        """Get ready.

        Args:
            pickled: a pickled function that returns the function that computes a unit
            folder: the working directory, to which paths are relative
            versions: the versions of packages that are expected here

        Returns:
            The pickled place of this process, see :func:`unpickle_result`, or an error.
        """
        return _answer(lambda: self._start(pickled, folder, versions))

    def run(self, unit: bytes) -> bytes:
        """Compute a unit.

        Args:
            unit: the pickled unit

        Returns:
            The pickled results, see :func:`unpickle_result`, or an error.
        """
        assert self._function is not None
        function = self._function
        return _answer(lambda: function(pickle.loads(unit)))

    def _start(self, pickled: bytes, folder: str, versions: Mapping[str, str]) -> WorkerPlace:
        host = platform.node()
        own_packages.put_first()
        different = {name: here for name, here in installed_versions().items() if versions.get(name, here) != here}
        for name, here in different.items():
            raise UserError(
                f"{host} has {name} {here}, not {versions[name]} as this machine; install the same versions"
            )
        if not Path(folder).is_dir():
            raise UserError(f"{host} has no folder {folder}; all machines must share it")
        os.chdir(folder)
        self._function = pickle.loads(pickled)()
        return WorkerPlace(host, os.getpid(), writer_name())


def _answer(compute: Callable[[], Any]) -> bytes:
    try:
        return pickle.dumps(compute())
    except Exception as error:
        try:
            pickle.loads(answer := pickle.dumps(_Raised(error)))
        except Exception:  # its class takes other arguments, or is known only here
            answer = pickle.dumps(_Raised(RuntimeError(f"{type(error).__name__}: {error}")))
        return answer


def unpickle_result(answer: bytes) -> Any:
    """Return what a call of a worker has returned.

    Args:
        answer: result of :meth:`Worker.start` or :meth:`Worker.run`

    Returns:
        The result.

    Raises:
        Exception: the error that the call has raised.
    """
    result = pickle.loads(answer)
    if isinstance(result, _Raised):
        raise result.error
    return result
