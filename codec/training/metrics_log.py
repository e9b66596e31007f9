"""The curves of a run, from the ``metrics.csv`` that training writes (columns step, split, term, value)."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

METRICS_FILE = "metrics.csv"
CRITERION_CHANGED = ("run", "judged_anew")
"""The curve with a point wherever a run went on under another criterion, such as other losses or clips: the first step
whose validation is judged by it."""
COMPARED = ("val", "train_fixed")
"""Splits whose losses are compared over time."""


@dataclass(frozen=True)
class Curve:
    """A loss over training steps."""

    steps: tuple[int, ...]
    values: tuple[float, ...]

    def __len__(self) -> int:
        return len(self.steps)

    def since(self, step: int) -> "Curve":
        """The points from ``step`` on."""
        first = int(np.searchsorted(self.steps, step))
        return Curve(self.steps[first:], self.values[first:])

    def at(self, step: float) -> float:
        """The value at ``step``, by linear interpolation."""
        return float(np.interp(step, self.steps, self.values))


def read_curves(run: Path) -> dict[tuple[str, str], Curve]:
    """The curves of ``RUN/metrics.csv`` by (split, term); empty if there is none. A repeated step counts
    once, last.
    """
    path = run / METRICS_FILE
    points: dict[tuple[str, str], dict[int, float]] = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            for row in csv.DictReader(file):
                try:
                    step, value = int(float(row["step"])), float(row["value"])
                except (TypeError, ValueError, KeyError):  # a line cut off by a kill
                    continue
                if np.isfinite(value):
                    points.setdefault((row["split"], row["term"]), {})[step] = value
    return {
        key: Curve(tuple(sorted(values)), tuple(values[step] for step in sorted(values)))
        for key, values in points.items()
    }


def comparable_curves(curves: Mapping[tuple[str, str], Curve]) -> dict[tuple[str, str], Curve]:
    """The curves, those of validations only as far as they were judged like the last one; without those that are empty
    then."""
    if CRITERION_CHANGED not in curves:
        return dict(curves)
    first = int(curves[CRITERION_CHANGED].values[-1])
    cut = {key: curve.since(first) if key[0] in COMPARED else curve for key, curve in curves.items()}
    return {key: curve for key, curve in cut.items() if len(curve)}
