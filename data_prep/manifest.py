"""The manifest: one row for every file found, in a table that people open."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from codec.errors import UserError
from codec.writing import write_text

ABSENT = "not in the sources: kept so that its group stays in its split"


@dataclass(frozen=True)
class Row:
    """One file. ``split`` is its group's, also where the file itself is excluded; empty if the group has
    none.
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

    @property
    def used(self) -> bool:
        return self.status != "excluded"

    @property
    def assigned(self) -> bool:
        """Whether its audio belongs to a split: it is used, or was until it left the sources."""
        return bool(self.split) and (self.used or self.reason == ABSENT)


def read_rows(path: Path) -> list[Row]:
    """The rows of an earlier run, none if there is no manifest."""
    if not path.is_file():
        return []
    types = {field.name: field.type for field in fields(Row)}
    try:
        with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
            return [
                Row(**{name: kind(row[name]) for name, kind in types.items() if callable(kind)})
                for row in csv.DictReader(file)
            ]
    except (KeyError, ValueError, TypeError) as error:
        raise UserError(f"{path}: not a manifest that codec prepare wrote ({error!r}); choose another --out") from error


def write_rows(path: Path, rows: list[Row]) -> None:
    """Sorted by path, in one step."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(Row))
    for row in sorted(rows, key=lambda row: row.path):
        writer.writerow(_cell(name, value) for name, value in asdict(row).items())
    write_text(path, text.getvalue())


def _cell(name: str, value: object) -> object:
    if isinstance(value, float):
        return f"{value:.6f}" if name == "seconds" else f"{value:.1f}" if name == "bandwidth_hz" else f"{value:.2f}"
    return value
