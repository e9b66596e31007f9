"""Summary of a preparation: hours, groups, clips, levels, exclusions and advice."""

from bisect import bisect
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.dataset.packed import packed_folder
from codec.runtime.text import escape_invisible
from data_prep.entries import OTHER_DOMAIN
from data_prep.manifest import MANIFEST_NAME
from data_prep.options import PrepareOptions
from data_prep.placement import ClipPlacement
from data_prep.rows import USED, RowTable, count_reasons
from data_prep.sources import Sources
from data_prep.split_ratios import SPLITS, SplitRatios
from data_prep.target_distance import TargetDistance, measure_target_distance

LEVEL_EDGES_DBFS = (-60, -50, -40, -35, -30, -25, -20, -15, -10, 0)
"""Edges of the histogram of RMS levels."""
_MOST_SOURCES = 20
"""Number of sources in the text; the summary has all of them."""


@dataclass(frozen=True)
class SplitSummary:
    """Summary of a split. The names of the fields are keys of ``summary.json``."""

    split: str
    hours: float
    groups: int
    """Number of groups."""
    clips: int
    """Number of clips."""
    share_asked: float
    """Share of the seconds according to the ratios, from 0 to 1."""
    share_reached: float
    """Share of the seconds that the split has, from 0 to 1."""
    levels: tuple[float, ...]
    """Shares of the split's seconds by RMS level, between neighbours in :data:`LEVEL_EDGES_DBFS`."""
    domains: dict[str, float]
    """Seconds by domain."""
    sources: dict[str, float]
    """Seconds by source."""


@dataclass(frozen=True)
class PreparationSummary:
    """Result of a preparation. The names of the fields are keys of ``summary.json``."""

    out: str
    """Path of the data folder."""
    manifest: str
    """Path of the manifest."""
    packed: str
    """Folder of the packed arrays."""
    sample_rate: int
    """Sample rate of the packed arrays, in Hz."""
    channels: int
    """Channels of the packed arrays."""
    ratios: str
    files: int
    """Number of files in the manifest."""
    rows: int
    """Number of rows of the manifest: a file that is divided has several."""
    splits: tuple[SplitSummary, ...]
    excluded: dict[str, int]
    """Number of excluded rows by kind of reason."""
    warned: dict[str, int]
    """Number of rows used with a warning, by kind of reason."""
    advice: tuple[str, ...]
    notes: tuple[str, ...]
    """Lines about what was recognised and chosen; they are printed before anything is decoded, not in the text."""
    warnings: tuple[str, ...]
    """Lines about ways in which a speaker may get into two splits; printed like the notes, even with ``--quiet``."""
    left_out: dict[str, int]
    """Number of files in the folders that are not audio, by suffix."""
    unlisted: tuple[str, ...]
    """Folders that could not be listed, each with the reason."""
    target: TargetDistance | None
    """Distance of the training split from the recipe's target; None without a target."""
    recipe: str
    """Name of the recipe."""

    def text(self) -> str:
        """Return the tables for the screen.

        Returns:
            Several lines.
        """
        used = sum(split.clips for split in self.splits)
        rate = f"{self.sample_rate} Hz with {self.channels} channel{'s' * (self.channels > 1)}"
        lines = [f"{self.files} files were found; {used} clips are used, packed at {rate}", "", *self._split_lines()]
        lines += ["", *self._domain_lines(), "", *self._source_lines(), "", *self._level_lines(), ""]
        for label, counts in (("excluded", self.excluded), ("used with a warning", self.warned)):
            if counts:
                listed = ", ".join(f"{number} {kind}" for kind, number in sorted(counts.items()))
                lines.append(f"{label}: {listed}")
        lines.append(f"every file with its split and the reason for its exclusion: {self.manifest}")
        if self.target:
            lines.append(self.target.text(self.recipe or "the recipe"))
        lines += [f"note: {line}" for line in self.advice]
        return "\n".join(lines)

    def _unit(self) -> tuple[str, float]:
        """Return the unit of all durations on the screen, and its seconds."""
        return ("hours", 3600.0) if sum(split.hours for split in self.splits) >= 1 else ("minutes", 60.0)

    def _split_lines(self) -> list[str]:
        unit, size = self._unit()
        return [
            f"split {unit:>9}   groups    clips   seconds %  ratio %",
            *(
                f"{split.split:<6}{3600 * split.hours / size:>9.2f}{split.groups:>9}{split.clips:>9}"
                f"{100 * split.share_reached:>12.1f}{100 * split.share_asked:>9.1f}"
                for split in self.splits
            ),
        ]

    def _domain_lines(self) -> list[str]:
        names = sorted({name for split in self.splits for name in split.domains})
        unit, size = self._unit()
        lines = [f"{f'{unit} by domain':<17}" + "".join(f"{split.split:>9}" for split in self.splits)]
        for name in names:
            cells = "".join(f"{split.domains.get(name, 0.0) / size:>9.2f}" for split in self.splits)
            lines.append(f"  {name:<15.15}{cells}")
        return lines

    def _source_lines(self) -> list[str]:
        unit, size = self._unit()
        durations = {
            name: [split.sources.get(name, 0.0) / size for split in self.splits]
            for name in {name for split in self.splits for name in split.sources}
        }
        longest_first = sorted(durations, key=lambda name: (-sum(durations[name]), name))
        lines = [f"{f'{unit} by source':<26}" + "".join(f"{split.split:>9}" for split in self.splits)]
        for name in longest_first[:_MOST_SOURCES]:
            cells = "".join(f"{value:>9.2f}" if value else f"{'–':>9}" for value in durations[name])
            lines.append(f"  {escape_invisible(name):<24.24}{cells}")
        if len(durations) > _MOST_SOURCES:
            lines.append(f"  and {len(durations) - _MOST_SOURCES} more, in summary.json")
        return lines

    def _level_lines(self) -> list[str]:
        lines = ["RMS level, % of s " + "".join(f"{split.split:>8}" for split in self.splits)]
        for low, high, *shares in zip(LEVEL_EDGES_DBFS, LEVEL_EDGES_DBFS[1:], *(split.levels for split in self.splits)):
            if any(shares):
                lines.append(f"  {f'{low} to {high} dBFS':<16}" + "".join(f"{100 * share:>8.1f}" for share in shares))
        return lines


