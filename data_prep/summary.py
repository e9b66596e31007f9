"""What ``codec prepare`` says at the end: hours, groups, clips, levels, exclusions, advice."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.dataset.packed import Clip
from codec.runtime.file_walk import count_suffixes
from data_prep.entries import DOMAIN_WORDS, OTHER_DOMAIN
from data_prep.manifest import ManifestRow
from data_prep.sources import Sources
from data_prep.split import SPLITS, SplitRatios
from data_prep.target_distance import TargetDistance

LEVEL_EDGES_DBFS = (-60, -50, -40, -35, -30, -25, -20, -15, -10, 0)


@dataclass(frozen=True)
class SplitSummary:
    """One split. ``levels``: share of its seconds by RMS level, between the neighbours in
    ``LEVEL_EDGES_DBFS``.
    """

    split: str
    hours: float
    groups: int
    clips: int
    share_asked: float
    share_reached: float
    levels: tuple[float, ...]
    domains: dict[str, float]
    """Seconds by domain."""


@dataclass(frozen=True)
class PreparationSummary:
    """The result of a preparation; written to summary.json as it is."""

    out: str
    manifest: str
    packed: str
    sample_rate: int
    channels: int
    ratios: str
    files: int
    rows: int
    """Of the manifest: files, or the excerpts of a file."""
    splits: tuple[SplitSummary, ...]
    excluded: dict[str, int]
    """Files by kind of reason."""
    warned: dict[str, int]
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    """What was recognised and chosen; not part of the text, since it is said before anything is decoded."""
    left_out: dict[str, int]
    """Files of other kinds in the folders, counted by suffix."""
    unlisted: tuple[str, ...]
    """Folders that could not be listed, each with the reason."""
    target: TargetDistance | None

    def text(self) -> str:
        """The table for the screen."""
        used = sum(split.clips for split in self.splits)
        lines = [
            f"{self.files} files found, {used} clips used, packed at {self.sample_rate} Hz x {self.channels}",
            "",
            "split     hours   groups    clips   seconds %  asked %",
        ]
        lines += [
            f"{split.split:<6}{split.hours:>9.3f}{split.groups:>9}{split.clips:>9}"
            f"{100 * split.share_reached:>12.1f}{100 * split.share_asked:>9.1f}"
            for split in self.splits
        ]
        lines += ["", *self._domain_lines(), "", *self._level_lines(), ""]
        for label, counts in (("excluded", self.excluded), ("used, with a warning", self.warned)):
            if counts:
                listed = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
                lines.append(f"{label}: {listed}")
        lines.append(f"every file with its split and reason: {self.manifest}")
        if self.target:
            lines.append(self.target.text())
        lines += [f"note: {line}" for line in self.advice]
        return "\n".join(lines)

    def _domain_lines(self) -> list[str]:
        names = sorted({name for split in self.splits for name in split.domains})
        lines = ["minutes by domain" + "".join(f"{split.split:>9}" for split in self.splits)]
        for name in names:
            cells = "".join(f"{split.domains.get(name, 0.0) / 60:>9.1f}" for split in self.splits)
            lines.append(f"  {name:<15.15}{cells}")
        return lines

    def _level_lines(self) -> list[str]:
        lines = ["RMS level, % of s " + "".join(f"{split.split:>8}" for split in self.splits)]
        for low, high, *shares in zip(LEVEL_EDGES_DBFS, LEVEL_EDGES_DBFS[1:], *(split.levels for split in self.splits)):
            if any(shares):
                lines.append(f"  {f'{low} to {high} dBFS':<16}" + "".join(f"{100 * share:>8.1f}" for share in shares))
        return lines


def summarise_preparation(
    out: Path,
    packed: Path,
    rows: Sequence[ManifestRow],
    clips: dict[str, list[Clip]],
    *,
    sample_rate: int,
    channels: int,
    ratios: str,
    held: Sources,
    notes: Sequence[str],
    advice: Sequence[str],
    target: TargetDistance | None,
) -> PreparationSummary:
    total = sum(clip.seconds for members in clips.values() for clip in members)
    shares = SplitRatios.parse(ratios)
    return PreparationSummary(
        out=str(out),
        manifest=str(out / "manifest.csv"),
        packed=str(packed),
        sample_rate=sample_rate,
        channels=channels,
        ratios=ratios,
        files=len({row.path for row in rows}),
        rows=len(rows),
        splits=tuple(_split_summary(split, clips[split], total, shares.share(split)) for split in SPLITS),
        excluded=dict(Counter(row.reason.partition(":")[0] for row in rows if not row.used)),
        warned=dict(Counter(row.reason.partition(":")[0] for row in rows if row.status == "warned")),
        advice=(*advice, *_about_domains(clips)),
        notes=tuple(notes),
        left_out=count_suffixes(held.others),
        unlisted=held.unlisted,
        target=target,
    )


def _split_summary(split: str, clips: Sequence[Clip], total: float, asked: float) -> SplitSummary:
    seconds = sum(clip.seconds for clip in clips)
    levels = [0.0] * (len(LEVEL_EDGES_DBFS) - 1)
    domains: dict[str, float] = {}
    for clip in clips:
        inside = sum(clip.rms_dbfs >= edge for edge in LEVEL_EDGES_DBFS[1:-1])
        levels[inside] += clip.seconds / seconds
        domains[clip.domain] = domains.get(clip.domain, 0.0) + clip.seconds
    return SplitSummary(
        split=split,
        hours=seconds / 3600,
        groups=len({clip.group for clip in clips}),
        clips=len(clips),
        share_asked=asked,
        share_reached=seconds / total if total else 0.0,
        levels=tuple(levels),
        domains=domains,
    )


def _about_domains(clips: dict[str, list[Clip]]) -> list[str]:
    if any(clip.domain != OTHER_DOMAIN for members in clips.values() for clip in members):
        return []
    words = ", ".join(sorted(DOMAIN_WORDS))
    return [
        f'nothing says what these clips are, so their domain is "{OTHER_DOMAIN}": they are judged both as speech and as'
        " other sound, and are outside the target of recipes for speech or music. If they are speech, have them in a"
        f" folder of that name (there are {words}) anywhere on their path, or give a manifest with a column domain"
    ]
