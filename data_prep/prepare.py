"""``codec prepare``: folders of audio become a checked, divided, packed data folder."""

import json
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from codec.config import TargetConfig
from codec.errors import UserError
from codec.packed import folder_for
from codec.writing import make_folder, write_text
from data_prep import inventory
from data_prep.adapters import Entry, find
from data_prep.grouping import groups_for
from data_prep.inventory import Probe, judge
from data_prep.manifest import ABSENT, Row, read_rows, write_rows
from data_prep.pack import pack
from data_prep.split import Assignment, Candidate, Known, Ratios, assign
from data_prep.summary import Summary, summarise
from data_prep.target import distance


def prepare(
    sources: Sequence[Path],
    out: Path,
    *,
    sample_rate: int,
    channels: int = 1,
    ratios: str = "8:1:1",
    group_by: str | None = None,
    domains: Sequence[str] = (),
    seed: int = 0,
    min_seconds: float = 0.5,
    target: TargetConfig | None = None,
    workers: int = 2,
) -> Summary:
    """Inventory, split and pack ``sources`` into the data folder ``out``; see codec/packed.py for what lies
    there.

    Run again after an interruption, or with more files, it goes on where it was: files already measured are
    not decoded again, groups already assigned stay in their split, finished shards are kept.

    Args:
        sources: folders, manifests (.csv, .jsonl), LibriSpeech or LibriTTS folders.
        sample_rate: in Hz, of the packed arrays.
        ratios: shares of the seconds, train:val:test.
        group_by: what never straddles splits, see :func:`data_prep.grouping.groups_for`.
        domains: take these alone.
        target: measure the training split's distance from it.

    Raises:
        UserError: no such folder, no audio, every file excluded, ``out`` cannot be written to, wrong
        arguments.
    """
    shares = Ratios.parse(ratios)
    out = Path(os.path.abspath(out))
    entries = find([Path(source) for source in sources], domains)
    groups = groups_for(entries, group_by)
    make_folder(out)
    earlier = read_rows(out / "manifest.csv")
    probes = inventory.take([entry.path for entry in entries], out / inventory.JOURNAL, workers)
    rows = [
        _row(entry, probes[str(entry.path)], groups[str(entry.path)], min_seconds, sample_rate, channels)
        for entry in entries
    ]
    assignment = assign(_candidates(rows), shares, seed=seed, known=_known(earlier))
    rows = [_settled(row, assignment) for row in rows]
    present = {row.path for row in rows}
    rows += [
        replace(row, status="excluded", reason=ABSENT) for row in earlier if row.assigned and row.path not in present
    ]
    write_rows(out / "manifest.csv", rows)
    if not any(row.used for row in rows):
        raise UserError(f"none of the {len(rows)} files can be used ({_reasons(rows)}); see {out / 'manifest.csv'}")
    clips = pack(rows, out, sample_rate, channels, workers)
    summary = summarise(
        out,
        folder_for(out, sample_rate, channels),
        rows,
        clips,
        sample_rate=sample_rate,
        channels=channels,
        ratios=ratios,
        advice=assignment.advice,
        target=distance(clips["train"], target) if target else None,
    )
    write_text(out / "summary.json", json.dumps(asdict(summary), indent=2) + "\n")
    return summary


def _row(entry: Entry, probe: Probe, group: str, min_seconds: float, sample_rate: int, channels: int) -> Row:
    verdict = judge(probe, min_seconds=min_seconds, sample_rate=sample_rate, channels=channels)
    return Row(
        path=str(entry.path),
        source=entry.source,
        domain=entry.domain,
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
    )


def _candidates(rows: Iterable[Row]) -> list[Candidate]:
    return [Candidate(row.path, row.group, row.domain, row.seconds, row.sha256) for row in rows if row.used]


def _known(earlier: Iterable[Row]) -> list[Known]:
    return [Known(row.group, row.split, row.path, row.sha256 if row.assigned else "") for row in earlier if row.split]


def _settled(row: Row, assignment: Assignment) -> Row:
    """The row with its group's split; a rejected duplicate becomes excluded."""
    row = replace(row, split=assignment.splits.get(row.group, ""))
    reason = assignment.rejected.get(row.path)
    return replace(row, status="excluded", reason=reason) if reason else row


def _reasons(rows: Iterable[Row]) -> str:
    counts = Counter(row.reason.partition(":")[0] for row in rows)
    return ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
