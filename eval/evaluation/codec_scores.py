"""The scores of a codec at one bit rate, clip by clip, and the files that store them."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from codec.runtime.atomic_files import write_text
from codec.runtime.json_files import from_json, read_json
from eval.evaluation.clip_selection import selects
from eval.metrics.registry import Score

SCORING = "a failed decode has the worst value"
"""The rules of scoring, saved with the scores: a file of scores by other rules is not read."""


@dataclass(frozen=True)
class ClipScores:
    """A coded clip: its bits, and its scores by metric."""

    clip_id: str
    group: str
    seconds: float
    bits: float
    scores: dict[str, Score]


@dataclass(frozen=True)
class CodecScores:
    """A codec at one operating point, or at a bound of its quality, on a number of clips."""

    asked_kbps: float
    """0 at a bound, like all bit rates and the number of codebooks."""
    codebooks: int
    nominal_kbps: float
    """Bit rate of codes of fixed width, in kbit/s over all channels."""
    clips: list[ClipScores]
    bound: str = ""
    """Name of the bound, see :mod:`eval.systems.bounds`; empty at an operating point."""

    @property
    def kbps(self) -> float:
        """Bits of all clips over seconds of all clips, in kbit/s."""
        return sum(clip.bits for clip in self.clips) / sum(clip.seconds for clip in self.clips) / 1000

    def half(self, *, selecting: bool) -> "CodecScores":
        """Restrict the scores to one half of the groups, see :func:`~eval.evaluation.clip_selection.selects`.

        Args:
            selecting: true: the half for model selection; false: the half for the report.

        Returns:
            The scores of the clips of that half.
        """
        return replace(self, clips=[clip for clip in self.clips if selects(clip.group) == selecting])


def average_seeds(runs: Sequence[CodecScores], name: str) -> dict[str, float | None]:
    """Average a metric over runs that differ in their seed, clip by clip.

    Args:
        runs: runs of one candidate, scored on the same clips.
        name: name of the metric.

    Returns:
        Clip to mean; None for a clip for which the metric is not defined. Clips that it was not measured on are left
        out.
    """
    found: dict[str, float | None] = {}
    for clips in zip(*(run.clips for run in runs)):
        scores = [clip.scores.get(name) for clip in clips]
        values = [score.value for score in scores if score is not None and score.value is not None]
        if any(score is not None for score in scores):
            found[clips[0].clip_id] = sum(values) / len(values) if len(values) == len(scores) else None
    return found


def mean_over_clips(runs: Sequence[CodecScores], name: str) -> float | None:
    """Average a metric over the clips for which it is defined, after averaging each clip over the runs.

    Clips count by their weights, such as numbers of words.

    Args:
        runs: runs of one candidate, scored on the same clips.
        name: name of the metric.

    Returns:
        The mean; None if the metric is defined for no clip.
    """
    weights = {clip.clip_id: clip.scores[name].weight for clip in runs[0].clips if name in clip.scores}
    values = {clip: value for clip, value in average_seeds(runs, name).items() if value is not None}
    total = sum(weights[clip] for clip in values)
    return sum(weights[clip] * value for clip, value in values.items()) / total if values else None


def count_failed_clips(runs: Sequence[CodecScores], name: str) -> int:
    """Count the clips that failed, and so had the metric's worst value, in any run.

    Args:
        runs: runs of one candidate, scored on the same clips.
        name: name of the metric.

    Returns:
        Number of clips.
    """
    return sum(
        any((score := clip.scores.get(name)) is not None and score.failed for clip in clips)
        for clips in zip(*(run.clips for run in runs))
    )


def write_scores(path: Path, scores: Sequence[CodecScores], request: dict[str, Any]) -> None:
    """Write scores as JSON, whole or not at all.

    Args:
        path: path of the file.
        scores: a codec at one or several operating points.
        request: what was to be scored; :func:`read_scores` returns the scores only for the same request.
    """
    content = {"scoring": SCORING, "asked": request, "judged": [asdict(entry) for entry in scores]}
    write_text(path, json.dumps(content) + "\n")


def read_scores(path: Path, request: dict[str, Any]) -> list[CodecScores] | None:
    """Read scores that :func:`write_scores` wrote.

    Args:
        path: path of the file.
        request: what is to be scored.

    Returns:
        The scores; None if there is no file, it cannot be read, or it was written for another request or by other
        rules.
    """
    try:
        content = read_json(path)
        if content["asked"] != request or content.get("scoring") != SCORING:
            return None
        return [from_json(CodecScores, entry) for entry in content["judged"]]
    except (OSError, ValueError, KeyError, TypeError):
        return None
