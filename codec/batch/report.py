"""Reports on batches: the outcome of each source, and a summary in figures."""

from dataclasses import dataclass, field
from pathlib import Path

from codec.audio.bandwidth import ABOVE_BAND_THRESHOLD
from codec.coding.report import FileReport, kbps
from codec.runtime.file_walk import describe_left_out


@dataclass(frozen=True)
class Failure:
    """A file that could not be processed."""

    path: Path
    reason: str
    """One line that names the path."""


@dataclass(frozen=True)
class Skipped:
    """A source whose output was up to date already."""

    path: Path
    lost: tuple[tuple[float, float], ...] = ()
    """Start and end in seconds of each damaged part of a source to be decoded."""
    cut_off: float | None = None
    """Time in seconds at which a truncated source ends; None if it is complete."""
    tags_damaged: bool = False
    """Whether tags or pictures of a source to be decoded are damaged."""


FileOutcome = FileReport | Failure | Skipped
"""Outcome of one source of a batch."""


@dataclass(frozen=True)
class BatchSummary:
    """A batch in figures. Bytes and bit rates are those of the coded files that were written or decoded now, or of
    their packets that were read. The field names are the keys of ``--json``.
    """

    done: int
    skipped: int
    failed: int
    damaged: int
    """Files, done or skipped, with lost parts or damaged tags or pictures."""
    hours: float
    """Duration of the audio in hours."""
    bytes: int
    payload_kbps: float
    """Bit rate of the range-coded codes alone; 0 if all files are token shards."""
    kbps: float
    """Bit rate of whole ``.nac`` files, without their tags and pictures; 0 if there are none."""
    metadata_bytes: int
    """Size of tags and pictures."""
    times_real_time: float
    """Duration of the audio divided by the time of the whole batch, including the start of processes."""
    clipped_samples: int
    too_loud_samples: int
    above_band: int = 0
    """Sources with audio above the band of the model, see :mod:`codec.audio.bandwidth`."""
    pictures: int = 0
    """Pictures in the sources."""
    pictures_left_out: int = 0
    """Pictures in the sources that the outputs do not hold."""
    tags_left_out: int = 0
    """Tags of the sources that are too long for a ``.nac`` file, or that the format of the output cannot hold."""
    tokens: int = 0
    """Codes in token shards, of all channels."""
    tokens_per_second: float = 0.0
    """The same per second of their audio."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Files of other kinds in the folders and patterns, counted by suffix."""

    def text(self) -> str:
        """Format the figures for people.

        Returns:
            One line for each figure that matters.
        """
        lines = [("files", f"{self.done} done, {self.skipped} were up to date, {self.failed} failed")]
        if self.hours:
            rate = f"{self.kbps:.2f} kbit/s, {self.payload_kbps:.2f} without headers and checksums"
            lines += [
                ("audio", f"{self.hours:.3f} hours"),
                ("size", f"{self.bytes:,} bytes"),
                *([("tokens", f"{self.tokens:,}, {self.tokens_per_second:.0f} per second")] if self.tokens else []),
                *([("rate", rate)] if self.kbps or not self.tokens else []),
                ("speed", f"{self.times_real_time:.0f} x real time"),
            ]
        lines += self._notes()
        if self.left_out:
            lines.append(("others", describe_left_out(self.left_out)))
        return "\n".join(f"{name:8}{value}" for name, value in lines)

    def line(self) -> str:
        """Format the most important figures for a log.

        Returns:
            One line.
        """
        rate = f"{self.tokens:,} tokens" if self.tokens else f"{self.kbps:.2f} kbit/s"
        figures = f"; {self.hours:.3f} hours, {rate}, {self.times_real_time:.0f} x real time"
        files = f"{self.done} done, {self.skipped} were up to date, {self.failed} failed"
        damaged = f", {self.damaged} damaged" if self.damaged else ""
        return f"{files}{damaged}{figures if self.hours else ''}"

    def _notes(self) -> list[tuple[str, str]]:
        notes = []
        if self.damaged:
            files = "1 file is" if self.damaged == 1 else f"{self.damaged} files are"
            notes.append(("damaged", f"{files} damaged; the parts named above are lost"))
        if self.clipped_samples:
            notes.append(("clipped", f"{self.clipped_samples:,} samples beyond full scale; --bits 32f preserves them"))
        if self.too_loud_samples:
            what = f"{self.too_loud_samples:,} samples of the sources are beyond full scale, which models distort"
            notes.append(("loud", f"{what}; scale these files to a peak of 1 (--json names them)"))
        if self.above_band:
            files = "1 file has" if self.above_band == 1 else f"{self.above_band} files have"
            what = f"{files} audio above the band of the model, which is not coded"
            notes.append(("band", f"{what}; use a model of a higher sample rate (--json names the files)"))
        missing = [(self.pictures_left_out, "picture", "")]
        missing += [(self.tags_left_out, "tag", " (.nac files hold 16 KiB, WAV few names)")]
        named = [f"{count:,} {what}{'s' * (count != 1)} of the sources{why}" for count, what, why in missing if count]
        if named:
            notes.append(("without", ", ".join(named)))
        return notes


