"""The costs of a candidate for its users: speed, latency, size and memory. None of them depends on its training."""

import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model
from codec.runtime.torch_threads import torch_threads
from eval.benchmarks.coding_speed import TimingQuantiles, time_systems
from eval.benchmarks.memory import coding_peak_mb
from eval.search.exclusive_timing import ExclusiveTiming
from eval.search.plan import Constraints
from eval.systems.architectures import SpeedSubject

TIMED_SECONDS = 2.0
"""Duration of the clip that is timed. Many short rounds are more exact than a few long ones if the load of the machine
changes."""
TIMING_ROUNDS = 15
_MEMORY_SECONDS = 60.0


@dataclass(frozen=True)
class Size:
    """Size and latency of a candidate."""

    parameters: int
    latency_ms: float
    """Algorithmic latency, with the frames of a block that are waited for."""

    def violation(self, constraints: Constraints) -> str:
        """Describe the first constraint that is violated.

        Args:
            constraints: limits of the plan; a limit of 0 is none.

        Returns:
            One line; empty if all constraints are met.
        """
        if 0 < constraints.latency_ms < self.latency_ms:
            return f"latency {self.latency_ms:g} ms, at most {constraints.latency_ms:g} allowed"
        if 0 < constraints.parameters < self.parameters:
            return f"{self.parameters:,} parameters, at most {constraints.parameters:,} allowed"
        return ""


@dataclass(frozen=True)
class Speed:
    """Speed relative to the reference, measured in turn with it."""

    encode: TimingQuantiles
    """Ratio to the reference; 2 is twice as fast."""
    decode: TimingQuantiles
    reference_encode: float
    """Speed of the reference during the measurement, in times real time."""
    reference_decode: float


@dataclass(frozen=True)
class CandidateCost:
    """All costs of a candidate."""

    size: Size
    speed: Speed
    memory_mb: float | None
    """Peak memory of coding a minute of audio; None if no constraint needs it."""


def measure_speed(candidate: SpeedSubject, reference: SpeedSubject, out: Path) -> Speed:
    """Time a candidate in turn with the reference, on one thread, while other processes of the search wait.

    Args:
        candidate: candidate to time.
        reference: what its speed is relative to.
        out: folder of the search.

    Returns:
        Ratios, and the reference's own speed.
    """
    with ExclusiveTiming(out).alone(), torch_threads(1):
        names = {reference.name, candidate.name}
        theirs, ours = time_systems([reference, candidate], [TIMED_SECONDS], TIMING_ROUNDS, names, quiet=True)
    return Speed(*ours.ratios_to(theirs), theirs.encode.median, theirs.decode.median)


def measure_memory(codec: Codec) -> float:
    """Measure the peak memory of a process that codes a minute of audio.

    Args:
        codec: the candidate.

    Returns:
        MiB.
    """
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), codec, {})
        return coding_peak_mb(Path(folder), _MEMORY_SECONDS, codec.config.sample_rate)


def times_real_time(ratio: float, reference: Sequence[float]) -> float:
    """Convert a speed ratio to times real time.

    Args:
        ratio: speed relative to the reference.
        reference: speed of the reference in each measurement of the search, in times real time. Their median is used
            for all candidates, so that their order does not depend on when they were measured.

    Returns:
        Times real time.

    >>> times_real_time(1.5, [100.0, 120.0, 90.0])
    150.0
    """
    return ratio * statistics.median(reference)
