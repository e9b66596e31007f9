"""Two halves of the validation groups: one selects, the other reports.

Whoever takes the best of many candidates takes the luckiest, too: what a candidate reached where it was chosen is too
good. The other half had no say, and tells what it is worth; how far the two are apart stands in the result.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import replace

from eval.evaluation.candidate_scoring import Judged
from eval.evaluation.results import ClipResult, Halves
from eval.evaluation.rows import build_rows
from eval.metrics.bootstrap import Estimate, gap
from eval.metrics.registry import METRICS


def selects(group: str) -> bool:
    """Whether the group's clips select. Its name alone decides, so that it stays where it is when groups are added."""
    return hashlib.sha256(group.encode(errors="surrogateescape")).digest()[0] % 2 == 0


def half(judged: Judged, *, selecting: bool) -> Judged:
    """Only the clips of the groups that select, or only those of the others."""
    return replace(judged, clips=[clip for clip in judged.clips if selects(clip.group) == selecting])


def compare_halves(reporting: Sequence[ClipResult], selecting: Sequence[ClipResult]) -> Halves | None:
    """In distribution, or all there is. None where no clips of that kind select."""
    kind = build_rows(reporting)[0].name
    row = next((row for row in build_rows(selecting) if row.name == kind), None)
    if row is None:
        return None
    inside = kind == "in distribution"
    halves = [[clip for clip in clips if clip.in_distribution == inside] for clips in (reporting, selecting)]
    found = {entry.name: _gap(halves[0], halves[1], entry.name) for entry in METRICS}
    return Halves(row, {name: value for name, value in found.items() if value is not None})


def _gap(reporting: Sequence[ClipResult], selecting: Sequence[ClipResult], name: str) -> Estimate | None:
    values: list[list[float]] = []
    groups: list[list[str]] = []
    for clips in (reporting, selecting):
        known = [
            (score.value, clip.group) for clip in clips if (score := clip.scores.get(name)) and score.value is not None
        ]
        values.append([value for value, _ in known])
        groups.append([group for _, group in known])
    return gap(values[0], groups[0], values[1], groups[1])
