"""The tables of an evaluation: CSV with a row per clip, rate–distortion point and difference; and Markdown."""

import csv
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from codec.runtime.text import escape_invisible, markdown_text
from eval.evaluation.formatting import (
    describe_failed,
    describe_missing,
    describe_samples,
    format_difference,
    format_estimate,
    format_kbps,
)
from eval.evaluation.rate_distortion import ALL, SystemClips
from eval.evaluation.results import ClipResult, Difference, EvaluationResult, RatePoint, Row
from eval.evaluation.screen_text import describe_history, gap_table
from eval.metrics.confidence import Estimate, describe_correction
from eval.metrics.registry import METRICS, describe_editions, metric
from eval.pages.text_table import Table, csv_cell
from eval.systems.system import BOUND, System

CLIPS_CSV, RATES_CSV, DIFFERENCES_CSV, RESULTS_MD = "clips.csv", "rates.csv", "differences.csv", "results.md"


def write_evaluation_tables(result: EvaluationResult, systems: Sequence[SystemClips], folder: Path) -> None:
    """Write clips.csv, rates.csv, differences.csv and results.md.

    Args:
        result: result of the evaluation.
        systems: the clips of each system.
        folder: folder for the files.
    """
    _write_clips(folder / CLIPS_CSV, systems)
    _write_rows(folder / RATES_CSV, RatePoint, result.rates)
    _write_rows(folder / DIFFERENCES_CSV, Difference, result.differences)
    (folder / RESULTS_MD).write_text(evaluation_markdown(result), encoding="utf-8", errors="replace")


def _write_rows(path: Path, kind: type, rows: Sequence[RatePoint] | Sequence[Difference]) -> None:
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.DictWriter(file, [field.name for field in fields(kind)])
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in asdict(row).items()} for row in rows)


_LAST_COLUMNS = ("wer", "speaker_similarity")
"""Metrics whose columns came after the others of ``clips.csv``, whose places stay."""


def _write_clips(path: Path, systems: Sequence[SystemClips]) -> None:
    """Write a row per clip; a cell is empty if the metric is not defined. The column ``failed`` gives the reasons, and
    names the worst values, of clips that failed. Columns of newer metrics stand last.
    """
    columns = "clip_id path domain group in_distribution seconds bytes container_bytes kbps encode_s decode_s".split()
    names = [entry.name for entry in METRICS if entry.name not in _LAST_COLUMNS]
    with path.open("w", newline="", encoding="utf-8", errors="replace") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["system", "point", *columns, *names, "baseline_mel", "other_codes_mel", "failed", *_LAST_COLUMNS]
        )
        for system in systems:
            for clip in system.clips:
                values, last = _values(clip, names), _values(clip, _LAST_COLUMNS)
                noise = clip.baseline.get("mel")
                baselines = [noise.value if noise else None, clip.other_codes_mel.value]
                cells = [getattr(clip, column) for column in columns]
                row = [system.system.name, system.system.point, *cells, *values, *baselines, _failures(clip), *last]
                writer.writerow([csv_cell(cell) for cell in row])


def _values(clip: ClipResult, names: Sequence[str]) -> list[float | None]:
    return [clip.scores[name].value if name in clip.scores else None for name in names]


def _failures(clip: ClipResult) -> str:
    return "; ".join(
        f"{name}: {score.reason}" for name, score in clip.scores.items() if score.failed or score.undefined
    )


def evaluation_markdown(result: EvaluationResult) -> str:
    """Format an evaluation as Markdown, with the tables of the report.

    Args:
        result: result of the evaluation.

    Returns:
        The content of ``results.md``.
    """
    sections = [_introduction(result), _main_section(result)]
    if result.differences:
        sections.append(["## Differences", "", _differences(result)])
    if len(result.rows) > 1:
        heading = f"## {markdown_text(result.operating_point)}, by kind of clip"
        sections.append([heading, "", _quality([(row.name, row) for row in result.rows])])
    if gaps := gap_table(result):
        sections.append(["## The half of the report less the half for model selection", "", gaps.markdown()])
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _introduction(result: EvaluationResult) -> list[str]:
    kind = "test" if result.split == "test" else "validation"
    interval = "one group: no interval" if result.main.groups == 1 else "speakers, recordings"
    return [
        f"# {markdown_text(result.system or result.run)} on the {kind} split of {markdown_text(result.data)}",
        "",
        f"{result.main.clips} clips of {result.main.groups} groups; means over clips, with 95 % t intervals over groups"
        f" ({interval}). {result.diagnosis.verdict.capitalize()}: {result.diagnosis.reason}. Made by",
        "",
        f"    {escape_invisible(result.command)}",
        "",
        markdown_text(describe_history(result)),
    ]