@dataclass(frozen=True)
class BatchReport:
    """Outcome of each source of a batch."""

    reports: list[FileReport]
    failures: list[Failure]
    skipped: list[Skipped]
    """Sources whose outputs were up to date already."""
    elapsed_seconds: float
    left_out: dict[str, int] = field(default_factory=dict)
    """Files of other kinds in the folders and patterns, counted by suffix."""

    @property
    def damaged(self) -> dict[Path, tuple[tuple[float, float], ...]]:
        """Decoded sources, now or earlier, and their damaged parts: starts and ends in seconds."""
        lost = {one.source: one.lost for one in self.reports} | {one.path: one.lost for one in self.skipped}
        return {path: spans for path, spans in lost.items() if spans}

    @property
    def cut_off(self) -> dict[Path, float]:
        """Truncated sources that were decoded, and the time in seconds at which each ends."""
        ends = {one.source: one.cut_off for one in self.reports} | {one.path: one.cut_off for one in self.skipped}
        return {path: end for path, end in ends.items() if end is not None}

    @property
    def tags_damaged(self) -> set[Path]:
        """Decoded sources, now or earlier, whose tags or pictures are damaged."""
        done = {one.source for one in self.reports if one.tags_damaged}
        return done | {one.path for one in self.skipped if one.tags_damaged}

    @property
    def summary(self) -> BatchSummary:
        """The batch in figures."""
        seconds = sum(report.seconds for report in self.reports)
        size = sum(report.bytes_total for report in self.reports)
        metadata = sum(report.bytes_metadata for report in self.reports)
        files = [report for report in self.reports if not report.tokens]
        coded_seconds = sum(report.bytes_seconds for report in files)
        tokens = sum(report.tokens for report in self.reports)
        token_seconds = sum(report.bytes_seconds for report in self.reports if report.tokens)
        return BatchSummary(
            done=len(self.reports),
            skipped=len(self.skipped),
            failed=len(self.failures),
            damaged=len(self.damaged.keys() | self.tags_damaged),
            hours=seconds / 3600,
            bytes=size,
            payload_kbps=kbps(sum(report.bytes_payload for report in files), coded_seconds),
            kbps=kbps(sum(report.bytes_total - report.bytes_metadata for report in files), coded_seconds),
            metadata_bytes=metadata,
            times_real_time=seconds / self.elapsed_seconds,
            clipped_samples=sum(report.clipped for report in self.reports),
            too_loud_samples=sum(report.over_full_scale for report in self.reports),
            above_band=sum(report.above_band > ABOVE_BAND_THRESHOLD for report in self.reports),
            pictures=sum(report.pictures for report in self.reports),
            pictures_left_out=sum(report.pictures_left_out for report in self.reports),
            tags_left_out=sum(report.tags_left_out for report in self.reports),
            tokens=tokens,
            tokens_per_second=tokens / token_seconds if token_seconds else 0.0,
            left_out=self.left_out,
        )
