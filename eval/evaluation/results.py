"""The results of an evaluation, as small dataclasses; ``results.json`` has exactly their fields."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from codec.dataset.ledger import LedgerEntry
from codec.training.fit_diagnosis import Diagnosis
from eval.metrics.confidence import Estimate
from eval.metrics.registry import Score
from eval.systems.own import CodebookStatistics
from eval.systems.system import System


@dataclass(frozen=True)
class ClipResult:
    """A clip that was coded and scored."""

    clip_id: str
    path: str
    domain: str
    group: str
    in_distribution: bool
    seconds: float
    bytes: int | None
    """Size of the whole ``.nac`` file; of Opus, MP3 and AAC, size of the payload; None if unknown."""
    kbps: float | None
    """Bit rate of ``bytes``, in kbit/s."""
    encode_s: float
    decode_s: float
    scores: dict[str, Score]
    """Metric to score, for the metrics that apply to the clip."""
    baseline: dict[str, Score]
    """Metric to score of noise that is matched to the clip."""
    other_codes_mel: Score
    """Mel distance to the decoded audio of another clip."""
    container_bytes: int | None = None
    """Size of the file around a payload; not counted in ``bytes``."""


@dataclass(frozen=True)
class Row:
    """A row of the summary table: means over some clips."""

    name: str
    clips: int
    groups: int
    seconds: float
    kbps: float | None
    """Bit rate; None if unknown."""
    metrics: dict[str, Estimate]
    baseline: dict[str, Estimate]
    failed: dict[str, dict[str, int]]
    """Metric to reason to number of clips whose decoded audio could not be judged, and has the metric's worst value."""
    container_kbps: float | None = None
    """Bit rate of the containers, in addition to that of the payloads; None if ``kbps`` is that of whole files."""
    note: str = ""
    """What its name does not say: its edition, or a deviation from the operating point."""
    undefined: dict[str, dict[str, int]] = field(default_factory=dict)
    """Metric to reason to number of clips whose reference it cannot judge; its mean leaves them out for every codec."""

    def count_failed(self, name: str) -> int:
        """Return the number of clips that failed, and so scored the worst value.

        Args:
            name: name of the metric.

        Returns:
            Number of clips.
        """
        return sum(self.failed.get(name, {}).values())

    def count_undefined(self, name: str) -> int:
        """Return the number of clips that the metric's mean leaves out.

        Args:
            name: name of the metric.

        Returns:
            Number of clips.
        """
        return sum(self.undefined.get(name, {}).values())


@dataclass(frozen=True)
class RatePoint:
    """A point of a rate–distortion curve: the mean of one metric of one system over some clips."""

    system: str
    point: str
    domain: str
    """Domain of the clips; "all": any domain."""
    distribution: Literal["in", "out"]
    """``in``: the clips are in the target distribution; ``out``: they are not."""
    metric: str
    kbps: float | None
    """Measured over all these clips; None if unknown."""
    mean: float
    low: float | None
    high: float | None
    groups: int
    clips: int
    """Number of clips that have a value."""
    failed: int
    """Number of clips that failed, and so scored the metric's worst value."""

    @property
    def identity(self) -> System:
        """The system."""
        return System(self.system, self.point)


@dataclass(frozen=True)
class Difference:
    """Our value less that of another system, paired by clip, at our operating point of the nearest bit rate."""

    ours: str
    """Our operating point."""
    our_kbps: float | None
    system: str
    point: str
    kbps: float | None
    domain: str
    distribution: Literal["in", "out"]
    metric: str
    mean: float
    low: float | None
    """Start of the 95 % interval of this comparison by itself."""
    high: float | None
    groups: int
    clips: int
    p: float | None
    """p value of the t test over groups for this comparison by itself."""
    p_holm: float | None
    """p value corrected for the number of ``comparisons``."""
    comparisons: int
    """Number of comparisons with all systems by all metrics on these clips."""
    better: Literal["ours", "theirs", ""]
    """The better system, if ``p_holm`` is at most 5 %; else empty."""

    @property
    def identity(self) -> System:
        """The other system."""
        return System(self.system, self.point)


@dataclass(frozen=True)
class Halves:
    """On validation: the half of the groups for model selection, and the gap to it from the half of the report."""

    selecting: Row
    gap: dict[str, Estimate]
    """Metric to mean on the half of the report less mean on the half for model selection."""


@dataclass(frozen=True)
class ModelSummary:
    """The model and its training, as recorded in the run and the data folder."""

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
    """Domain to seconds of the training split."""
    checksum: str = ""
    """Identifies the whole model, as in the ledger; the fingerprint identifies the decoding part."""


@dataclass(frozen=True)
class EvaluationResult:
    """The result of an evaluation."""

    run: str
    data: str
    report: Path
    command: str
    """Command that repeats this evaluation."""
    made: str
    """Date and time, UTC."""
    demonstration: bool
    opened_before: int
    """Number of openings of the test split before this one."""
    candidates: int
    """Number of runs compared on validation so far."""
    clips_in_split: int
    operating_point: str
    kbps: float
    """Bits of all coded files over seconds of all clips."""
    nominal_kbps: float
    """Bit rate if the codes were of fixed width."""
    ideal_kbps: float
    """Cross entropy of the codes under the model's tables: without losses of range coding, packets and headers."""
    encode_times_real_time: float
    decode_times_real_time: float
    other_codes_mel: Estimate | None
    """Mean over the clips of the first row."""
    absent: dict[str, str]
    """Metric to the reason why it was not measured."""
    trained: ModelSummary
    diagnosis: Diagnosis
    rows: list[Row]
    """In distribution first, then out of it, then by domain if there are several."""
    others: list[Row]
    """Rows of the other systems on the clips of the first row, in the order of ``rates``."""
    usage: list[CodebookStatistics]
    clips: list[ClipResult] = field(repr=False)
    split: Literal["test", "val"] = "test"
    """With ``val``, the result is about the half of the groups not used for model selection."""
    system: str = ""
    """Name of the model in ``rates`` and ``differences``."""
    openings: list[LedgerEntry] = field(default_factory=list)
    """Openings of the test split before this one."""
    absent_systems: dict[str, str] = field(default_factory=dict)
    """Requested system that could not code the clips, to the reason."""
    rates: list[RatePoint] = field(default_factory=list, repr=False)
    differences: list[Difference] = field(default_factory=list, repr=False)
    bounds: list[Row] = field(default_factory=list)
    """Rows of the model's bounds on the clips of the first row, if it is evaluated at several operating points; see
    :mod:`eval.systems.bounds`."""
    halves: Halves | None = None
    memory_mb: float | None = None
    """Peak memory of a process that encodes and decodes a minute of audio, with the interpreter and all libraries."""
    trained_clips: int | None = None
    """Number of clips of the split that the model was ever trained on; None if that was not recorded."""

    @property
    def main(self) -> Row:
        """The row of the summary: the clips in distribution, or all if there are none."""
        return self.rows[0]

    def to_dict(self) -> dict[str, Any]:
        """Return the content of ``results.json``.

        Returns:
            The fields, ready for JSON.
        """
        return {**asdict(self), "report": str(self.report)}

    def text(self) -> str:
        """Format the result for a terminal.

        Returns:
            Several lines.
        """
        from eval.evaluation.screen_text import format_evaluation  # which imports this module

        return format_evaluation(self)
