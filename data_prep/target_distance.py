"""How far the training split is from the sound that the codec is meant for."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from codec.config import TargetConfig
from codec.dataset.distribution import in_distribution
from codec.dataset.packed import Clip


@dataclass(frozen=True)
class TargetDistance:
    """Shares of the training seconds, 0 to 1; 0 everywhere is a perfect fit."""

    domain_variation: float
    """Total variation, half the sum of |share - target share|: the share that would have to change domain."""
    outside_level: float
    outside_bandwidth: float
    outside_noise: float
    outside: float
    """Out of distribution by any of these, :func:`codec.dataset.distribution.in_distribution`."""

    def text(self) -> str:
        return (
            f"distance from the target: domains {self.domain_variation:.2f} (total variation); outside: "
            f"level {self.outside_level:.1%}, bandwidth {self.outside_bandwidth:.1%}, "
            f"noise {self.outside_noise:.1%}, any {self.outside:.1%}"
        )


def measure_target_distance(clips: Sequence[Clip], target: TargetConfig) -> TargetDistance:
    """Distance of the clips, weighted by their seconds. No clips: 1 where something is asked for."""
    total = sum(clip.seconds for clip in clips)
    if total == 0:
        return TargetDistance(1.0, 1.0, 1.0, 1.0, 1.0)

    def outside(values: Sequence[float], bounds: tuple[float, float]) -> float:
        low, high = bounds
        wrong = (clip.seconds for clip, value in zip(clips, values, strict=True) if not low <= value <= high)
        return sum(wrong) / total

    return TargetDistance(
        domain_variation=_variation(clips, target),
        outside_level=outside([clip.rms_dbfs for clip in clips], target.level_dbfs),
        outside_bandwidth=outside([clip.bandwidth_hz for clip in clips], target.bandwidth_hz),
        outside_noise=outside([clip.noise_dbfs for clip in clips], target.noise_dbfs),
        outside=sum(clip.seconds for clip in clips if not in_distribution(clip, target)) / total,
    )


def _variation(clips: Sequence[Clip], target: TargetConfig) -> float:
    if not target.domains:
        return 0.0
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        seconds[clip.domain] += clip.seconds
    total, asked = sum(seconds.values()), sum(target.domains.values())
    names = seconds.keys() | target.domains.keys()
    return 0.5 * sum(abs(seconds[name] / total - target.domains.get(name, 0.0) / asked) for name in names)
