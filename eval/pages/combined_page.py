"""``codec report``: several evaluations, and searches, on one page."""

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from codec.errors import UserError
from codec.runtime.json_files import from_json, read_json
from eval.evaluation.paired_evaluations import ScoredClips, compare_evaluations, describe_evaluations
from eval.evaluation.results import RatePoint
from eval.metrics.registry import METRICS, describe_editions, metric
from eval.pages.page import write_page
from eval.pages.paired_table import paired_table
from eval.pages.players import AudioVersion, PlayedClip, read_players
from eval.pages.rate_distortion_plot import rate_figures, series_colours, shown_subsets
from eval.systems.system import System

EVALUATION, SEARCH = "results.json", "front.json"
SAME = 1e-3
"""Values that differ by less are those of one system, computed twice."""
_MOST_CLIPS = 6
"""Clips that the page plays."""


@dataclass(frozen=True)
class Evaluation:
    """An evaluation on the page."""

    folder: Path
    link: str
    """To its report."""
    system: str
    checksum: str
    """Checksum of the model."""
    data: str
    split: str
    made: str
    clips: frozenset[str]
    """Identifiers of the clips that were evaluated."""
    parameters: int
    latency_ms: float
    encode_times_real_time: float
    decode_times_real_time: float
    memory_mb: float | None
    fit: str
    """Verdict on its training."""
    opened_before: int
    candidates: int
    rates: list[RatePoint]
    scored: ScoredClips
    played: list[PlayedClip]
    """Clips that its report plays."""


@dataclass(frozen=True)
class Search:
    """A search on the page."""

    link: str
    title: str
    metric: str
    candidates: int
    on_front: int


@dataclass(frozen=True)
class SystemValues:
    """The values of a system on some clips."""

    system: System
    kbps: float | None
    found: dict[str, RatePoint]
    """Metric to value."""

    @property
    def clips(self) -> int:
        """Number of clips that some metric could judge."""
        return max(point.clips for point in self.found.values())


@dataclass(frozen=True)
class SystemTable:
    """All systems on some clips."""

    title: str
    """Names the clips."""
    metrics: list[str]
    systems: list[SystemValues]


def write_combined_page(folders: Sequence[Path], out: Path) -> None:
    """Write a page with several evaluations and searches.

    Args:
        folders: folders of evaluations and searches.
        out: the HTML file.

    Raises:
        UserError: a folder has neither, or its results cannot be read; ``out`` cannot be written.
    """
    if not out.parent.is_dir():
        raise UserError(f"{out}: no such folder; create it first")
    evaluations, searches = [], []
    for folder in folders:
        found = [name for name in (EVALUATION, SEARCH) if (folder / name).is_file()]
        if not found:
            raise UserError(f"{folder}: holds neither {EVALUATION} of codec evaluate nor {SEARCH} of codec search")
        try:
            content = read_json(folder / found[0])
            if found[0] == EVALUATION:
                scored = from_json(ScoredClips, content)
                evaluations.append(_evaluation(from_json(_Results, content), scored, folder, out))
            else:
                searches.append(_search(from_json(_Front, content), folder, out))
        except (OSError, ValueError) as error:
            path = folder / found[0]
            raise UserError(
                f"{path}: cannot be read ({error}); repeat the evaluation or search with this version"
            ) from error
    evaluations = _disambiguate_names(evaluations)
    same_clips = len({entry.clips for entry in evaluations}) <= 1
    by_name = {entry.system: entry.scored for entry in evaluations}
    compared = compare_evaluations(by_name) if same_clips and len(by_name) > 1 else None
    rates = _join_rates(evaluations)
    named = {point.metric for point in rates}
    write_page(
        out,
        "combined.html.j2",
        title="Combined report",
        kind="report",
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        evaluations=evaluations,
        searches=searches,
        same_clips=same_clips,
        verdict=describe_evaluations(compared) if compared else "",
        differences=paired_table(compared) if compared else None,
        clips=played_clips(evaluations),
        curves=rate_figures(rates),
        series=series_colours(rates),
        tables=system_tables(rates),
        metric=metric,
        measured=[entry for entry in METRICS if entry.name in named],
        editions=describe_editions(named),
    )


@dataclass(frozen=True)
class _Clip:
    clip_id: str


@dataclass(frozen=True)
class _Model:
    checksum: str
    parameters: int
    latency_ms: float


@dataclass(frozen=True)
class _Diagnosis:
    verdict: str


@dataclass(frozen=True)
class _Results:
    """The part of a ``results.json`` that is read, see :class:`eval.evaluation.results.EvaluationResult`."""

    system: str
    data: str
    split: Literal["test", "val"]
    made: str
    encode_times_real_time: float
    decode_times_real_time: float
    memory_mb: float | None
    opened_before: int
    candidates: int
    trained: _Model
    clips: list[_Clip]
    diagnosis: _Diagnosis
    rates: list[RatePoint]

    def __post_init__(self) -> None:
        known = {entry.name for entry in METRICS}
        for point in self.rates:
            if point.metric not in known:
                raise ValueError(f"no metric called {point.metric!r}")
            if point.kbps is not None and point.kbps < 0:
                raise ValueError(f"a bit rate of {point.kbps:g} kbit/s")


def _evaluation(results: _Results, scored: ScoredClips, folder: Path, out: Path) -> Evaluation:
    report = folder / "report.html"
    return Evaluation(
        folder=folder,
        link=_link(report, out),
        system=results.system,
        checksum=results.trained.checksum,
        data=results.data,
        split=results.split,
        made=results.made,
        clips=frozenset(clip.clip_id for clip in results.clips),
        parameters=results.trained.parameters,
        latency_ms=results.trained.latency_ms,
        encode_times_real_time=results.encode_times_real_time,
        decode_times_real_time=results.decode_times_real_time,
        memory_mb=results.memory_mb,
        fit=results.diagnosis.verdict,
        opened_before=results.opened_before,
        candidates=results.candidates,
        rates=results.rates,
        scored=scored,
        played=read_players(report) if report.is_file() else [],
    )


