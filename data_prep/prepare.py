"""``codec prepare``: folders of audio become a checked, divided, packed data folder."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from codec.config import TargetConfig
from codec.dataset.packed import packed_folder
from codec.errors import UserError
from codec.runtime.atomic_files import make_folder, write_text
from codec.runtime.file_lock import exclusive
from data_prep import excerpts, scan
from data_prep.entries import AudioEntry
from data_prep.excerpts import SplitExcerpt
from data_prep.groups import FILE, TIME, Grouping, choose_grouping, group_entries
from data_prep.manifest import ABSENT_REASON, MANIFEST_NAME, EarlierRun, ManifestRow, read_earlier_run, write_manifest
from data_prep.notes import describe_groups, describe_repairs, describe_sources
from data_prep.pack import pack_splits
from data_prep.scan import ClipCheck, ScanRecord, check_clip
from data_prep.segments import AudioSegment
from data_prep.sources import find_audio
from data_prep.split import SPLITS, KnownSplit, SplitAssignment, SplitCandidate, SplitRatios, assign_splits
from data_prep.summary import PreparationSummary, summarise_preparation
from data_prep.target_distance import measure_target_distance


def prepare(
    sources: Sequence[Path],
    out: Path,
    *,
    sample_rate: int,
    channels: int = 1,
    ratios: str = "8:1:1",
    group_by: str | None = None,
    plain: bool = False,
    domains: Sequence[str] = (),
    seed: int = 0,
    min_seconds: float = 0.5,
    target: TargetConfig | None = None,
    workers: int = 2,
    note: Callable[[str], None] | None = None,
) -> PreparationSummary:
    """Inventory, split and pack ``sources`` into the data folder ``out``; see codec/dataset/packed.py for what lies
    there.

    Run again after an interruption, or with more files, it goes on where it was: files already measured are not decoded
    again, groups already assigned stay in their split, finished arrays are kept if their checksums hold.

    Args:
        sources: folders, corpora, lists (see :mod:`data_prep.lists`).
        sample_rate: in Hz, of the packed arrays.
        ratios: shares of the seconds, train:val:test.
        group_by: what never straddles splits, see :func:`data_prep.groups.group_entries`.
        plain: take folders as they are, and recognise no corpus.
        domains: take these alone.
        target: measure the training split's distance from it.
        note: receives, before anything is decoded, a line for each corpus that was recognised and for each choice.

    Raises:
        UserError: no such folder, no audio, every file excluded, a split that would be empty, groups that are not
            clear, ``out`` in use by another process or not writable, wrong arguments.
    """
    shares = SplitRatios.parse(ratios)
    out = Path(os.path.abspath(out))
    held = find_audio([Path(source) for source in sources], domains, plain=plain)
    before = read_earlier_run(out)
    choice = choose_grouping(held.entries, group_by, before.choice)
    groups = group_entries(held.entries, choice)
    if before.choice is None:
        _refuse_few_groups(held.entries, groups, shares, choice)
    notes = (*describe_sources(held), *describe_groups(held, groups, choice))
    for line in notes if note else ():
        note(line)  # type: ignore[misc]
    make_folder(out)
    with exclusive(out):
        earlier = read_earlier_run(out)
        fit = partial(check_clip, min_seconds=min_seconds, sample_rate=sample_rate, channels=channels)
        measure = partial(scan.scan_files, journal=out / scan.SCAN_JOURNAL, workers=workers)
        rows = _measured(held.entries, groups, measure, fit)
        cuts = excerpts.plan_excerpts(
            rows,
            shares,
            by_time=choice.rule == TIME,
            earlier=earlier.rows,
            contents=scan.read_content_hashes(out / scan.SCAN_JOURNAL) if earlier.rows else {},
        )
        if choice.rule == TIME and not cuts:
            raise UserError(f"--group-by time: no recording is {excerpts.SHORTEST_S:g} s long; use --group-by file")
        rows, fixed = _divided(rows, cuts, measure, fit)
        assignment = assign_splits(_candidates(rows), shares, seed=seed, known=[*_known(earlier.rows), *fixed])
        rows = [_settled(row, assignment) for row in rows]
        present = {row.segment.key for row in rows}
        rows += [
            replace(row, status="excluded", reason=ABSENT_REASON)
            for row in earlier.rows
            if row.assigned and row.segment.key not in present
        ]
        if any(row.used for row in rows):
            _refuse_empty_splits(rows, shares, choice, earlier)
        write_manifest(out, rows, choice, before=len(earlier.rows))
        if not any(row.used for row in rows):
            raise UserError(f"none of the {len(rows)} files can be used ({_reasons(rows)}); see {out / MANIFEST_NAME}")
        packed = pack_splits(rows, out, sample_rate, channels, workers)
        summary = summarise_preparation(
            out,
            packed_folder(out, sample_rate, channels),
            rows,
            packed.clips,
            sample_rate=sample_rate,
            channels=channels,
            ratios=ratios,
            held=held,
            notes=notes,
            advice=(*assignment.advice, *describe_repairs(packed.repaired)),
            target=measure_target_distance(packed.clips["train"], target) if target else None,
        )
        write_text(out / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
        return summary


Measure = Callable[[Sequence[AudioSegment]], dict[str, ScanRecord]]
Fit = Callable[[ScanRecord], ClipCheck]


def _measured(entries: Sequence[AudioEntry], groups: dict[str, str], measure: Measure, fit: Fit) -> list[ManifestRow]:
    """One row for each file, without a split."""
    probes = measure([AudioSegment(entry.path) for entry in entries])
    found = []
    for entry in entries:
        path = str(entry.path)
        found.append(_row(path, entry.source, entry.domain, groups[path], probes[path], fit))
    return found


def _divided(
    rows: Sequence[ManifestRow], cuts: Mapping[str, Sequence[SplitExcerpt]], measure: Measure, fit: Fit
) -> tuple[list[ManifestRow], list[KnownSplit]]:
    """The rows with those of recordings that are divided replaced by their excerpts', and the excerpts' splits."""
    parts = [(row, excerpt) for row in rows for excerpt in cuts.get(row.path, ())]
    if not parts:
        return list(rows), []
    probes = measure([excerpt.of(row) for row, excerpt in parts])
    found = [row for row in rows if row.path not in cuts]
    for row, excerpt in parts:
        probe = probes[excerpt.of(row).key]
        found.append(_row(row.path, row.source, row.domain, excerpt.group(row), probe, fit))
    return found, [KnownSplit(excerpt.group(row), excerpt.split) for row, excerpt in parts]


def _row(path: str, source: str, domain: str, group: str, probe: ScanRecord, fit: Fit) -> ManifestRow:
    verdict = fit(probe)
    return ManifestRow(
        path=path,
        source=source,
        domain=domain,
        group=group,
        split="",
        status=verdict.status,
        reason=verdict.reason,
        seconds=probe.seconds,
        sample_rate=probe.sample_rate,
        channels=probe.channels,
        format=probe.format,
        peak_dbfs=probe.peak_dbfs,
        rms_dbfs=probe.rms_dbfs,
        noise_dbfs=probe.noise_dbfs,
        bandwidth_hz=probe.bandwidth_hz,
        sha256=probe.sha256,
        start_s=probe.start_s,
        end_s=probe.end_s,
    )


def _candidates(rows: Iterable[ManifestRow]) -> list[SplitCandidate]:
    return [SplitCandidate(row.segment.key, row.group, row.domain, row.seconds, row.sha256) for row in rows if row.used]


def _known(earlier: Iterable[ManifestRow]) -> list[KnownSplit]:
    return [
        KnownSplit(row.group, row.split, row.segment.key, row.sha256 if row.assigned else "")
        for row in earlier
        if row.split
    ]


def _settled(row: ManifestRow, assignment: SplitAssignment) -> ManifestRow:
    """The row with its group's split; a rejected duplicate becomes excluded."""
    row = replace(row, split=assignment.splits.get(row.group, ""))
    reason = assignment.rejected.get(row.segment.key)
    return replace(row, status="excluded", reason=reason) if reason else row


