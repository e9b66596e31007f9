"""The table of finished units: which groups of jobs a cluster has finished, so that a restart need not look at them."""

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec.batch.jobs import Job
from codec.batch.report import Failure, FileOutcome, Skipped
from codec.coding.report import FileReport
from codec.errors import UserError

TABLE = ".units.jsonl"
"""Name of the table in the folder of the outputs: JSON Lines, one for each unit that ended."""


@dataclass(frozen=True)
class UnitRow:
    """A line of the table. Figures are those of the files that were processed then."""

    unit: str
    """Digest of the sources' paths, sizes and times, of the targets' paths and of what is done."""
    outputs: str
    """Digest of the targets' sizes and times; empty if a file failed or was damaged, so that it is looked at again."""
    done: int
    skipped: int
    failed: list[dict[str, str]]
    """``source`` and ``reason`` of each failure."""
    seconds: float
    """Duration of the audio."""
    bytes: int
    """Size of the coded files."""
    elapsed_seconds: float
    """Time that the files took."""


class UnitTable:
    """The table in a folder of outputs. Only one process writes to it.

    Args:
        folder: the folder

    Raises:
        UserError: the table cannot be read.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / TABLE
        self._outputs: dict[str, str] = {}
        try:
            lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read ({error.strerror}); delete it") from error
        for line in lines:
            try:
                row = json.loads(line)
                self._outputs[str(row["unit"])] = str(row["outputs"])
            except (ValueError, KeyError, TypeError):  # cut off when the disk was full or the machine died
                continue

    def is_finished(self, unit: str, jobs: Sequence[Job]) -> bool:
        """Decide whether a unit was finished, and its outputs have not changed since.

        Args:
            unit: from :func:`unit_digest`
            jobs: its jobs

        Returns:
            Whether nothing is left to do.
        """
        outputs = self._outputs.get(unit)
        return bool(outputs) and outputs == _digest(_states(job.target for job in jobs))

    def record(self, unit: str, jobs: Sequence[Job], outcomes: Sequence[FileOutcome]) -> None:
        """Append the row of a unit that ended.

        Args:
            unit: from :func:`unit_digest`
            jobs: its jobs
            outcomes: outcomes of all their sources

        Raises:
            UserError: the disk is full, or writing is not permitted.
        """
        reports = [one for one in outcomes if isinstance(one, FileReport)]
        skipped = [one for one in outcomes if isinstance(one, Skipped)]
        failures = [one for one in outcomes if isinstance(one, Failure)]
        coded: list[FileReport | Skipped] = [*reports, *skipped]
        clean = not failures and not any(one.lost or one.tags_damaged for one in coded)
        row = UnitRow(
            unit,
            _digest(_states(job.target for job in jobs)) if clean else "",
            len(reports),
            len(skipped),
            [{"source": str(one.path), "reason": one.reason} for one in failures],
            sum(one.seconds for one in reports),
            sum(one.bytes_total for one in reports),
            sum(one.elapsed_seconds for one in reports),
        )
        self._outputs[unit] = row.outputs
        line = "\n" * self._is_cut_off() + json.dumps(asdict(row)) + "\n"
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(line)
        except OSError as error:
            raise UserError(f"{self.path}: cannot write ({error.strerror})") from error

    def _is_cut_off(self) -> bool:
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:  # missing or empty
            return False


def unit_digest(jobs: Sequence[Job], described: Iterable[str]) -> str:
    """Identify a unit by everything that its outputs depend on.

    Args:
        jobs: its jobs
        described: what is done for each job, see :meth:`codec.batch.task.BatchTask.describe_result`

    Returns:
        32 hexadecimal digits.
    """
    files = _states(path for job in jobs for path in job.files)
    return _digest([*files, *(os.path.abspath(job.target) for job in jobs), *described])


def _states(paths: Iterable[Path]) -> list[str]:
    """Return path, size and time of files; those that are missing have neither."""
    found = []
    for path in paths:
        try:
            status = path.stat()
            found.append(f"{os.path.abspath(path)} {status.st_size} {status.st_mtime_ns}")
        except OSError:
            found.append(os.path.abspath(path))
    return found


def _digest(texts: Iterable[str]) -> str:
    whole = hashlib.sha256()
    for text in texts:
        whole.update(text.encode(errors="surrogateescape") + b"\0")
    return whole.hexdigest()[:32]
