"""Results of a search as dataclasses; ``front.json`` holds exactly these fields."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codec.dataset.ledger import count_candidates
from codec.dataset.location import DataLocation
from eval.benchmarks.coding_speed import TimingQuantiles
from eval.evaluation.codec_scores import average_seeds, count_failed_clips, mean_over_clips
from eval.metrics.confidence import Estimate, PairedDifference, estimate, paired_difference, reported
from eval.metrics.registry import metric
from eval.search.candidate import CandidateRecord
from eval.search.cost import times_real_time
from eval.search.halving import find_front, find_last_finished_rung
from eval.search.sampler import ACCEPTED, SAMPLERS
from eval.search.state import SearchState


@dataclass(frozen=True)
class CandidateRow:
    """A candidate on the highest rung that it has reached."""

    key: str
    """Name of its folder."""
    names: list[str]
    """Sampler and number of each proposal, such as "genetic 3"."""
    settings: dict[str, Any]
    default: bool
    front: bool
    """True if the candidate is on the Pareto front."""
    rung: int
    seeds: list[int]
    kbps: float
    """Real bit rate over all clips."""
    selected: float
    """Mean of the metric over the clips of the groups that select."""
    reported: Estimate | None
    """Mean over the clips of the other groups, which had no influence on the search."""
    failed: int
    """Decodes among those with the metric's worst value."""
    difference: PairedDifference | None
    """Difference to the default on those clips and the same rung, paired by clip."""
    encode: float
    """Times real time, on one thread or as many as the settings state."""
    decode: float
    encode_ratio: TimingQuantiles
    """Speed relative to the default's, measured in turn with it."""
    decode_ratio: TimingQuantiles
    parameters: int
    latency_ms: float
    memory_mb: float | None
    reason: str
    """Reason why it went no further; empty if it was neither pruned nor failed."""
    name: str = ""
    """What it is: the settings in which it differs from the default; empty in results of earlier versions."""

    @property
    def label(self) -> str:
        """Name for tables and text."""
        return self.name or ", ".join(self.names)

    @property
    def gap(self) -> float | None:
        """Mean on the half of the report less mean on the half for model selection."""
        return None if self.reported is None else self.reported.mean - self.selected

    def is_from(self, sampler: str) -> bool:
        """Return whether a sampler has proposed this candidate.

        Args:
            sampler: name of the sampler.

        Returns:
            True if any of the names is the sampler's.
        """
        return _is_from(self.names, sampler)


@dataclass(frozen=True)
class SearchResult:
    """Results of a search so far."""

    title: str
    kind: str
    recipe: str
    """Recipe or model that the search started from."""
    metric: str
    data: str
    out: Path
    made: str
    space: list[str]
    budgets: list[str]
    """Training up to the end of each rung."""
    planned: int
    """Candidates of each sampler."""
    drawn: dict[str, int]
    """Sampler: candidates so far."""
    failed: dict[str, str]
    """Candidate: reason."""
    refused: int
    """Pruned proposals: infeasible or repeated."""
    front_rung: int
    """The rung on which the front is."""
    front_by_arm: dict[str, int]
    """Sampler: its candidates on the front."""
    gap: float | None
    """Mean gap between the halves over the front."""
    gap_of_all: float | None
    """Mean gap over all candidates of that rung: the difference of the halves without selection."""
    candidates_on_validation: int
    rows: list[CandidateRow]
    """All candidates that were scored, the front first."""

    @property
    def setting_headings(self) -> list[str]:
        """Column headings of the settings. Those of operating settings begin with ``use.``: the requested bit rate,
        ``use.kbps``, is not the real one.
        """
        return [f"use.{name}" if self.kind == "operating" else name for name in self.space]

    def to_dict(self) -> dict[str, Any]:
        """Return all fields as a dictionary for JSON.

        Returns:
            Field to value; :class:`~pathlib.Path` and others are left to the encoder.
        """
        return asdict(self)


def summarise_search(state: SearchState, data: DataLocation) -> SearchResult:
    """Summarise what a search has found.

    Args:
        state: snapshot of the search.
        data: prepared data.

    Returns:
        The result, with the front of the highest finished rung.
    """
    plan, rung = state.plan, find_last_finished_rung(state)
    records: dict[str, CandidateRecord] = {}
    names: dict[str, list[str]] = {}
    for record, name in _list_proposals(state):
        records[record.key] = record
        names.setdefault(record.key, []).append(name)
    rows = _make_rows(state, records, names, rung)
    on_front = [row for row in rows if row.front]
    outcomes = {key: record.outcome for key, record in records.items() if record.outcome is not None}
    return SearchResult(
        title=plan.title or "Search",
        kind=plan.kind,
        recipe=plan.recipe if plan.kind == "design" else plan.model,
        metric=plan.metric,
        data=str(data),
        out=state.out,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        space=list(plan.space),
        budgets=[str(plan.budget(i)) for i in range(plan.rungs)] if plan.kind == "design" else [],
        planned=plan.candidates,
        drawn={sampler: sum(_is_from(labels, sampler) for labels in names.values()) for sampler in SAMPLERS},
        failed={plan.describe(records[key].settings): found.reason for key, found in outcomes.items() if found.reason},
        refused=sum(sampler.count_pruned() for sampler in state.samplers),
        front_rung=rung,
        front_by_arm={sampler: sum(row.is_from(sampler) for row in on_front) for sampler in SAMPLERS},
        gap=_mean_gap(on_front),
        gap_of_all=_mean_gap([row for row in rows if row.rung >= rung]),
        candidates_on_validation=count_candidates(data),
        rows=rows,
    )


