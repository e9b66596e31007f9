"""What a candidate costs whoever uses it: time, delay, size, memory. None of it depends on how it was trained."""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from codec.model.codec import Codec
from codec.pretrained.checkpoint import save_model
from codec.runtime.torch_threads import torch_threads
from eval.benchmarks.coding_speed import TimingQuantiles, time_systems
from eval.benchmarks.memory import coding_peak_mb
from eval.search.exclusive_timing import Turns
from eval.search.plan import Constraints
from eval.systems.architectures import SpeedSubject

SECONDS = 2.0
"""Of the clip that is timed: many short turns tell more than few long ones where the load of the machine changes."""
ROUNDS = 15
MEMORY_SECONDS = 60.0


@dataclass(frozen=True)
class Size:
    """``latency_ms``: of the algorithm, what is waited for included."""

    parameters: int
    latency_ms: float

    def excess(self, constraints: Constraints) -> str:
        """The constraint that it breaks, or nothing."""
        if 0 < constraints.latency_ms < self.latency_ms:
            return f"latency {self.latency_ms:g} ms, at most {constraints.latency_ms:g} allowed"
        if 0 < constraints.parameters < self.parameters:
            return f"{self.parameters:,} parameters, at most {constraints.parameters:,} allowed"
        return ""


@dataclass(frozen=True)
class Speed:
    """Ratios: how many times as fast as the reference, by turns; 2 is twice as fast. ``reference_*``: how fast that was
    meanwhile, times real time."""

    encode: TimingQuantiles
    decode: TimingQuantiles
    reference_encode: float
    reference_decode: float


def measure_speed(candidate: SpeedSubject, reference: SpeedSubject, out: Path) -> Speed:
    """Both take turns, so that what else the machine does falls on both; the search's other processes wait."""
    with Turns(out).alone(), torch_threads(1):
        names = {reference.name, candidate.name}
        found = time_systems(
            [reference, candidate], [SECONDS], ROUNDS, names, reference=reference.name, quiet=True
        )  # fmt: skip
    theirs, ours = found
    assert ours.encode_ratio is not None and ours.decode_ratio is not None
    return Speed(ours.encode_ratio, ours.decode_ratio, theirs.encode.median, theirs.decode.median)


def measure_memory(codec: Codec) -> float:
    """Peak, in MB, of a process that codes and decodes a minute of sound."""
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder), codec, {})
        return coding_peak_mb(Path(folder), MEMORY_SECONDS, codec.config.sample_rate)


def times_real_time(ratio: float, reference: list[float]) -> float:
    """From a ratio, and how fast the reference was each time: their median, so that all candidates count alike."""
    return ratio * statistics.median(reference)
