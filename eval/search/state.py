"""Snapshot of a search: the proposals of its samplers and the files of its candidates."""

from collections.abc import Sequence
from pathlib import Path

from eval.evaluation.codec_scores import CodecScores
from eval.search.candidate import CandidateRecord, settings_key
from eval.search.locks import SearchLocks
from eval.search.objectives import compute_costs
from eval.search.plan import SearchPlan
from eval.search.sampler import CandidateSampler
from eval.search.space import CandidateSettings
from eval.search.store import CandidateStore


class SearchState:
    """A snapshot of a search; the files of each candidate are read once.

    Args:
        plan: plan of the search.
        samplers: its samplers, which are not part of the snapshot.
        out: folder of the search.
        locks: its locks.
    """

    def __init__(self, plan: SearchPlan, samplers: Sequence[CandidateSampler], out: Path, locks: SearchLocks):
        self.plan, self.samplers, self.out, self._locks = plan, samplers, out, locks
        self._records: dict[str, CandidateRecord] = {}

    @property
    def default(self) -> CandidateSettings:
        """Settings of the hand-written default, the first candidate."""
        return self.plan.starts[0]

    def get_store(self, settings: CandidateSettings) -> CandidateStore:
        """Return the files of a candidate.

        Args:
            settings: settings of the candidate.

        Returns:
            Its store, with a lock that is not held.
        """
        return CandidateStore(self.out, settings, self.plan, self._locks)

    def get_record(self, settings: CandidateSettings) -> CandidateRecord:
        """Return the content of the files of a candidate.

        Args:
            settings: settings of the candidate.

        Returns:
            Its record at the time of the first request.
        """
        key = settings_key(settings)
        if key not in self._records:
            self._records[key] = self.get_store(settings).read()
        return self._records[key]

    def get_scores(self, settings: CandidateSettings, rung: int) -> CodecScores | None:
        """Return the scores of a candidate at the end of a rung, trained with the first seed.

        Args:
            settings: settings of the candidate.
            rung: number of the rung, from 0.

        Returns:
            Scores; None if it has none there.
        """
        return self.get_record(settings).get_scores(rung, self.plan.seeds[0])

    def compute_costs(self, settings: CandidateSettings, rung: int) -> list[float]:
        """Compute the costs of a candidate that was scored.

        Args:
            settings: settings of the candidate.
            rung: number of the rung, from 0.

        Returns:
            One cost per objective.
        """
        scores, cost = self.get_scores(settings, rung), self.get_record(settings).cost
        assert scores is not None and cost is not None
        return compute_costs(scores, cost, self.plan.metric)
