"""What a search found, as small dataclasses: ``front.json`` is exactly these."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from codec.dataset.ledger import count_candidates
from eval.benchmarks.coding_speed import TimingQuantiles
from eval.evaluation.codec_scores import CodecScores, average_seeds, count_failed_clips
from eval.metrics.bootstrap import Estimate, PairedDifference, estimate, paired_difference
from eval.metrics.registry import metric
from eval.search.candidate import Footprint
from eval.search.cost import times_real_time
from eval.search.pareto import front
from eval.search.plan import SearchPlan

SPEED_STEP = 1.1
"""Speeds count in steps of 10 %, so that the noise of timing makes no candidate better than another."""


@dataclass(frozen=True)
class Found:
    """A candidate and what the arms call it."""

    key: str
    settings: dict[str, Any]
    names: list[str]


@dataclass(frozen=True)
class Entry:
    """A candidate with all that is known. ``judged``: rung to seed to scores."""

    key: str
    names: list[str]
    settings: dict[str, Any]
    default: bool
    footprint: Footprint | None
    judged: dict[int, dict[int, CodecScores]]
    reason: str


@dataclass(frozen=True)
class Row:
    """A candidate as far as it got. ``selected``: mean over the clips that select; ``reported``: over the others, which
    had no say; ``failed``: how many of these decodes have the metric's worst value; ``difference``: there, to the
    default on the same rung, paired by clip, its interval that of this comparison by itself. ``kbps``: real bits of all
    clips. Speeds are times real time on one thread, or as many as the settings say, ratios to the reference's."""

    key: str
    names: list[str]
    settings: dict[str, Any]
    default: bool
    front: bool
    rung: int
    seeds: list[int]
    kbps: float
    selected: float
    reported: Estimate | None
    failed: int
    difference: PairedDifference | None
    encode: float
    decode: float
    encode_ratio: TimingQuantiles
    decode_ratio: TimingQuantiles
    parameters: int
    latency_ms: float
    memory_mb: float | None
    reason: str

    @property
    def label(self) -> str:
        return ("default = " if self.default else "") + ", ".join(self.names)

    @property
    def gap(self) -> float | None:
        return None if self.reported is None else self.reported.mean - self.selected


@dataclass(frozen=True)
class SearchResult:
    """``rows``: all that were judged, the front first. ``front_rung``: on which rung the front is."""

    title: str
    kind: str
    recipe: str
    metric: str
    data: str
    out: Path
    made: str
    space: list[str]
    budgets: list[str]
    """Of training, up to the end of each rung."""
    planned: int
    """Candidates of each arm."""
    drawn: dict[str, int]
    failed: dict[str, str]
    """Name: why."""
    refused: int
    front_rung: int
    front_by_arm: dict[str, int]
    gap: float | None
    """Of the front: mean of what it reached on the clips that report, less that on the clips that select."""
    gap_of_all: float | None
    """The same over all candidates of that rung: what the two halves differ by without selection."""
    candidates_on_validation: int
    rows: list[Row]

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def costs(judged: CodecScores, footprint: Footprint, name: str) -> list[float]:
    """What is minimised, on the clips that select: quality, bit rate, encode and decode speed.

    Raises ``ValueError`` where the metric has no value on any of these clips.
    """
    chosen = judged.half(selecting=True)
    quality = _mean([chosen], name)
    if quality is None:
        raise ValueError(f"no clip that selects could be judged by {name}")
    return [
        -metric(name).sign * quality,
        chosen.kbps,
        *(-speed_steps(one) for one in (footprint.speed.encode, footprint.speed.decode)),
    ]


def speed_steps(ratio: TimingQuantiles) -> float:
    return float(round(math.log(ratio.median, SPEED_STEP)))


def _mean(judged: Sequence[CodecScores], name: str) -> float | None:
    values = [value for value in average_seeds(judged, name).values() if value is not None]
    return sum(values) / len(values) if values else None


