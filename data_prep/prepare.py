"""Prepare training data: folders of audio become a checked, divided and packed data folder (``codec prepare``).

What is known of the files is in tables on disk (:mod:`data_prep.store`), from which each step reads row by row: the
listing (``files``), the measurements (``measured``), the rows of the manifest (``rows``) and those of an earlier run
(``earlier``). So memory does not grow with the number of files.
"""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.file_lock import exclusive
from data_prep.empty_splits import list_reasons, refuse_empty_splits, refuse_too_few_groups
from data_prep.entries import AudioOrigin
from data_prep.excerpts import SHORTEST_S, SPAN, plan_excerpts
from data_prep.group_checks import GroupNames, describe_excluded, refuse_idle_rule
from data_prep.group_rules import TIME
from data_prep.groups import Grouping, choose_grouping, group_entries
from data_prep.journal import SCAN_JOURNAL, ScanJournal, ScanRecord
from data_prep.manifest import MANIFEST_NAME, read_earlier_rows, read_settings, write_manifest
from data_prep.notes import describe_groups, describe_repairs, describe_sources, describe_texts
from data_prep.options import PrepareOptions
from data_prep.pack import pack_splits
from data_prep.rows import ABSENT_REASON, ASSIGNED, USED, ManifestRow, RowTable
from data_prep.scan import check_clip, scan_files
from data_prep.sources import Sources, find_audio
from data_prep.split import KnownSplits, assign_splits
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
    notes: tuple[str, ...]
    warnings: tuple[str, ...]


def prepare(
    sources: Sequence[Path],
    out: Path,
    options: PrepareOptions,
    note: Callable[[str], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> PreparationSummary:
    """Scan, split and pack audio into a data folder; see :mod:`codec.dataset.packed` for its content.

    A run after an interruption, or with more files, continues: files already measured are not decoded again, groups
    keep their splits, and finished arrays with correct checksums are not written again.

    Args:
        sources: folders, corpora, lists (see :mod:`data_prep.lists`) or single files.
        out: data folder to write.
        options: rate, channels, ratios of the splits, rule for the groups and the like.
        note: called before decoding, with a line for each recognised corpus and each choice.
        warn: called with a line for each way in which a speaker may get into two splits, or was kept from that.

    Returns:
        The summary, which is also written to ``summary.json``.

    Raises:
        UserError: a source does not exist or has no audio, no file can be used, a split would be empty, the groups are
            not clear, another process uses ``out``, ``out`` cannot be written, or an option is wrong.
    """
    plan = _plan(sources, Path(os.path.abspath(out)), options)
    _show(plan.notes, note)
    _show(plan.warnings, warn)
    make_folder(plan.out)
    with exclusive(plan.out):
        store = plan.sources.store
        rows, earlier = RowTable(store, "rows"), RowTable(store, "earlier")
        read_earlier_rows(plan.out, earlier)
        known = KnownSplits(earlier)
        journal = ScanJournal(plan.out / SCAN_JOURNAL, store)
        _scan(plan, journal, rows)
        _divide(plan, journal, rows, earlier, known)
        assignment = assign_splits(rows, plan.ratios, seed=options.seed)
        warnings = (*plan.warnings, *_show(describe_excluded(rows), warn))
        _keep_absent(rows, earlier)
        _write_manifest(plan, rows, before=len(earlier))
        packed = pack_splits(rows, plan.out, options.sample_rate, options.channels, options.workers)
        advice = (*assignment.advice, *describe_repairs(packed.repaired))
        summary = summarise_preparation(
            plan.out, rows, packed.placement, options, plan.sources, advice, plan.notes, warnings
        )
        write_text(plan.out / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
        return summary


def _show(lines: Sequence[str], show: Callable[[str], None] | None) -> Sequence[str]:
    for line in lines if show else ():
        show(line)  # type: ignore[misc]
    return lines


def _plan(paths: Sequence[Path], out: Path, options: PrepareOptions) -> _Plan:
    """Find the audio and choose the groups; nothing is decoded, and nothing is written into the output folder."""
    ratios = SplitRatios.parse(options.ratios)
    sources = find_audio([Path(path) for path in paths], options.domains, options.assigned, plain=options.plain)
    before = read_settings(out)
    grouping = choose_grouping(sources.entries, options.group_by, before.grouping if before else None)
    refuse_idle_rule(sources, options.group_by)
    names = GroupNames(sources, grouping)
    if before is None:
        refuse_too_few_groups(len(sources.entries), len(names), ratios, grouping)
    notes = (*describe_sources(sources), *describe_groups(sources, grouping), *describe_texts(sources))
    return _Plan(out, options, ratios, sources, grouping, notes, (*sources.warnings, *names.warnings()))


def _scan(plan: _Plan, journal: ScanJournal, rows: RowTable) -> None:
    """Measure every file: one row for each, without a split."""
    entries = plan.sources.entries
    scan_files(journal.queue("files", "path"), journal, plan.options.workers)
    named = zip(group_entries(entries, plan.grouping), journal.records("files", "path"), strict=True)
    rows.add(
        _make_row(plan, record, entry, group, entry.text_of_all(record.seconds)) for (entry, group), record in named
    )


def _make_row(plan: _Plan, record: ScanRecord, origin: AudioOrigin, group: str, text: str = "") -> ManifestRow:
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
        text=text,
    )


def _divide(plan: _Plan, journal: ScanJournal, rows: RowTable, earlier: RowTable, known: KnownSplits) -> None:
    """Replace the rows of recordings that are divided by those of their excerpts, whose groups have a split."""
    by_time = plan.grouping.rule == TIME
    parts = plan_excerpts(rows, earlier, plan.ratios, by_time=by_time)
    if not len(parts):
        if by_time:
            raise UserError(f"--group-by time: no recording is {SHORTEST_S:g} s or longer; use --group-by file")
        return
    scan_files(journal.queue("parts", "key", SPAN), journal, plan.options.workers)
    known.add((excerpt.group_of(row), excerpt.split) for row, excerpt in parts)
    measured = zip(parts, journal.records("parts", "key", SPAN), strict=True)
    divided = RowTable(rows.store, "divided")
    divided.add(_make_row(plan, record, row, excerpt.group_of(row)) for (row, excerpt), record in measured)
    rows.replace_files(divided)


def _keep_absent(rows: RowTable, earlier: RowTable) -> None:
    """Add rows for files that have left the sources, whose groups keep their split."""
    gone = earlier.where(f"{ASSIGNED} AND key NOT IN (SELECT key FROM {rows.name})")
    rows.add(replace(row, status="excluded", reason=ABSENT_REASON) for row in gone)


def _write_manifest(plan: _Plan, rows: RowTable, before: int) -> None:
    """Write the manifest, unless a split would be empty although some files can be used."""
    usable = rows.store.value(f"SELECT count(*) FROM {rows.name} WHERE {USED}")
    if usable:
        refuse_empty_splits(rows, plan.ratios, plan.grouping, repeated=bool(before))
    write_manifest(plan.out, rows, plan.grouping, before=before)
    if not usable:
        raise UserError(
            f"none of the {len(rows)} files can be used ({list_reasons(rows)}); see {plan.out / MANIFEST_NAME}"
        )
