"""What an evaluation found, as small dataclasses; ``results.json`` is exactly these."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from codec.dataset.ledger import LedgerEntry, describe_openings
from codec.runtime.text import escape_invisible
from codec.training.fit_diagnosis import Diagnosis
from eval.metrics.bootstrap import Estimate
from eval.metrics.registry import METRICS, Score, describe_editions, metric
from eval.pages.text_table import Table

SCREEN = 100
"""Columns of a terminal that tables keep to."""


@dataclass(frozen=True)
class ClipResult:
    """One clip, coded for real. ``scores`` has the metrics meant for it; ``baseline`` those of shaped noise."""

    clip_id: str
    path: str
    domain: str
    group: str
    in_distribution: bool
    seconds: float
    bytes: int | None
    """Of the ``.nac`` file, header and checksums included; of Opus, MP3 and AAC, the payload; None if unknown."""
    kbps: float | None
    """All those bits per second of audio, in kbit/s."""
    encode_s: float
    decode_s: float
    scores: dict[str, Score]
    baseline: dict[str, Score]
    other_codes_mel: Score
    """Mel distance to what another clip's codes decode to."""
    container_bytes: int | None = None
    """Of the file around a payload, not counted above."""


@dataclass(frozen=True)
class Row:
    """A line of the summary table: some clips together."""

    name: str
    clips: int
    groups: int
    seconds: float
    kbps: float | None
    """None if unknown."""
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    failed: dict[str, dict[str, int]]
    """Metric: reason: number of clips whose decode could not be judged, counted with the metric's worst value."""
    container_kbps: float | None = None
    """What the files have beside the payload that is counted; None where whole files are counted."""
    note: str = ""
    """How it differs from what its name says."""
    undefined: dict[str, dict[str, int]] = field(default_factory=dict)
    """Metric: reason: number of clips whose reference it cannot judge, left out of its mean for every codec alike."""

    def count_failed(self, name: str) -> int:
        """Clips whose decode scored the metric's worst value."""
        return sum(self.failed.get(name, {}).values())

    def count_undefined(self, name: str) -> int:
        """Clips that the metric's mean leaves out."""
        return sum(self.undefined.get(name, {}).values())


@dataclass(frozen=True)
class RatePoint:
    """A point of a rate-distortion curve: one metric of one system at one operating point, over the clips of one
    ``domain`` ("all": of any) in or out of ``distribution``. ``kbps``: real bits of all these clips, None if unknown;
    ``groups`` and ``clips``: those that have a value; ``failed``: of them, decodes with the metric's worst value."""

    system: str
    point: str
    domain: str
    distribution: Literal["in", "out"]
    metric: str
    kbps: float | None
    mean: float
    low: float | None
    high: float | None
    groups: int
    clips: int
    failed: int


@dataclass(frozen=True)
class Difference:
    """Our value less that of ``system`` at its ``point``, paired by clip, at whichever operating point ``ours`` is the
    nearest in bit rate. The interval is that of this comparison by itself. ``p``: of its t test over groups;
    ``p_holm``: corrected for the number of ``comparisons`` on these clips, of all systems and metrics; ``better``:
    whose is better, where ``p_holm`` is at most 5 %."""

    ours: str
    our_kbps: float | None
    system: str
    point: str
    kbps: float | None
    domain: str
    distribution: Literal["in", "out"]
    metric: str
    mean: float
    low: float | None
    high: float | None
    groups: int
    clips: int
    p: float | None
    p_holm: float | None
    comparisons: int
    better: Literal["ours", "theirs", ""]


@dataclass(frozen=True)
class Halves:
    """On validation the report is about the half of the groups that never selects; this is the half that does, and how
    far the first is from it."""

    selecting: Row
    gap: dict[str, Estimate]
    """Metric: mean on the half that reports less mean on the half that selects."""


@dataclass(frozen=True)
class Codebook:
    """How the test clips used one codebook: share of its entries, and perplexity of their distribution."""

    used: float
    perplexity: float


@dataclass(frozen=True)
class Trained:
    """What the model is and how it came about, as far as run and data tell."""

    sample_rate: int
    channels: int
    parameters: int
    codebooks: int
    codebook_size: int
    fingerprint: str
    latency_ms: float
    steps: int | None
    clips: int
    groups: int
    seconds: float
    domains: dict[str, float]
    """Seconds of the training split by domain."""
    checksum: str = ""
    """Names the whole model, as the ledger does; the fingerprint, what decodes."""


