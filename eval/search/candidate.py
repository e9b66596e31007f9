"""A candidate of a search, its costs, scores and outcome."""

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from eval.evaluation.codec_scores import CodecScores
from eval.search.cost import CandidateCost
from eval.search.space import CandidateSettings


@dataclass(frozen=True)
class Candidate:
    """Settings that a sampler has proposed. Equal settings of two samplers are the same candidate."""

    sampler: str
    """Name of the sampler."""
    number: int
    """Number of the proposal in its sampler's study (Optuna's trial number)."""
    settings: dict[str, Any]
    """Empty if the process that asked for the proposal died before all settings were drawn."""


@dataclass(frozen=True)
class Outcome:
    """The end of a candidate before its last rung, because it was pruned or failed."""

    refused: bool
    """True: pruned before its training because it is infeasible; false: failed."""
    reason: str


@dataclass(frozen=True)
class CandidateRecord:
    """Content of the files of a candidate at one moment."""

    settings: CandidateSettings
    cost: CandidateCost | None = None
    outcome: Outcome | None = None
    scores: dict[int, dict[int, CodecScores]] = field(default_factory=dict)
    """Rung to seed to scores."""

    @property
    def key(self) -> str:
        """Name of the candidate's folder."""
        return settings_key(self.settings)

    def get_scores(self, rung: int, seed: int) -> CodecScores | None:
        """Return the scores at the end of a rung.

        Args:
            rung: number of the rung, from 0.
            seed: seed of the training.

        Returns:
            Scores; None if the candidate has not been scored there.
        """
        return self.scores.get(rung, {}).get(seed)


def settings_key(settings: CandidateSettings) -> str:
    """Return a short name that identifies settings.

    Args:
        settings: settings of a candidate.

    Returns:
        10 hexadecimal digits.

    >>> settings_key({"optim.lr": 0.001})
    '5dbb8b5de0'
    """
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:10]
