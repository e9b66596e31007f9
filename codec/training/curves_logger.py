"""The curves of a run as a table: ``metrics.csv`` with the columns step, split, term, value."""

import csv
import io
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

from codec.runtime.atomic_files import write_text

COLUMNS = ("step", "split", "term", "value")


class CurvesLogger(Logger):
    """Appends each value as a row. :meth:`go_back` takes back what a resumed run writes again, and rows that were cut
    off."""

    def __init__(self, path: Path):
        super().__init__()
        self.path = path

    @property
    def name(self) -> str:
        return "curves"

    @property
    def version(self) -> str:
        return ""

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Nothing: the recipe stands beside the table."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        new = not self.path.exists() or self.path.stat().st_size == 0
        with self.path.open("a", newline="") as file:
            table = csv.writer(file)
            if new:
                table.writerow(COLUMNS)
            for name, value in metrics.items():
                split, slash, term = name.partition("/")
                if slash:
                    table.writerow([step, split, term, f"{value:.7g}"])

    @property
    def size(self) -> int:
        """Bytes of the table."""
        return self.path.stat().st_size if self.path.exists() else 0

    def go_back(self, step: int, size: int) -> None:
        """Back to what a checkpoint knows of: so many bytes; where the table is shorter, rows up to its step."""
        if not self.path.exists():
            return
        text = self.path.read_bytes()[:size].decode(errors="replace")
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == len(COLUMNS) and row[0].isdigit()]
        kept = io.StringIO()
        csv.writer(kept).writerows([COLUMNS, *(row for row in rows if int(row[0]) <= step)])
        write_text(self.path, kept.getvalue())
