"""The tables of an evaluation: CSV, a row per clip, per point of the curves and per difference; and Markdown."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from codec.runtime.text import escape_invisible
from eval.evaluation.rate_distortion import ALL, System
from eval.evaluation.results import (
    ClipResult,
    Difference,
    EvaluationResult,
    RatePoint,
    Row,
    describe_failed,
    describe_missing,
    format_difference,
    format_estimate,
    format_kbps,
)
from eval.metrics.bootstrap import Estimate, describe_correction
from eval.metrics.registry import METRICS, describe_editions, metric
from eval.pages.text_table import Table, csv_cell, markdown_text

CLIPS, RATES, DIFFERENCES, SUMMARY = "clips.csv", "rates.csv", "differences.csv", "results.md"


def write_tables(result: EvaluationResult, systems: Sequence[System], folder: Path) -> None:
    """Into ``folder``: clips.csv, rates.csv, differences.csv and results.md."""
    _write_clips(folder / CLIPS, systems)
    _write_rows(folder / RATES, RatePoint, result.rates)
    _write_rows(folder / DIFFERENCES, Difference, result.differences)
    (folder / SUMMARY).write_text(markdown(result), encoding="utf-8", errors="replace")


def _write_rows(path: Path, kind: type, rows: Sequence[RatePoint] | Sequence[Difference]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in asdict(row).items()} for row in rows)


def _write_clips(path: Path, systems: Sequence[System]) -> None:
    """One row per clip; an empty cell where a metric is not defined. The last column says why, and which values are the
    worst, of decodes that could not be judged."""
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        columns = (
            "clip_id path domain group in_distribution seconds bytes container_bytes kbps encode_s decode_s".split()
        )
        names = [entry.name for entry in METRICS]
        writer.writerow(["system", "point", *columns, *names, "baseline_mel", "other_codes_mel", "failed"])
        for system in systems:
            for clip in system.clips:
                values = [score.value if (score := clip.scores.get(name)) else None for name in names]
                noise = clip.baseline.get("mel")
                beside = [noise.value if noise else None, clip.other_codes_mel.value]
                cells = [getattr(clip, column) for column in columns]
                row = [system.name, system.point, *cells, *values, *beside, _failures(clip)]
                writer.writerow([csv_cell(cell) for cell in row])


def _failures(clip: ClipResult) -> str:
    return "; ".join(
        f"{name}: {score.reason}" for name, score in clip.scores.items() if score.failed or score.undefined
    )


def markdown(result: EvaluationResult) -> str:
    """What is in the tables of the report."""
    kind = "test" if result.split == "test" else "validation"
    own = result.operating_point
    lines = [
        f"# {markdown_text(result.system or result.run)} on the {kind} split of {markdown_text(result.data)}",
        "",
        f"{result.main.clips} clips of {result.main.groups} groups; means over clips, with 95 % t intervals over groups"
        f" ({'one group: no interval' if result.main.groups == 1 else 'speakers, recordings'})."
        f" {result.diagnosis.verdict.capitalize()}: {result.diagnosis.reason}. Made by",
        "",
        f"    {escape_invisible(result.command)}",
        "",
        f"- {markdown_text(result.history())}",
        "",
        f"## {markdown_text(result.main.name.capitalize())}",
        "",
        "kbps: real bits, of whole files for our models, of the payload alone where there is a container beside it.",
        "",
        _quality([(own, result.main), *((row.name, row) for row in result.others)]),
        "",
        *(f"- {line}" for line in (*describe_editions(result.main.metrics), *describe_missing(result.main))),
        *(f"- {row.name}: {line}" for row in result.others for line in describe_failed(row)),
    ]
    lines += [
        f"- {markdown_text(f'{name}: absent: {why}')}"
        for name, why in {**_metrics(result), **result.absent_systems}.items()
    ]
    if result.differences:
        lines += ["", "## Differences", "", _differences(result)]
    if len(result.rows) > 1:
        lines += [
            "",
            f"## {markdown_text(own)}, by kind of clip",
            "",
            _quality([(row.name, row) for row in result.rows]),
        ]
    if gaps := result.gaps():
        lines += ["", "## The half that reports less the half that selects", "", gaps.markdown()]
    return "\n".join(lines) + "\n"


def _metrics(result: EvaluationResult) -> dict[str, str]:
    return {metric(name).label: why.removeprefix("absent: ") for name, why in result.absent.items()}


def _head(name: str) -> str:
    return f"{metric(name).heading} {'↓' if metric(name).better == 'lower' else '↑'}"


def _quality(rows: Sequence[tuple[str, Row]]) -> str:
    names = [entry.name for entry in METRICS if any(entry.name in row.metrics for _, row in rows)]
    around = any(row.container_kbps is not None for _, row in rows)
    head = ["", "clips", "kbps", *(["container"] if around else []), *map(_head, names)]
    table = [
        [
            f"{heading} ({row.note})" if row.note else heading,
            str(row.clips),
            "unknown" if row.kbps is None else f"{row.kbps:.2f}",
            *(["–" if row.container_kbps is None else f"{row.container_kbps:.2f}"] if around else []),
            *(_value(name, row) for name in names),
        ]
        for heading, row in rows
    ]
    return Table("", "", head, table).markdown()


def _value(name: str, row: Row) -> str:
    failed = row.count_failed(name)
    shown = format_estimate(name, row.metrics[name]) if name in row.metrics else "–"
    return f"{shown}, {failed} failed" if failed else shown


def _differences(result: EvaluationResult) -> str:
    """Ours less theirs, on the clips of the first table."""
    inside = "in" if any(clip.in_distribution for clip in result.clips) else "out"
    meant = [entry for entry in result.differences if entry.domain == ALL and entry.distribution == inside]
    names = [entry.name for entry in METRICS if any(found.metric == entry.name for found in meant)]
    rows: dict[tuple[str, str], dict[str, Difference]] = {}
    for found in meant:
        rows.setdefault((found.system, found.point), {})[found.metric] = found
    table = []
    for (system, point), cells in rows.items():
        first = next(iter(cells.values()))
        ours = f"{first.ours} ({format_kbps(first.our_kbps)})"
        theirs = f"{system}, {point} ({format_kbps(first.kbps)})"
        table.append([f"{ours} less {theirs}", *(_difference(cells.get(name)) for name in names)])
    note = (
        "Ours less theirs, clip by clip, at the nearest bit rate; ▲ ours is better, ▼ theirs, where that is"
        f" {describe_correction(meant[0].comparisons if meant else 0)}. Each interval is the 95 % one of its own"
        " comparison."
    )
    return f"{note}\n\n{Table('', '', ['', *map(_head, names)], table).markdown()}"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "–"
    value = Estimate(found.mean, found.low, found.high, found.clips, found.groups)
    return format_difference(found.metric, value) + {"ours": " ▲", "theirs": " ▼", "": ""}[found.better]