def _list_proposals(state: SearchState) -> Iterator[tuple[CandidateRecord, str]]:
    """Yield each candidate with the name of each proposal."""
    for sampler in state.samplers:
        for number, candidate in enumerate(sampler.candidates(*ACCEPTED)):
            if candidate.settings:
                yield state.get_record(candidate.settings), f"{sampler.name} {number}"


def _is_from(names: Sequence[str], sampler: str) -> bool:
    return any(name.startswith(sampler) for name in names)


def _mean_gap(rows: Sequence[CandidateRow]) -> float | None:
    gaps = [row.gap for row in rows if row.gap is not None]
    return sum(gaps) / len(gaps) if gaps else None


@dataclass(frozen=True)
class _Comparison:
    """Values that the rows of all candidates share."""

    metric: str
    default: CandidateRecord | None
    """The default; None if it was not scored."""
    front: set[str]
    reference_encode: list[float]
    """Speed of the reference in the measurement of each candidate."""
    reference_decode: list[float]


def _make_rows(
    state: SearchState, records: Mapping[str, CandidateRecord], names: Mapping[str, list[str]], rung: int
) -> list[CandidateRow]:
    known = [record for record in records.values() if record.scores and record.cost is not None]
    speeds = [record.cost.speed for record in known if record.cost is not None]
    comparison = _Comparison(
        state.plan.metric,
        next((record for record in known if record.settings == state.default), None),
        find_front(state, known, rung),
        [speed.reference_encode for speed in speeds],
        [speed.reference_decode for speed in speeds],
    )
    rows = [_make_row(record, state.plan.describe(record.settings), names[record.key], comparison) for record in known]
    return sorted(rows, key=lambda row: (not row.front, -row.rung, row.kbps))


def _make_row(record: CandidateRecord, name: str, names: list[str], comparison: _Comparison) -> CandidateRow:
    assert record.cost is not None
    rung, cost = max(record.scores), record.cost
    scores = list(record.scores[rung].values())
    reporting = [one.half(selecting=False) for one in scores]
    groups = {clip.clip_id: clip.group for clip in reporting[0].clips}
    values = average_seeds(reporting, comparison.metric)
    defined = {clip: value for clip, value in values.items() if value is not None}
    mean = estimate(list(defined.values()), [groups[clip] for clip in defined])
    selected = mean_over_clips([one.half(selecting=True) for one in scores], comparison.metric)
    assert selected is not None  # compute_costs has raised an error for a candidate without it
    return CandidateRow(
        key=record.key,
        names=names,
        settings=dict(record.settings),
        default=record is comparison.default,
        front=record.key in comparison.front,
        rung=rung,
        seeds=list(record.scores[rung]),
        kbps=sum(one.kbps for one in scores) / len(scores),
        selected=selected,
        reported=None if mean is None else reported(mean, is_distance=metric(comparison.metric).is_distance),
        failed=count_failed_clips(reporting, comparison.metric),
        difference=_compare_with_default(record, rung, values, groups, comparison),
        encode=times_real_time(cost.speed.encode.median, comparison.reference_encode),
        decode=times_real_time(cost.speed.decode.median, comparison.reference_decode),
        encode_ratio=cost.speed.encode,
        decode_ratio=cost.speed.decode,
        parameters=cost.size.parameters,
        latency_ms=cost.size.latency_ms,
        memory_mb=cost.memory_mb,
        reason="" if record.outcome is None else record.outcome.reason,
        name=name,
    )


def _compare_with_default(
    record: CandidateRecord,
    rung: int,
    values: Mapping[str, float | None],
    groups: Mapping[str, str],
    comparison: _Comparison,
) -> PairedDifference | None:
    default = comparison.default
    if default is None or record is default or rung not in default.scores:
        return None
    theirs = [one.half(selecting=False) for one in default.scores[rung].values()]
    difference = paired_difference(values, average_seeds(theirs, comparison.metric), groups)
    return None if difference is None else reported(difference, is_distance=False)
