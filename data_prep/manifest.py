"""The manifest: one row for every file found, in a table that people open."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from codec.batch.inputs import read_text
from codec.errors import UserError
from codec.runtime.atomic_files import write_text
from data_prep.groups import Grouping
from data_prep.segments import AudioSegment
from data_prep.tables import read_csv

MANIFEST_NAME = "manifest.csv"
SETTINGS_NAME = "manifest.json"
"""Beside the manifest: how many rows it has, and how its groups were made."""
ABSENT_REASON = "not in the sources: kept so that its group stays in its split"


@dataclass(frozen=True)
class ManifestRow:
    """One file, or a part of one from ``start_s`` to ``end_s``; an end of 0 means the whole.

    ``split`` is its group's, also where the file itself is excluded; empty if the group has none.
    """

    path: str
    source: str
    domain: str
    group: str
    split: str
    status: str
    reason: str
    seconds: float
    sample_rate: int
    channels: int
    format: str
    peak_dbfs: float
    rms_dbfs: float
    noise_dbfs: float
    bandwidth_hz: float
    sha256: str
    start_s: float = 0.0
    end_s: float = 0.0

    @property
    def segment(self) -> AudioSegment:
        """The audio of this row."""
        return AudioSegment(Path(self.path), self.start_s, self.end_s)

    @property
    def used(self) -> bool:
        return self.status != "excluded"

    @property
    def assigned(self) -> bool:
        """Whether its audio belongs to a split: it is used, or was until it left the sources."""
        return bool(self.split) and (self.used or self.reason == ABSENT_REASON)


def read_rows(path: Path) -> list[ManifestRow]:
    """Return the rows of an earlier run, none if there is no manifest.

    Raises:
        UserError: it is no manifest of ``codec prepare``, or is cut off.
    """
    if not path.is_file():
        return []
    types = {field.name: field.type for field in fields(ManifestRow)}
    if not read_text(path, "manifest").endswith("\n"):
        raise UserError(f"{path}: is cut off in its last line; restore it, or choose another --out")
    try:
        return [
            ManifestRow(
                **{
                    name: kind(row.get(name) or 0.0 if name in _ADDED else row[name])  # type: ignore
                    for name, kind in types.items()
                }
            )
            for row in read_csv(path, types)
        ]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a manifest that codec prepare wrote ({error!r}); choose another --out") from error


_ADDED = ("start_s", "end_s")
"""Columns that the first manifests did not have."""


@dataclass(frozen=True)
class EarlierRun:
    """What an earlier run left: its rows, and how it made groups (None where there was none)."""

    rows: tuple[ManifestRow, ...] = ()
    choice: Grouping | None = None


def read_earlier_run(out: Path) -> EarlierRun:
    """Return what an earlier run left in the data folder.

    Raises:
        UserError: the manifest is damaged, or has not the rows that were written: groups could not keep their splits.
    """
    rows = tuple(read_rows(out / MANIFEST_NAME))
    if not (out / SETTINGS_NAME).is_file():
        return EarlierRun(rows)
    try:
        settings = json.loads((out / SETTINGS_NAME).read_text(encoding="utf-8"))
        written = [int(count) for count in settings["rows"]]
        choice = Grouping(settings["group_by"], str(settings["plain"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{out / SETTINGS_NAME}: damaged ({error!r}); restore it, or choose another --out") from error
    if len(rows) not in written:
        raise UserError(
            f"{out / MANIFEST_NAME}: has {len(rows)} rows, but {written[-1]} were written; restore it, or choose"
            " another --out"
        )
    return EarlierRun(rows, choice)


def write_manifest(out: Path, rows: Sequence[ManifestRow], choice: Grouping, before: int) -> None:
    """Write the manifest and its settings, so that an interruption at any moment leaves them in agreement.

    Args:
        rows: are sorted by path.
        before: number of rows of the manifest that is replaced.
    """
    _write_settings(out, [before, len(rows)], choice)
    write_rows(out / MANIFEST_NAME, rows)
    _write_settings(out, [len(rows)], choice)


def _write_settings(out: Path, rows: list[int], choice: Grouping) -> None:
    settings = {"rows": rows, "group_by": choice.rule, "plain": choice.plain}
    write_text(out / SETTINGS_NAME, json.dumps(settings) + "\n")


def write_rows(path: Path, rows: Sequence[ManifestRow]) -> None:
    """Write the rows sorted by path, in one step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(ManifestRow))
    for row in sorted(rows, key=lambda row: (row.path, row.start_s)):
        writer.writerow(_cell(name, value) for name, value in asdict(row).items())
    write_text(path, text.getvalue())


def _cell(name: str, value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6f}" if name == "seconds" else f"{value:.1f}" if name == "bandwidth_hz" else f"{value:.2f}"
    return value
