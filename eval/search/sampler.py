"""Samplers that propose candidates: NSGA-II and random search, as two Optuna studies in a journal file or a database.

Each proposal is drawn by an Optuna sampler of its own, whose seed is made of the plan's seed and the proposal's number.
A search that was interrupted therefore goes on as it would have.
"""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import optuna
from optuna.samplers import BaseSampler, NSGAIISampler, RandomSampler
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial, TrialState

from codec.runtime.file_lock import Lock
from eval.search.candidate import Candidate
from eval.search.locks import storage_error
from eval.search.plan import SearchPlan

SAMPLERS = ("genetic", "random")
OBJECTIVES = 4
"""Quality, bit rate, encode and decode speed, each as a cost."""
MAX_PRUNED_IN_A_ROW = 50
"""The space of a sampler counts as exhausted after this number of infeasible or repeated proposals."""
ACCEPTED = TrialState.COMPLETE, TrialState.FAIL, TrialState.RUNNING
"""States of the proposals that count as candidates."""
_JOURNAL = "study.journal"
_LONGEST_LINE = 1 << 16
"""Maximum length of a line of the journal, in bytes."""


class _JournalLock(JournalFileOpenLock):
    """A lock that is released when its process dies, unlike Optuna's own. It removes an incomplete last line."""

    def __init__(self, journal: Path):
        self.journal, self.lock = journal, Lock(journal.with_suffix(".lock"))

    def acquire(self) -> bool:
        self.lock.acquire()
        with self.journal.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - _LONGEST_LINE))
            torn = len(file.read().rpartition(b"\n")[2])
        if torn:
            os.truncate(self.journal, size - torn)
        return True

    def release(self) -> None:
        self.lock.release()


def open_storage(out: Path, url: str | None) -> BaseStorage:
    """Open the storage of the studies.

    Args:
        out: folder of the search, in which the journal file is.
        url: URL of a database to use instead; None: the journal file.

    Returns:
        The storage.

    Raises:
        UserError: it cannot be opened.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    try:
        if url is not None:
            return RDBStorage(url)
        journal = out / _JOURNAL
        return JournalStorage(JournalFileBackend(str(journal), lock_obj=_JournalLock(journal)))
    except Exception as error:  # database drivers raise any exception
        raise storage_error(url or out, error) from error


class CandidateSampler:
    """A sampler and its study.

    Args:
        name: one of :data:`SAMPLERS`.
        search: identifier of the search.
        plan: plan of the search; its starts are proposed first.
        storage: storage of the study.
    """

    def __init__(self, name: str, search: str, plan: SearchPlan, storage: BaseStorage):
        self.name = name
        self._plan = plan
        self._distributions = {key: dimension.distribution() for key, dimension in plan.space.items()}
        self._study = optuna.create_study(
            storage=storage,
            study_name=f"{search}-{name}",
            directions=["minimize"] * OBJECTIVES,
            sampler=self._make_sampler(0),
            load_if_exists=True,
        )
        for start in plan.starts:
            stored = {key: plan.space[key].to_optuna(value) for key, value in start.items()}
            self._study.enqueue_trial(stored, skip_if_exists=True)

    def _make_sampler(self, number: int) -> BaseSampler:
        seed = len(SAMPLERS) * (self._plan.seed * 1_000_003 + number) + SAMPLERS.index(self.name)  # none occurs twice
        if self.name == "random":
            return RandomSampler(seed=seed)
        return NSGAIISampler(population_size=self._plan.population, seed=seed)

    def _trials(self, *states: TrialState) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False, states=states or None)

    def count_accepted(self) -> int:
        """Return the number of proposals that were not pruned.

        Returns:
            A number up to the plan's ``candidates``.
        """
        return len(self._trials(*ACCEPTED))

    def count_pruned(self) -> int:
        """Return the number of proposals that were pruned.

        Returns:
            A number without limit.
        """
        return len(self._trials(TrialState.PRUNED))

    @property
    def is_done(self) -> bool:
        """True if all candidates of the plan were proposed, or the space is exhausted."""
        if self.count_accepted() >= self._plan.candidates:
            return True
        last = self._trials(*ACCEPTED, TrialState.PRUNED)[-MAX_PRUNED_IN_A_ROW:]
        return len(last) == MAX_PRUNED_IN_A_ROW and all(trial.state == TrialState.PRUNED for trial in last)

    def ask(self) -> Candidate:
        """Propose the next candidate.

        Returns:
            The candidate; its proposal stays in the state RUNNING until a result is reported.
        """
        self._study.sampler = self._make_sampler(len(self._trials()))
        return self._to_candidate(self._study.ask(self._distributions))

    def candidates(self, *states: TrialState) -> list[Candidate]:
        """Return the candidates that were proposed so far, in their order.

        Args:
            *states: states of the proposals; none: all.

        Returns:
            Candidates.
        """
        return [self._to_candidate(trial) for trial in self._trials(*states)]

    def _to_candidate(self, trial: FrozenTrial | optuna.Trial) -> Candidate:
        complete = trial.params.keys() == self._plan.space.keys()
        space = self._plan.space if complete else {}
        return Candidate(self.name, trial.number, {key: space[key].from_optuna(trial.params[key]) for key in space})

    def tell_scored(self, number: int, costs: Sequence[float]) -> None:
        """Report the costs of a candidate.

        Args:
            number: number of the proposal.
            costs: one for each objective, less is better.
        """
        self._study.tell(number, list(costs), skip_if_finished=True)

    def tell_failed(self, number: int) -> None:
        """Report that a candidate failed; it counts as one of the plan's candidates.

        Args:
            number: number of the proposal.
        """
        self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def tell_pruned(self, number: int) -> None:
        """Report that a proposal is no candidate: it is infeasible or repeated, and counts for nothing.

        Args:
            number: number of the proposal.
        """
        self._study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