def summarise_preparation(
    out: Path,
    rows: RowTable,
    packed: ClipPlacement,
    options: PrepareOptions,
    sources: Sources,
    advice: Sequence[str],
    notes: Sequence[str],
    warnings: Sequence[str],
) -> PreparationSummary:
    """Summarise a preparation.

    Args:
        out: the data folder.
        rows: rows of the manifest.
        packed: clips of every split.
        options: options of the preparation.
        sources: content of the sources.
        advice: lines about departures from the request.
        notes: lines about what was recognised and chosen.
        warnings: lines about ways in which a speaker may get into two splits.

    Returns:
        The summary.
    """
    splits = _summarise_splits(rows, packed, SplitRatios.parse(options.ratios))
    return PreparationSummary(
        out=str(out),
        manifest=str(out / MANIFEST_NAME),
        packed=str(packed_folder(out, options.sample_rate, options.channels)),
        sample_rate=options.sample_rate,
        channels=options.channels,
        ratios=options.ratios,
        files=rows.store.value(f"SELECT count(DISTINCT path) FROM {rows.name}"),
        rows=len(rows),
        splits=splits,
        excluded=count_reasons(rows, "excluded"),
        warned=count_reasons(rows, "warned"),
        advice=(*advice, *_advise_on_domains(splits, options)),
        notes=tuple(notes),
        warnings=tuple(warnings),
        left_out=sources.left_out,
        unlisted=sources.unlisted,
        target=(
            measure_target_distance(packed.levels("train"), options.target)
            if options.target and packed.counts["train"]
            else None
        ),
        recipe=options.recipe,
    )


def _summarise_splits(rows: RowTable, packed: ClipPlacement, shares: SplitRatios) -> tuple[SplitSummary, ...]:
    seconds, total = dict.fromkeys(SPLITS, 0.0), 0.0
    for split in SPLITS:
        for clip in packed.levels(split):
            seconds[split] += clip.seconds
            total += clip.seconds
    return tuple(_summarise_split(rows, packed, split, seconds[split], total, shares.share(split)) for split in SPLITS)


def _summarise_split(
    rows: RowTable, packed: ClipPlacement, split: str, seconds: float, total: float, asked: float
) -> SplitSummary:
    levels = [0.0] * (len(LEVEL_EDGES_DBFS) - 1)
    domains: dict[str, float] = {}
    sources: dict[str, float] = {}
    for clip in packed.levels(split):
        levels[bisect(LEVEL_EDGES_DBFS[1:-1], clip.rms_dbfs)] += clip.seconds / seconds
        domains[clip.domain] = domains.get(clip.domain, 0.0) + clip.seconds
        sources[clip.source] = sources.get(clip.source, 0.0) + clip.seconds
    groups = f'SELECT count(DISTINCT "group") FROM {rows.name} WHERE {USED} AND split = ?'
    return SplitSummary(
        split=split,
        hours=seconds / 3600,
        groups=rows.store.value(groups, split),
        clips=packed.counts[split],
        share_asked=asked,
        share_reached=seconds / total if total else 0.0,
        levels=tuple(levels),
        domains=domains,
        sources=sources,
    )


def _advise_on_domains(splits: Sequence[SplitSummary], options: PrepareOptions) -> list[str]:
    """Name the options by which the domains of the training audio can be mended."""
    seconds: Counter[str] = Counter()
    for split in splits:
        seconds.update(split.domains)
    lines, total = [], seconds.total()
    wanted = options.target.domains if options.target else {}
    if unknown := seconds.get(OTHER_DOMAIN, 0.0) / (total or 1.0):
        one = next(iter(wanted), "speech")
        lines.append(
            f'the domain of {unknown:.0%} of the audio is not known ("{OTHER_DOMAIN}"): it is scored as speech and as'
            f" other audio{', and is not like the target of the recipe' if wanted else ''}; to state it, add --as {one}"
            f" to the same command, or --as {one}=FOLDER for a part"
        )
    others = {name: value for name, value in seconds.items() if name not in wanted and name != OTHER_DOMAIN}
    if wanted and others and seconds.keys() & wanted.keys():
        listed = ", ".join(f"{value / total:.0%} {name}" for name, value in sorted(others.items()))
        keep = " ".join(f"--domain {name}" for name in wanted)
        text = f"{listed}, which {options.recipe or 'the recipe'} is not meant for"
        lines.append(f"{text}; to leave it out, add {keep} and choose another --out")
    return lines