@dataclass(frozen=True)
class EvaluationResult:
    """All of it. ``rows``: in distribution first, then out of it, then by domain where there are several."""

    run: str
    data: str
    report: Path
    command: str
    """Makes this evaluation again."""
    made: str
    """Date and time, UTC."""
    demonstration: bool
    opened_before: int
    candidates: int
    clips_in_split: int
    operating_point: str
    kbps: float
    """Bits of all coded files over seconds of all clips."""
    nominal_kbps: float
    """If the codes in use were of fixed width."""
    ideal_kbps: float
    """Cross entropy of the codes under the model's tables: range coding without any loss, packets or headers."""
    encode_times_real_time: float
    decode_times_real_time: float
    other_codes_mel: Estimate | None
    """Over the clips of the first row."""
    absent: dict[str, str]
    """Metric: why it was not measured."""
    trained: Trained
    diagnosis: Diagnosis
    rows: list[Row]
    others: list[Row]
    """The clips of the first row at other operating points, and with other codecs (Opus, MP3, AAC: payload alone)."""
    usage: list[Codebook]
    clips: list[ClipResult] = field(repr=False)
    split: Literal["test", "val"] = "test"
    """On validation all is about the half of the groups that reports."""
    system: str = ""
    """What the model is called in ``rates`` and ``differences``."""
    openings: list[LedgerEntry] = field(default_factory=list)
    """Of the test split, before this one."""
    absent_systems: dict[str, str] = field(default_factory=dict)
    """What was asked for and could not be coded: why."""
    rates: list[RatePoint] = field(default_factory=list, repr=False)
    differences: list[Difference] = field(default_factory=list, repr=False)
    halves: Halves | None = None
    memory_mb: float | None = None
    """Peak of a process that codes and decodes a minute of sound, with the interpreter and all libraries."""
    trained_clips: int | None = None
    """Clips of the split that the model was ever trained on; None where that was not recorded."""

    @property
    def main(self) -> Row:
        """The row that the summary speaks of: in distribution, or all there is."""
        return self.rows[0]

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "report": str(self.report)}

    def text(self) -> str:
        """For the screen."""
        row = self.main
        kind = "test" if self.split == "test" else "validation"
        lines = [f"{row.clips} {kind} clips {row.name}, {row.groups} groups, {format_kbps(row.kbps)} measured"]
        measured = [
            [metric(name).heading, format_estimate(name, found), _noise(name, row)]
            for name, found in row.metrics.items()
        ]
        lines += _indented(
            Table(
                "",
                "",
                ["", "mean and 95 % interval" if row.groups > 1 else "mean (one group: no interval)", "noise"],
                measured,
            ).text()
        )
        lines += [f"  {metric(name).label}: {why}" for name, why in self.absent.items()]
        lines += [f"  {line}" for line in describe_editions(row.metrics)]
        lines += [f"  {line}" for line in describe_missing(row)]
        if self.other_codes_mel:
            lines.append(f"  mel distance with another file's codes: {self.other_codes_mel.mean:.2f}")
        for other in self.rows[1:]:
            lines.append(f"{other.name}: {other.clips} clips, {format_kbps(other.kbps)}")
            if mel := other.metrics.get("mel"):
                lines[-1] += f", mel distance {format_estimate('mel', mel)}"
            if noise := other.baseline.get("mel"):
                lines[-1] += f" (noise: {format_value('mel', noise.mean)})"
        lines.append(
            f"bit rate: {self.kbps:.2f} kbps in files; {self.nominal_kbps:.2f} nominal, {self.ideal_kbps:.2f} ideal"
        )
        if self.others:
            lines += self._beside()
        lines += [f"{name}: absent: {why}" for name, why in self.absent_systems.items()]
        lines.append(self.history())
        if gaps := self.gaps():
            lines += _indented(gaps.text())
        encodes, decodes = self.encode_times_real_time, self.decode_times_real_time
        lines.append(f"encodes {encodes:.0f}×, decodes {decodes:.0f}× real time, on one thread")
        lines.append(f"{self.diagnosis.verdict}: {self.diagnosis.reason}. {self.diagnosis.action}")
        lines.append(f"report: {self.report}")
        return "\n".join(escape_invisible(line) for line in lines)

    def _beside(self) -> list[str]:
        """Tables of means, a column for each system at each point, ours first."""
        systems = [self.main, *self.others]
        cells = [["real kbps", *("unknown" if row.kbps is None else f"{row.kbps:.2f}" for row in systems)]]
        if any(row.container_kbps is not None for row in systems):
            around = (row.container_kbps for row in systems)
            cells.append(["container, kbps", *("–" if kbps is None else f"{kbps:.2f}" for kbps in around)])
        for entry in METRICS:
            if any(entry.name in row.metrics for row in systems):
                cells.append([entry.heading, *(_mean(entry.name, row) for row in systems)])
        table = Table("", "", ["", self.operating_point, *(row.name for row in self.others)], cells)
        lines = ["beside it, on the same clips (means; results.md beside the report has their intervals):"]
        for text in table.texts(SCREEN, kept=2):
            lines += [*_indented(text), ""]
        return lines[:-1] + [
            f"  {other.name}: {line}"
            for other in self.others
            for line in [*([other.note] if other.note else []), *describe_failed(other)]
        ]

    def history(self) -> str:
        """What was seen of these clips before: in training, when the test split was opened, by other candidates."""
        if self.trained_clips:
            kind = "test" if self.split == "test" else "validation"
            heard = f"{self.trained_clips} of the {self.clips_in_split} {kind} clips were trained on"
            return f"{heard}, so that quality on new audio may be lower; {self._looks()}"
        return self._looks()

    def _looks(self) -> str:
        if self.split == "test":
            times = "once" if self.opened_before == 1 else f"{self.opened_before} times"
            opened = f"opened {times} before" if self.opened_before else "never opened before"
            before = f": {describe_openings(self.openings)}" if self.openings else ""
            others = sum(self.trained.checksum not in entry.weights for entry in self.openings)
            strangers = f" ({others} of these without this model)" if others else ""
            compared = f"runs that were ever compared on validation: {self.candidates}"
            return f"the test split was {opened}{before}{strangers}; {compared}"
        return (
            "the half of the validation groups that reports; candidates that were ever compared here:"
            f" {self.candidates}"
        )

    def gaps(self) -> Table | None:
        """On validation: how far the half that reports is from the half that selects."""
        if self.halves is None:
            return None
        chosen = self.halves.selecting.metrics
        rows = [
            [metric(name).heading, format_value(name, chosen[name].mean), format_estimate(name, found)]
            for name, found in self.halves.gap.items()
        ]
        return Table("", "", ["", "half that selects", "gap to it"], rows)