def summarise(
    plan: SearchPlan, entries: Sequence[Entry], rung: int, refused: int, data: Path, out: Path
) -> SearchResult:
    """``rung``: the one whose front is wanted; all candidates on it have had the same training."""
    known = [entry for entry in entries if entry.judged and entry.footprint is not None]
    level = [entry for entry in known if rung in entry.judged]
    best = {level[i].key for i in front([_costs(entry, rung, plan) for entry in level])}
    default = next((entry for entry in known if entry.default), None)
    speeds = [entry.footprint.speed for entry in known if entry.footprint]
    references = ([speed.reference_encode for speed in speeds], [speed.reference_decode for speed in speeds])
    rows = [_row(entry, plan, entry.key in best, default, references) for entry in known]
    rows.sort(key=lambda row: (not row.front, -row.rung, row.kbps))
    on_front = [row for row in rows if row.front]
    return SearchResult(
        title=plan.title or "Search",
        kind=plan.kind,
        recipe=plan.recipe if plan.kind == "design" else plan.model,
        metric=plan.metric,
        data=str(data),
        out=out,
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        space=list(plan.space),
        budgets=[str(plan.budget(i)) for i in range(plan.rungs)] if plan.kind == "design" else [],
        planned=plan.candidates,
        drawn={arm: sum(_drawn_by(entry.names, arm) for entry in entries) for arm in ("genetic", "random")},
        failed={entry.names[0]: entry.reason for entry in entries if entry.reason},
        refused=refused,
        front_rung=rung,
        front_by_arm={arm: sum(_drawn_by(row.names, arm) for row in on_front) for arm in ("genetic", "random")},
        gap=_mean_gap(on_front),
        gap_of_all=_mean_gap([row for row in rows if row.rung >= rung]),
        candidates_on_validation=count_candidates(data),
        rows=rows,
    )


def _costs(entry: Entry, rung: int, plan: SearchPlan) -> list[float]:
    assert entry.footprint is not None
    return costs(entry.judged[rung][plan.seeds[0]], entry.footprint, plan.metric)


def _drawn_by(names: Sequence[str], arm: str) -> bool:
    return any(name.startswith(arm) for name in names)


def _mean_gap(rows: Sequence[Row]) -> float | None:
    gaps = [row.gap for row in rows if row.gap is not None]
    return sum(gaps) / len(gaps) if gaps else None


def _row(
    entry: Entry, plan: SearchPlan, on_front: bool, default: Entry | None, references: tuple[list[float], list[float]]
) -> Row:
    assert entry.footprint is not None
    rung = max(entry.judged)
    judged = list(entry.judged[rung].values())
    selecting = [one.half(selecting=True) for one in judged]
    reporting = [one.half(selecting=False) for one in judged]
    groups = {clip.clip_id: clip.group for clip in reporting[0].clips}
    values = average_seeds(reporting, plan.metric)
    known = {clip: value for clip, value in values.items() if value is not None}
    difference = None
    if default is not None and not entry.default and rung in default.judged:
        theirs = [one.half(selecting=False) for one in default.judged[rung].values()]
        difference = paired_difference(values, average_seeds(theirs, plan.metric), groups)
    size, speed = entry.footprint.size, entry.footprint.speed
    selected = _mean(selecting, plan.metric)
    assert selected is not None  # costs() has refused what has none
    return Row(
        key=entry.key,
        names=entry.names,
        settings=entry.settings,
        default=entry.default,
        front=on_front,
        rung=rung,
        seeds=list(entry.judged[rung]),
        kbps=sum(one.kbps for one in judged) / len(judged),
        selected=selected,
        reported=estimate(list(known.values()), [groups[clip] for clip in known]),
        failed=count_failed_clips(reporting, plan.metric),
        difference=difference,
        encode=times_real_time(speed.encode.median, references[0]),
        decode=times_real_time(speed.decode.median, references[1]),
        encode_ratio=speed.encode,
        decode_ratio=speed.decode,
        parameters=size.parameters,
        latency_ms=size.latency_ms,
        memory_mb=entry.footprint.memory_mb,
        reason=entry.reason,
    )
