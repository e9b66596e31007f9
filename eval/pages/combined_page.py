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
from eval.evaluation.results import RatePoint
from eval.metrics.registry import METRICS, describe_editions, metric
from eval.pages.page import write_page
from eval.pages.rate_distortion_plot import rate_figures, series, shown_subsets
from eval.systems.system import System

EVALUATION, SEARCH = "results.json", "front.json"
SAME = 1e-3
"""Values nearer than this are one codec's, computed twice."""


@dataclass(frozen=True)
class Evaluation:
    """What the page takes from one ``results.json``. ``clips``: identifies what was judged; ``checksum``: the model."""

    folder: Path
    link: str
    system: str
    checksum: str
    data: str
    split: str
    made: str
    clips: frozenset[str]
    parameters: int
    latency_ms: float
    encode_times_real_time: float
    decode_times_real_time: float
    memory_mb: float | None
    verdict: str
    opened_before: int
    candidates: int
    rates: list[RatePoint]


@dataclass(frozen=True)
class Search:
    """What the page takes from one ``front.json``."""

    link: str
    title: str
    metric: str
    judged: int
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


def join(folders: Sequence[Path], out: Path) -> None:
    """Writes the page of the evaluations and searches in ``folders`` to ``out``.

    Raises:
        UserError: a folder has neither, or what cannot be read; ``out`` cannot be written.
    """
    if not out.parent.is_dir():
        raise UserError(f"{out}: no such folder; create it first")
    evaluations, searches = [], []
    for folder in folders:
        found = [name for name in (EVALUATION, SEARCH) if (folder / name).is_file()]
        if not found:
            raise UserError(f"{folder}: neither {EVALUATION} of codec evaluate nor {SEARCH} of codec search is there")
        try:
            content = read_json(folder / found[0])
            if found[0] == EVALUATION:
                evaluations.append(_evaluation(from_json(_Results, content), folder, out))
            else:
                searches.append(_search(from_json(_Front, content), folder, out))
        except (OSError, ValueError) as error:
            path = folder / found[0]
            raise UserError(f"{path}: not readable ({error}); make it again with this version") from error
    evaluations = named_apart(evaluations)
    rates = joined_rates(evaluations)
    named = {point.metric for point in rates}
    write_page(
        out,
        "joined.html.j2",
        title="Joined report",
        kind="report",
        made=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        evaluations=evaluations,
        searches=searches,
        alike=len({entry.clips for entry in evaluations}) <= 1,
        curves=rate_figures(rates),
        series=series(rates),
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
    """Of a ``results.json``, see :class:`eval.evaluation.results.EvaluationResult`."""

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


def _evaluation(results: _Results, folder: Path, out: Path) -> Evaluation:
    return Evaluation(
        folder=folder,
        link=_link(folder / "report.html", out),
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
        verdict=results.diagnosis.verdict,
        opened_before=results.opened_before,
        candidates=results.candidates,
        rates=results.rates,
    )


@dataclass(frozen=True)
class _FrontRow:
    front: bool


@dataclass(frozen=True)
class _Front:
    """Of a ``front.json``, see :class:`eval.search.results.SearchResult`."""

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
        judged=len(result.rows),
        on_front=sum(row.front for row in result.rows),
    )


def _link(page: Path, out: Path) -> str:
    """From ``out`` to a page, so that both can move together."""
    return quote(Path(os.path.relpath(page.resolve(), out.parent.resolve())).as_posix())


def named_apart(evaluations: Sequence[Evaluation]) -> list[Evaluation]:
    """Different models of one name, other codecs judged on different clips, and those whose values differ, such as two
    folders of decodes that were given one name, get the evaluation's folder behind their name."""
    models: dict[str, set[str]] = {}
    judged: dict[str, set[frozenset[str]]] = {}
    points: dict[tuple[str, ...], RatePoint] = {}
    differing = set()
    for entry in evaluations:
        models.setdefault(entry.system, set()).add(entry.checksum)
        for name in {point.system for point in entry.rates}:
            judged.setdefault(name, set()).add(entry.clips)
        for point in entry.rates:
            if not _alike(point, points.setdefault(_place(point), point)):
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
    """What of it says which value it is."""
    return point.system, point.point, point.domain, point.distribution, point.metric


def _alike(one: RatePoint, other: RatePoint) -> bool:
    """Whether they are the same for who reads them."""
    pairs = ((one.kbps, other.kbps), (one.mean, other.mean))
    return all(
        first is second if first is None or second is None else math.isclose(first, second, rel_tol=SAME, abs_tol=SAME)
        for first, second in pairs
    )


def joined_rates(evaluations: Sequence[Evaluation]) -> list[RatePoint]:
    """All points, ours first; what several have, such as Opus on the same clips, once."""
    ours = {entry.system for entry in evaluations}
    points: dict[tuple[str, ...], RatePoint] = {}
    for entry in evaluations:
        for point in entry.rates:
            points.setdefault(_place(point), point)
    return sorted(points.values(), key=lambda point: point.system not in ours)


def system_tables(rates: Sequence[RatePoint]) -> list[SystemTable]:
    """Group points by the clips that they are about.

    Args:
        rates: of all evaluations.

    Returns:
        A table for each distribution and domain that has a plot, too.
    """
    found = []
    for cell in shown_subsets(rates):
        here = [point for point in rates if cell.has(point)]
        systems: dict[System, SystemValues] = {}
        for point in here:
            values = systems.setdefault(point.identity, SystemValues(point.identity, point.kbps, {}))
            values.found[point.metric] = point
        found.append(SystemTable(cell.title, [point.metric for point in here], list(systems.values())))
    return found
