"""The curves of a run as a table: ``metrics.csv`` with the columns step, split, term, value."""

import csv
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only

COLUMNS = ("step", "split", "term", "value")


class CurvesLogger(Logger):
    """Appends each value as a row. ``forget_after`` takes back what a resumed run is going to write again."""

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
        new = not self.path.exists()
        with self.path.open("a", newline="") as file:
            table = csv.writer(file)
            if new:
                table.writerow(COLUMNS)
            for name, value in metrics.items():
                split, slash, term = name.partition("/")
                if slash:
                    table.writerow([step, split, term, f"{value:.7g}"])

    def forget_after(self, step: int) -> None:
        if not self.path.exists():
            return
        with self.path.open(newline="") as file:
            header, *rows = csv.reader(file)
        part = self.path.with_suffix(".part")
        with part.open("w", newline="") as file:
            csv.writer(file).writerows([header, *(row for row in rows if int(row[0]) <= step)])
        part.replace(self.path)
