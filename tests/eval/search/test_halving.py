"""The order of candidates and successive halving."""

from dataclasses import dataclass, field
from typing import Any

from eval.search.candidate import Candidate, CandidateRecord, Outcome
from eval.search.halving import find_last_finished_rung, find_rung_candidates
from eval.search.pareto import dominates, pareto_front, sort_by_dominance
from eval.search.plan import SearchPlan


def test_the_pareto_front_and_the_order_behind_it():
    costs = [(1, 4), (2, 2), (4, 1), (3, 3), (2, 2), (5, 5)]
    assert pareto_front(costs) == [0, 1, 2, 4]
    assert sort_by_dominance(costs)[:2] == [0, 2] and sort_by_dominance(costs)[4:] == [3, 5]
    assert dominates((1, 1), (1, 2)) and not dominates((1, 1), (1, 1))


@dataclass
class Sampler:
    """A sampler all of whose candidates were scored on the first rung."""

    name: str
    values: list[int]
    is_done: bool = True

    def candidates(self, *states: object) -> list[Candidate]:
        return [Candidate(self.name, number, {"x": value}) for number, value in enumerate(self.values)]


@dataclass
class State:
    """A search whose candidates cost what their setting is, scored up to a rung."""

    samplers: list[Sampler]
    scored: dict[int, int]
    failed: set[int] = field(default_factory=set)
    plan: SearchPlan = field(default_factory=lambda: SearchPlan(rungs=3, factor=3))
    default: dict[str, Any] = field(default_factory=lambda: {"x": 9})

    def get_scores(self, settings: dict[str, int], rung: int) -> object:
        return True if self.scored.get(settings["x"], -1) >= rung else None

    def get_record(self, settings: dict[str, int]) -> CandidateRecord:
        failed = settings["x"] in self.failed
        return CandidateRecord(settings, outcome=Outcome(refused=False, reason="diverged") if failed else None)

    def compute_costs(self, settings: dict[str, int], rung: int) -> list[float]:
        return [float(settings["x"])]


def names(found):
    return sorted(settings["x"] for settings in found)


def test_the_best_third_of_each_sampler_and_the_default_are_promoted():
    state = State([Sampler("genetic", [9, 1, 2, 3]), Sampler("random", [9, 11, 12])], {x: 0 for x in range(20)})
    assert names(find_rung_candidates(state, 1)) == [1, 2, 9]  # 2 of 4, 1 of 3, which is the default
    state.scored |= {1: 1, 2: 1, 9: 1}
    assert names(find_rung_candidates(state, 2)) == [1, 9]


def test_a_rung_is_finished_when_each_candidate_was_scored_or_failed():
    state = State([Sampler("genetic", [9, 1, 2, 3])], {x: 0 for x in range(20)})
    assert find_last_finished_rung(state) == 0
    state.scored |= {1: 1, 9: 1}
    assert find_last_finished_rung(state) == 0
    state.failed.add(2)
    assert find_last_finished_rung(state) == 1
    state.samplers[0].is_done = False
    assert find_last_finished_rung(state) == 0
