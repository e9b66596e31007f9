"""The metrics of a run: the table ``metrics.csv`` (columns step, split, term, value), written and read.

The table is the record of a run. A logger may get the same values (:mod:`codec.training.loggers`). Nothing here needs
torch, so that a report can read curves quickly.
"""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from codec.runtime.atomic_files import write_text

METRICS_FILE = "metrics.csv"
COLUMNS = ("step", "split", "term", "value")
VALIDATION = "val"
"""Split of values measured on fixed crops of the validation clips."""
TRAINING_EVALUATION = "train_fixed"
"""Split of values measured on the training-evaluation subset: fixed crops of training clips, without augmentation,
evaluated like those of the validation clips."""
CRITERION_CHANGED = ("run", "judged_anew")
"""Curve with a point whenever a run continued with another criterion, such as other losses or validation clips: the
first step whose validation was evaluated by it."""


@dataclass(frozen=True)
class Curve:
    """One value over the training steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def since(self, step: int) -> "Curve":
        """Return the part from a step on.

        Args:
            step: the first step of the part

        Returns:
            The points at ``step`` and later.
        """
        first = int(np.searchsorted(self.steps, step))
        return Curve(self.steps[first:], self.values[first:])

    def at(self, step: float) -> float:
        """Interpolate the curve linearly.

        Args:
            step: position; beyond the ends of the curve its first or last value is returned

        Returns:
            The value there.

        >>> Curve((0, 10), (1.0, 2.0)).at(5)
        1.5
        """
        return float(np.interp(step, self.steps, self.values))


Curves = Mapping[tuple[str, str], Curve]
"""Curves by split and term."""


class EventWriter(Protocol):
    """A second destination of the metrics, such as TensorBoard."""

    def write(self, step: int, split: str, terms: Mapping[str, float]) -> None:
        """Record values of one step.

        Args:
            step: training step
            split: split that the values were measured on
            terms: values by name
        """


class MetricsLog:
    """Writer of the table of a run.

    Args:
        path: the table; it is created with the first value. None, in processes that do not write: nothing is recorded.
    """

    def __init__(self, path: Path | None):
        self.path = path
        self.events: EventWriter | None = None
        """Further destinations of each value."""

    @property
    def size(self) -> int:
        """Bytes of the table."""
        return self.path.stat().st_size if self.path is not None and self.path.exists() else 0

    def write(self, step: int, split: str, terms: Mapping[str, float]) -> None:
        """Append a row for each value.

        Args:
            step: training step
            split: split that the values were measured on: ``train`` (training steps), ``train_fixed``, ``val``, ...
            terms: values by name
        """
        if self.path is None:
            return
        new = self.size == 0
        with self.path.open("a", newline="") as file:
            table = csv.writer(file)
            if new:
                table.writerow(COLUMNS)
            for term, value in terms.items():
                table.writerow([step, split, term, f"{value:.7g}"])
        if self.events is not None:
            self.events.write(step, split, terms)

    def go_back(self, step: int, size: int) -> None:
        """Remove the rows that a resumed run writes again, and incomplete rows.

        Args:
            step: step of the checkpoint; rows of later steps are removed
            size: bytes of the table at the checkpoint; the rest is removed
        """
        if self.path is None or not self.path.exists():
            return
        text = self.path.read_bytes()[:size].decode(errors="replace")
        rows = [row for row in csv.reader(io.StringIO(text)) if len(row) == len(COLUMNS) and row[0].isdigit()]
        remaining = io.StringIO()
        csv.writer(remaining).writerows([COLUMNS, *(row for row in rows if int(row[0]) <= step)])
        write_text(self.path, remaining.getvalue())


def read_curves(run: Path) -> dict[tuple[str, str], Curve]:
    """Read the table of a run.

    Args:
        run: folder of the run

    Returns:
        The curves by split and term; of a step that occurs twice, the last value. Values that are not finite and
        damaged rows are skipped; without a table there are no curves.
    """
    path = run / METRICS_FILE
    points: dict[tuple[str, str], dict[int, float]] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.DictReader(file):
                try:
                    step, value = int(float(row["step"])), float(row["value"])
                except (TypeError, ValueError, KeyError):  # a line truncated by a kill
                    continue
                if np.isfinite(value):
                    points.setdefault((row["split"], row["term"]), {})[step] = value
    return {
        key: Curve(tuple(sorted(values)), tuple(values[step] for step in sorted(values)))
        for key, values in points.items()
    }


def comparable_curves(curves: Curves) -> dict[tuple[str, str], Curve]:
    """Cut the curves of validations to the part that was evaluated by the criterion of the last validation.

    Args:
        curves: all curves of a run

    Returns:
        The curves, without those that are empty after the cut.
    """
    if CRITERION_CHANGED not in curves:
        return dict(curves)
    first = int(curves[CRITERION_CHANGED].values[-1])
    evaluated = (VALIDATION, TRAINING_EVALUATION)
    cut = {key: curve.since(first) if key[0] in evaluated else curve for key, curve in curves.items()}
    return {key: curve for key, curve in cut.items() if len(curve)}