@dataclass(frozen=True)
class _FrontRow:
    front: bool


@dataclass(frozen=True)
class _Front:
    """The part of a ``front.json`` that is read, see :class:`eval.search.results.SearchResult`."""

    title: str
    metric: str
    rows: list[_FrontRow]

    def __post_init__(self) -> None:
        if self.metric not in {entry.name for entry in METRICS}:
            raise ValueError(f"no metric called {self.metric!r}")


def _search(result: _Front, folder: Path, out: Path) -> Search:
    return Search(
        link=_link(folder / "front.html", out),
        title=result.title,
        metric=result.metric,
        candidates=len(result.rows),
        on_front=sum(row.front for row in result.rows),
    )


def _link(page: Path, out: Path) -> str:
    """Return a relative link from ``out`` to a page, so that both can be moved together."""
    return quote(Path(os.path.relpath(page.resolve(), out.parent.resolve())).as_posix())


def _disambiguate_names(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Append the folder of the evaluation to names that stand for different systems: different models, systems on
    different clips, and systems whose values differ, such as two folders of decoded files with one name.
    """
    models: dict[str, set[str]] = {}
    judged: dict[str, set[frozenset[str]]] = {}
    points: dict[tuple[str, ...], RatePoint] = {}
    differing = set()
    for entry in evaluations:
        models.setdefault(entry.system, set()).add(entry.checksum)
        for name in {point.system for point in entry.rates}:
            judged.setdefault(name, set()).add(entry.clips)
        for point in entry.rates:
            if not _is_same_value(point, points.setdefault(_place(point), point)):
                differing.add(point.system)

    def name_in(entry: Evaluation, name: str) -> str:
        several = len(models.get(name, ())) > 1 or len(judged.get(name, ())) > 1 or name in differing
        return f"{name} ({entry.folder})" if several else name

    return [
        replace(
            entry,
            system=name_in(entry, entry.system),
            rates=[replace(point, system=name_in(entry, point.system)) for point in entry.rates],
        )
        for entry in evaluations
    ]


def _place(point: RatePoint) -> tuple[str, ...]:
    """Return the fields that identify the value."""
    return point.system, point.point, point.domain, point.distribution, point.metric


def _is_same_value(one: RatePoint, other: RatePoint) -> bool:
    """Return whether two values are those of one system, computed twice."""
    pairs = ((one.kbps, other.kbps), (one.mean, other.mean))
    return all(
        first is second if first is None or second is None else math.isclose(first, second, rel_tol=SAME, abs_tol=SAME)
        for first, second in pairs
    )


def _join_rates(evaluations: Sequence[Evaluation]) -> list[RatePoint]:
    """Return all points, ours first; those that several evaluations have, such as Opus on the same clips, once."""
    ours = {entry.system for entry in evaluations}
    points: dict[tuple[str, ...], RatePoint] = {}
    for entry in evaluations:
        for point in entry.rates:
            points.setdefault(_place(point), point)
    return sorted(points.values(), key=lambda point: point.system not in ours)


def system_tables(rates: Sequence[RatePoint]) -> list[SystemTable]:
    """Group points by the clips that they are about.

    Args:
        rates: rates of all evaluations.

    Returns:
        A table for each distribution and domain with a plot.
    """
    found = []
    for cell in shown_subsets(rates):
        # a bound is that of one model, and stands on its own page
        here = [point for point in rates if cell.has(point) and not point.identity.is_bound]
        systems: dict[System, SystemValues] = {}
        for point in here:
            values = systems.setdefault(point.identity, SystemValues(point.identity, point.kbps, {}))
            values.found[point.metric] = point
        found.append(SystemTable(cell.title, [point.metric for point in here], list(systems.values())))
    return found


def played_clips(evaluations: Sequence[Evaluation]) -> list[PlayedClip]:
    """Join the players of several reports.

    Of each clip, there are the original, the versions of the models and those of the other systems. Other operating
    points of the models stay on their own pages.

    Args:
        evaluations: evaluations with different names.

    Returns:
        Some clips, first those that most of the reports play.
    """
    found: dict[str, list[tuple[Evaluation, PlayedClip]]] = {}
    for entry in evaluations:
        for clip in entry.played:
            if clip.place < len(entry.scored.clips):
                found.setdefault(entry.scored.clips[clip.place].clip_id, []).append((entry, clip))
    most_common = sorted(found.values(), key=len, reverse=True)[:_MOST_CLIPS]
    return [_join_players(players, number) for number, players in enumerate(most_common, 1)]


def _join_players(players: Sequence[tuple[Evaluation, PlayedClip]], number: int) -> PlayedClip:
    _, first = players[0]
    versions = [first.versions[0]]
    models = {entry.system for entry, _ in players}
    others: dict[str, AudioVersion] = {}
    for entry, clip in players:
        ours = clip.versions[1]
        rate = ours.label.rpartition(" · ")[2]
        versions.append(replace(ours, label=f"{entry.system} · {rate}"))
        own = {point.point for point in entry.rates if point.system == entry.system}
        for version in clip.versions[2:]:
            name = version.label.rpartition(" · ")[0]
            if name not in own and name.partition(", ")[0] not in models:
                others.setdefault(version.label, version)
    seconds = min(clip.seconds for _, clip in players)
    return PlayedClip(f"Clip {number}: {first.title}", seconds, [*versions, *others.values()])