def _refuse_few_groups(
    entries: Sequence[AudioEntry], groups: dict[str, str], shares: SplitRatios, choice: Grouping
) -> None:
    """Refuse, before anything is decoded, what cannot fill the splits although there are files enough."""
    wanted, found = _wanted(shares), len(set(groups.values()))
    if choice.rule not in (FILE, TIME) and found < wanted <= len(entries):
        ways = [_BY_FILE.format(len(entries)), _BY_TIME, _ALL_TRAINING]
        raise UserError(f"{len(entries)} files in {found} groups cannot fill {wanted} splits; {_or(ways)}")


_BY_FILE = "--group-by file (each of {} files is a group)"
_BY_TIME = f"--group-by time (recordings of {excerpts.SHORTEST_S:g} s or more are divided)"
_ALL_TRAINING = "--ratios 1:0:0 (all for training)"


def _refuse_empty_splits(
    rows: Sequence[ManifestRow], shares: SplitRatios, choice: Grouping, earlier: EarlierRun
) -> None:
    used, excluded = ([row for row in rows if row.used == wanted] for wanted in (True, False))
    empty = [split for split in SPLITS if shares.share(split) > 0 and all(row.split != split for row in used)]
    if not empty:
        return
    groups = len({row.group for row in used})
    ways = ["add recordings of more groups"]
    if earlier.rows:
        ways.append("choose another --out, since groups keep their splits")
    else:
        if choice.rule not in (FILE, TIME) and len(used) >= _wanted(shares) > groups:
            ways.append(_BY_FILE.format(len(used)))
        if choice.rule != TIME and any(row.seconds >= excerpts.SHORTEST_S for row in used):
            ways.append(_BY_TIME)
        ways.append(_ALL_TRAINING)
    left_out = f", {len(excluded)} are left out ({_reasons(excluded)})" if excluded else ""
    counted = f"{len(used)} usable files in {groups} groups{left_out}"
    raise UserError(f"the {' and '.join(empty)} split would be empty: {counted}; {_or(ways)}")


def _wanted(shares: SplitRatios) -> int:
    """How many splits are to have clips."""
    return sum(shares.share(split) > 0 for split in SPLITS)


def _or(ways: Sequence[str]) -> str:
    return ", or ".join(ways)


def _reasons(rows: Iterable[ManifestRow]) -> str:
    counts = Counter(row.reason.partition(":")[0] for row in rows)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