def _indented(text: str) -> list[str]:
    return [f"  {line}" for line in text.splitlines()]


def _mean(name: str, row: Row) -> str:
    if name not in row.metrics:
        return "–"
    failed = row.count_failed(name)
    return format_value(name, row.metrics[name].mean) + (f" ({failed} failed)" if failed else "")


def _noise(name: str, row: Row) -> str:
    return format_value(name, row.baseline[name].mean) if name in row.baseline else ""


def format_kbps(kbps: float | None) -> str:
    return "bit rate unknown" if kbps is None else f"{kbps:.2f} kbps"


def format_value(name: str, value: float) -> str:
    return f"{value:.{metric(name).digits}f}"


def format_estimate(name: str, found: Estimate) -> str:
    """Mean and interval, at the metric's digits."""
    mean = format_value(name, found.mean)
    if found.low is None or found.high is None:
        return mean
    return f"{mean} [{format_value(name, found.low)}, {format_value(name, found.high)}]"


def format_difference(name: str, found: Estimate) -> str:
    """Like :func:`format_estimate`, with the sign."""
    plus = "" if format_value(name, found.mean).startswith("-") else "+"
    return plus + format_estimate(name, found)


def describe_missing(row: Row) -> list[str]:
    """A line for each reason for which metrics could not judge decodes, or are not defined for references."""
    return describe_failed(row) + _describe(row.undefined, "left out for every codec, since it cannot be judged")


def describe_failed(row: Row) -> list[str]:
    """A line for each reason for which decodes scored the worst value, with the metrics that it concerns."""
    return _describe(row.failed, "failed, and counted with the worst value")


def _describe(found: dict[str, dict[str, int]], what: str) -> list[str]:
    """``found``: metric: reason: number of clips."""
    labels: dict[tuple[str, int], list[str]] = {}
    for name, reasons in found.items():
        for reason, count in reasons.items():
            labels.setdefault((reason, count), []).append(metric(name).label)
    return [f"{count} × {reason}: {what} ({', '.join(names)})" for (reason, count), names in labels.items()]
