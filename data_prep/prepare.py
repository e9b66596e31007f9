"""Prepare training data: folders of audio become a checked, divided and packed data folder (``codec prepare``)."""

import json
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.file_lock import exclusive
from data_prep.empty_splits import count_reasons, refuse_empty_splits, refuse_too_few_groups
from data_prep.entries import AudioOrigin
from data_prep.excerpts import SHORTEST_S, SplitExcerpt, plan_excerpts
from data_prep.groups import TIME, Grouping, choose_grouping, group_entries
from data_prep.manifest import ABSENT_REASON, MANIFEST_NAME, EarlierRun, ManifestRow, read_earlier_run, write_manifest
from data_prep.notes import describe_groups, describe_repairs, describe_sources, describe_texts
from data_prep.options import PrepareOptions
from data_prep.pack import pack_splits
from data_prep.scan import SCAN_JOURNAL, ScanRecord, check_clip, read_content_hashes, scan_files
from data_prep.segments import AudioSegment
from data_prep.sources import Sources, find_audio
from data_prep.split import KnownSplit, SplitAssignment, SplitCandidate, assign_splits
from data_prep.split_ratios import SplitRatios
from data_prep.summary import PreparationSummary, summarise_preparation


@dataclass(frozen=True)
class _Plan:
    """Files, groups and options, before decoding."""

    out: Path
    options: PrepareOptions
    ratios: SplitRatios
    sources: Sources
    grouping: Grouping
    groups: dict[str, str]
    """Names of the groups by path."""
    notes: tuple[str, ...]


