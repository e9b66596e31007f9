"""The queue of a search: which candidate is trained and scored next.

First come all candidates of the samplers on the first rung, then those that successive halving promotes, rung by rung,
and finally the Pareto front of the last rung, once for each remaining seed. The caller holds the lock of the search.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from optuna.trial import TrialState

from eval.search.candidate import Candidate
from eval.search.halving import find_finalists, find_rung_candidates
from eval.search.sampler import ACCEPTED, CandidateSampler
from eval.search.space import CandidateSettings
from eval.search.state import SearchState
from eval.search.store import CandidateStore


@dataclass(frozen=True)
class RungJob:
    """A candidate to be trained to the end of a rung and scored.

    The store's lock is acquired for the caller, who must release it.
    """

    store: CandidateStore
    rung: int
    seed: int


class Idle(Enum):
    """Reasons why there is no job now."""

    WAIT = "all remaining jobs depend on work of other processes"
    DONE = "nothing is left to do"


def find_next_job(state: SearchState) -> RungJob | Idle:
    """Find the next job that no other process works on.

    A candidate ends with an outcome if it is pruned (it is infeasible, and is not trained) or fails (its training ended
    in an error). The store's lock is acquired for the caller, who must release it.

    Args:
        state: snapshot of the search.

    Returns:
        A job, or the reason why there is none.
    """
    for sampler in state.samplers:
        for candidate in sampler.candidates(TrialState.RUNNING):  # started by other processes, which may have died
            if (job := _start(state, sampler, candidate)) is not None:
                return job
    for sampler in sorted(state.samplers, key=CandidateSampler.count_accepted):
        while not sampler.is_done:
            if (job := _start(state, sampler, sampler.ask())) is not None:
                return job
    if any(sampler.candidates(TrialState.RUNNING) for sampler in state.samplers):
        return Idle.WAIT
    return _find_promoted_job(state)


def _start(state: SearchState, sampler: CandidateSampler, candidate: Candidate) -> RungJob | None:
    """Return a job on the first rung, unless the candidate is infeasible, finished or being worked on
    by another process.
    """
    if not candidate.settings or _is_repeated(sampler, candidate):
        sampler.tell_pruned(candidate.number)
        return None
    if _tell(state, sampler, candidate):
        return None
    store = state.get_store(candidate.settings)
    return RungJob(store, 0, state.plan.seeds[0]) if store.lock.acquire(wait=False) else None


def _is_repeated(sampler: CandidateSampler, candidate: Candidate) -> bool:
    return any(
        other.number < candidate.number and other.settings == candidate.settings
        for other in sampler.candidates(*ACCEPTED)
    )


def _find_promoted_job(state: SearchState) -> RungJob | Idle:
    first_seed, *other_seeds = state.plan.seeds
    for rung in range(1, state.plan.rungs):
        job = _find_unscored(state, find_rung_candidates(state, rung), rung, first_seed)
        if job is not Idle.DONE:
            return job
    for seed in other_seeds:
        job = _find_unscored(state, find_finalists(state), state.plan.last_rung, seed)
        if job is not Idle.DONE:
            return job
    return Idle.DONE


def _find_unscored(state: SearchState, candidates: Iterable[CandidateSettings], rung: int, seed: int) -> RungJob | Idle:
    found = Idle.DONE
    for settings in candidates:
        record = state.get_record(settings)
        if record.outcome is None and record.get_scores(rung, seed) is None:
            store = state.get_store(settings)
            if store.lock.acquire(wait=False):
                return RungJob(store, rung, seed)
            found = Idle.WAIT
    return found


def tell_samplers(state: SearchState, settings: CandidateSettings) -> None:
    """Report the outcome of a candidate to the samplers that have proposed it.

    Args:
        state: snapshot of the search, made after the work on the candidate.
        settings: settings of the candidate.
    """
    for sampler in state.samplers:
        for candidate in sampler.candidates(TrialState.RUNNING):
            if candidate.settings == settings:
                _tell(state, sampler, candidate)


def _tell(state: SearchState, sampler: CandidateSampler, candidate: Candidate) -> bool:
    """Report the candidate's outcome to the sampler, if there is one; return whether there was.

    A candidate that failed on a later rung still has a score on the first.
    """
    outcome = state.get_record(candidate.settings).outcome
    if state.get_scores(candidate.settings, 0) is not None:
        sampler.tell_scored(candidate.number, state.compute_costs(candidate.settings, 0))
    elif outcome is None:
        return False
    elif outcome.refused:
        sampler.tell_pruned(candidate.number)
    else:
        sampler.tell_failed(candidate.number)
    return True