def _main_section(result: EvaluationResult) -> list[str]:
    metrics = {metric(name).label: why.removeprefix("absent: ") for name, why in result.absent.items()}
    return [
        f"## {markdown_text(result.main.name.capitalize())}",
        "",
        "kbps is the real bit rate: of whole files for our models, of the payload alone if a container is stated.",
        "",
        _quality(
            [(result.operating_point, result.main), *((row.name, row) for row in result.others)],
            [(row.name, row) for row in result.bounds],
        ),
        "",
        *(f"- {line}" for line in (*describe_editions(result.main.metrics), *describe_samples(result.main))),
        *(f"- {line}" for line in describe_missing(result.main)),
        *(f"- {row.name}: {line}" for row in result.others for line in describe_failed(row)),
        *(f"- {markdown_text(f'{n}: absent: {why}')}" for n, why in {**metrics, **result.absent_systems}.items()),
    ]


def _quality(operating: Sequence[tuple[str, Row]], bounds: Sequence[tuple[str, Row]] = ()) -> str:
    rows = [*operating, *bounds]
    names = [entry.name for entry in METRICS if any(entry.name in row.metrics for _, row in rows)]
    around = any(row.container_kbps is not None for _, row in rows)
    head = [
        "",
        "clips",
        "kbps",
        *(["container"] if around else []),
        *(metric(name).heading_with_arrow for name in names),
    ]
    table = [
        [
            f"{heading} ({row.note})" if row.note else heading,
            str(row.clips),
            BOUND if place >= len(operating) else "unknown" if row.kbps is None else f"{row.kbps:.2f}",
            *(["–" if row.container_kbps is None else f"{row.container_kbps:.2f}"] if around else []),
            *(_value(name, row) for name in names),
        ]
        for place, (heading, row) in enumerate(rows)
    ]
    return Table("", "", head, table).markdown()


def _value(name: str, row: Row) -> str:
    failed = row.count_failed(name)
    shown = format_estimate(name, row.metrics[name]) if name in row.metrics else "–"
    return f"{shown}, {failed} failed" if failed else shown


def _differences(result: EvaluationResult) -> str:
    """Tabulate ours less theirs, on the clips of the first table."""
    inside = "in" if any(clip.in_distribution for clip in result.clips) else "out"
    meant = [entry for entry in result.differences if entry.domain == ALL and entry.distribution == inside]
    names = [entry.name for entry in METRICS if any(found.metric == entry.name for found in meant)]
    rows: dict[System, dict[str, Difference]] = {}
    for found in meant:
        rows.setdefault(found.identity, {})[found.metric] = found
    table = []
    for system, cells in rows.items():
        first = next(iter(cells.values()))
        ours = f"{first.ours} ({format_kbps(first.our_kbps)})"
        theirs = f"{system.name}, {system.point} ({format_kbps(first.kbps)})"
        table.append([f"{ours} less {theirs}", *(_difference(cells.get(name)) for name in names)])
    note = (
        "Ours less theirs, clip by clip, at the nearest bit rate. ▲: ours is better, ▼: theirs is, if that is"
        f" {describe_correction(meant[0].comparisons if meant else 0)}. Each interval is the 95 % interval of its own"
        " comparison."
    )
    return f"{note}\n\n{Table('', '', ['', *(metric(name).heading_with_arrow for name in names)], table).markdown()}"


def _difference(found: Difference | None) -> str:
    if found is None:
        return "–"
    value = Estimate(found.mean, found.low, found.high, found.clips, found.groups)
    return format_difference(found.metric, value) + {"ours": " ▲", "theirs": " ▼", "": ""}[found.better]