def prepare(
    sources: Sequence[Path], out: Path, options: PrepareOptions, note: Callable[[str], None] | None = None
) -> PreparationSummary:
    """Scan, split and pack audio into a data folder; see :mod:`codec.dataset.packed` for its content.

    A run after an interruption, or with more files, continues: files already measured are not decoded again, groups
    keep their splits, and finished arrays with correct checksums are not written again.

    Args:
        sources: folders, corpora, lists (see :mod:`data_prep.lists`) or single files.
        out: data folder to write.
        options: rate, channels, ratios of the splits, rule for the groups and the like.
        note: called before decoding, with a line for each recognised corpus and each choice.

    Returns:
        The summary, which is also written to ``summary.json``.

    Raises:
        UserError: a source does not exist or has no audio, no file can be used, a split would be empty, the groups are
            not clear, another process uses ``out``, ``out`` cannot be written, or an option is wrong.
    """
    plan = _plan(sources, Path(os.path.abspath(out)), options)
    for line in plan.notes if note else ():
        note(line)  # type: ignore[misc]
    make_folder(plan.out)
    with exclusive(plan.out):
        earlier = read_earlier_run(plan.out)
        files = _scan(plan)
        excerpts = _plan_excerpts(plan, files, earlier)
        rows = _divide(plan, files, excerpts)
        assignment = _assign(plan, rows, _known_splits(earlier, files, excerpts))
        rows = _finish_rows(rows, assignment, earlier)
        _write_manifest(plan, rows, earlier)
        packed = pack_splits(rows, plan.out, options.sample_rate, options.channels, options.workers)
        advice = (*assignment.advice, *describe_repairs(packed.repaired))
        summary = summarise_preparation(plan.out, rows, packed.clips, options, plan.sources, plan.notes, advice)
        write_text(plan.out / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
        return summary


def _plan(paths: Sequence[Path], out: Path, options: PrepareOptions) -> _Plan:
    """Find the audio and choose the groups; nothing is decoded or written."""
    ratios = SplitRatios.parse(options.ratios)
    sources = find_audio([Path(path) for path in paths], options.domains, plain=options.plain)
    before = read_earlier_run(out).grouping
    grouping = choose_grouping(sources.entries, options.group_by, before)
    groups = group_entries(sources.entries, grouping)
    if before is None:
        refuse_too_few_groups(len(sources.entries), len(set(groups.values())), ratios, grouping)
    notes = (*describe_sources(sources), *describe_groups(sources, groups, grouping), *describe_texts(sources))
    return _Plan(out, options, ratios, sources, grouping, groups, notes)


def _scan(plan: _Plan) -> list[ManifestRow]:
    """Measure every file: one row for each, without a split."""
    entries = plan.sources.entries
    records = scan_files([AudioSegment(entry.path) for entry in entries], plan.out / SCAN_JOURNAL, plan.options.workers)
    rows = [_make_row(plan, records[str(entry.path)], entry, plan.groups[str(entry.path)]) for entry in entries]
    return [replace(row, text=entry.text_of_all(row.seconds)) for row, entry in zip(rows, entries, strict=True)]


def _make_row(plan: _Plan, record: ScanRecord, origin: AudioOrigin, group: str) -> ManifestRow:
    options, stats = plan.options, record.stats
    check = check_clip(
        record, min_seconds=options.min_seconds, sample_rate=options.sample_rate, channels=options.channels
    )
    return ManifestRow(
        path=record.path,
        source=origin.source,
        domain=origin.domain,
        group=group,
        split="",
        status=check.status,
        reason=check.reason,
        seconds=record.seconds,
        sample_rate=stats.sample_rate,
        channels=stats.channels,
        format=record.format,
        peak_dbfs=stats.peak_dbfs,
        rms_dbfs=stats.rms_dbfs,
        noise_dbfs=stats.noise_dbfs,
        bandwidth_hz=stats.bandwidth_hz,
        sha256=stats.sha256,
        start_s=record.start_s,
        end_s=record.end_s,
        licence=origin.licence,
        language=origin.language,
    )


def _plan_excerpts(plan: _Plan, rows: Sequence[ManifestRow], earlier: EarlierRun) -> dict[str, list[SplitExcerpt]]:
    """Return the excerpts of recordings that are divided, by path."""
    by_time = plan.grouping.rule == TIME
    contents = read_content_hashes(plan.out / SCAN_JOURNAL) if earlier.rows else {}
    excerpts = plan_excerpts(rows, plan.ratios, by_time=by_time, earlier=earlier.rows, contents=contents)
    if by_time and not excerpts:
        raise UserError(f"--group-by time: no recording is {SHORTEST_S:g} s or longer; use --group-by file")
    return excerpts


def _divide(
    plan: _Plan, rows: Sequence[ManifestRow], excerpts: Mapping[str, Sequence[SplitExcerpt]]
) -> list[ManifestRow]:
    """Replace the rows of recordings that are divided by those of their excerpts."""
    parts = [(row, excerpt) for row in rows for excerpt in excerpts.get(row.path, ())]
    if not parts:
        return list(rows)
    segments = [excerpt.segment_of(row) for row, excerpt in parts]
    records = scan_files(segments, plan.out / SCAN_JOURNAL, plan.options.workers)
    divided = [
        _make_row(plan, records[segment.key], row, excerpt.group_of(row))
        for segment, (row, excerpt) in zip(segments, parts, strict=True)
    ]
    return [*(row for row in rows if row.path not in excerpts), *divided]


def _known_splits(
    earlier: EarlierRun, rows: Iterable[ManifestRow], excerpts: Mapping[str, Sequence[SplitExcerpt]]
) -> list[KnownSplit]:
    """Return the groups that have a split: those of the earlier run, and the excerpts of ``rows`` of whole files."""
    known = [
        KnownSplit(row.group, row.split, row.segment.key, row.sha256 if row.assigned else "")
        for row in earlier.rows
        if row.split
    ]
    divided = [
        KnownSplit(excerpt.group_of(row), excerpt.split) for row in rows for excerpt in excerpts.get(row.path, ())
    ]
    return [*known, *divided]


def _assign(plan: _Plan, rows: Sequence[ManifestRow], known: Sequence[KnownSplit]) -> SplitAssignment:
    """Assign every group to a split."""
    candidates = [
        SplitCandidate(row.segment.key, row.group, row.domain, row.seconds, row.sha256) for row in rows if row.used
    ]
    return assign_splits(candidates, plan.ratios, seed=plan.options.seed, known=known)


def _finish_rows(rows: Iterable[ManifestRow], assignment: SplitAssignment, earlier: EarlierRun) -> list[ManifestRow]:
    """Enter splits and duplicates, and add rows for files that have left the sources, whose groups keep their split."""
    finished = []
    for row in rows:
        row = replace(row, split=assignment.splits.get(row.group, ""))
        reason = assignment.rejected.get(row.segment.key)
        finished.append(replace(row, status="excluded", reason=reason) if reason else row)
    present = {row.segment.key for row in finished}
    gone = [row for row in earlier.rows if row.assigned and row.segment.key not in present]
    return [*finished, *(replace(row, status="excluded", reason=ABSENT_REASON) for row in gone)]


def _write_manifest(plan: _Plan, rows: Sequence[ManifestRow], earlier: EarlierRun) -> None:
    """Write the manifest, unless a split would be empty although some files can be used."""
    usable = any(row.used for row in rows)
    if usable:
        refuse_empty_splits(rows, plan.ratios, plan.grouping, repeated=bool(earlier.rows))
    write_manifest(plan.out, rows, plan.grouping, before=len(earlier.rows))
    if not usable:
        raise UserError(
            f"none of the {len(rows)} files can be used ({count_reasons(rows)}); see {plan.out / MANIFEST_NAME}"
        )
