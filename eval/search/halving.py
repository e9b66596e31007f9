"""Successive halving: of the candidates on a rung, the best 1 / factor are trained on, for factor times as long.

Sources: K. Jamieson, A. Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016;
L. Li et al., "Hyperband: a novel bandit-based approach to hyperparameter optimization", 2018, which calls the levels
rungs.

Two rules are our own. The candidates of each sampler are halved by themselves, so that both samplers are given the same
training; and the hand-written default is trained on every rung, since the others are compared with it.
"""

from collections.abc import Sequence

from optuna.trial import TrialState

from eval.search.candidate import CandidateRecord
from eval.search.pareto import pareto_front, sort_by_dominance
from eval.search.sampler import CandidateSampler
from eval.search.space import CandidateSettings
from eval.search.state import SearchState


def count_promoted(candidates: int, factor: int) -> int:
    """Return the number of candidates of a rung that go on to the next.

    Args:
        candidates: number of candidates on the rung.
        factor: reduction factor, at least 2.

    Returns:
        One ``factor``-th of them, rounded up.
    """
    return -(-candidates // factor)


def rung_sizes(candidates: int, factor: int, rungs: int) -> list[int]:
    """Return the number of candidates on each rung.

    Args:
        candidates: number of candidates on the first rung.
        factor: reduction factor, at least 2.
        rungs: number of rungs.

    Returns:
        A number for each rung.

    >>> rung_sizes(27, 3, 3)
    [27, 9, 3]
    >>> rung_sizes(10, 3, 3)
    [10, 4, 2]
    """
    sizes = [candidates]
    while len(sizes) < rungs:
        sizes.append(count_promoted(sizes[-1], factor))
    return sizes


def find_rung_candidates(state: SearchState, rung: int) -> list[CandidateSettings]:
    """Find the candidates that belong on a rung.

    Args:
        state: snapshot of the search.
        rung: number of the rung, from 0.

    Returns:
        The default if it was scored, and the promoted candidates of each sampler. Their training on this rung may not
        be finished.
    """
    scored = state.get_scores(state.default, 0) is not None
    found = {state.get_record(state.default).key: state.default} if scored else {}
    for sampler in state.samplers:
        found |= {state.get_record(settings).key: settings for settings in _promote(state, sampler, rung)}
    return list(found.values())


def _promote(state: SearchState, sampler: CandidateSampler, rung: int) -> list[CandidateSettings]:
    """Return the candidates of one sampler that reach a rung, the best first."""
    if rung == 0:
        return [candidate.settings for candidate in sampler.candidates(TrialState.COMPLETE)]
    before = [one for one in _promote(state, sampler, rung - 1) if state.get_scores(one, rung - 1) is not None]
    order = sort_by_dominance([state.compute_costs(settings, rung - 1) for settings in before])
    return [before[i] for i in order[: count_promoted(len(before), state.plan.factor)]]


def find_last_finished_rung(state: SearchState) -> int:
    """Find the highest rung on which all training is finished.

    Args:
        state: snapshot of the search.

    Returns:
        Its number; 0 if none is finished.
    """
    finished = 0
    if not all(sampler.is_done for sampler in state.samplers):
        return finished
    for rung in range(1, state.plan.rungs):
        candidates = find_rung_candidates(state, rung)
        scored = [state.get_scores(settings, rung) is not None for settings in candidates]
        ended = [state.get_record(settings).outcome is not None for settings in candidates]
        if not any(scored) or not all(one or other for one, other in zip(scored, ended)):
            break
        finished = rung
    return finished


def find_front(state: SearchState, records: Sequence[CandidateRecord], rung: int) -> set[str]:
    """Find the Pareto front of a rung, on which all candidates have had the same training.

    Args:
        state: snapshot of the search.
        records: candidates; those without a score on the rung are ignored.
        rung: number of the rung, from 0.

    Returns:
        Keys of the candidates on the front.
    """
    there = [record for record in records if record.cost is not None and rung in record.scores]
    front = pareto_front([state.compute_costs(record.settings, rung) for record in there])
    return {there[i].key for i in front}


def find_finalists(state: SearchState) -> list[CandidateSettings]:
    """Find the candidates that are trained with every seed: the front of the last rung, and the default.

    Args:
        state: snapshot of the search.

    Returns:
        Their settings.
    """
    candidates = [state.get_record(settings) for settings in find_rung_candidates(state, state.plan.last_rung)]
    front = find_front(state, candidates, find_last_finished_rung(state))
    return [one.settings for one in candidates if one.key in front or one.settings == state.default]
