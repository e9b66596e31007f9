"""Distance between the training split and the target distribution of a recipe."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from codec.config import TargetConfig
from codec.dataset.distribution import in_distribution
from codec.dataset.packed import Clip


@dataclass(frozen=True)
class TargetDistance:
    """Shares of the training seconds, from 0 to 1, that do not match the target; 0 everywhere is a perfect match."""

    domain_variation: float
    """Total variation distance of the domains, half the sum of |share - target share|: the share of the seconds that
    would have to change their domain."""
    outside_level: float
    """Share with an RMS level outside the target."""
    outside_bandwidth: float
    """Share with a bandwidth outside the target."""
    outside_noise: float
    """Share with a noise level outside the target."""
    outside: float
    """Share out of distribution by any of these, see :func:`codec.dataset.distribution.in_distribution`."""

    def text(self) -> str:
        """Return the line for the screen.

        Returns:
            One line.
        """
        return (
            f"distance from the target: {self.domain_variation:.2f} in domains (total variation); outside the target:"
            f" level {self.outside_level:.1%}, bandwidth {self.outside_bandwidth:.1%}, noise {self.outside_noise:.1%},"
            f" any of these {self.outside:.1%}"
        )


def measure_target_distance(clips: Sequence[Clip], target: TargetConfig) -> TargetDistance:
    """Measure the distance of clips from a target, weighted by their seconds.

    Args:
        clips: clips of the training split.
        target: target distribution of a recipe.

    Returns:
        The distance; 1 in all parts if there are no clips.
    """
    total = sum(clip.seconds for clip in clips)
    if total == 0:
        return TargetDistance(1.0, 1.0, 1.0, 1.0, 1.0)

    def outside(values: Sequence[float], bounds: tuple[float, float]) -> float:
        low, high = bounds
        wrong = (clip.seconds for clip, value in zip(clips, values, strict=True) if not low <= value <= high)
        return sum(wrong) / total

    return TargetDistance(
        domain_variation=_domain_variation(clips, target),
        outside_level=outside([clip.rms_dbfs for clip in clips], target.level_dbfs),
        outside_bandwidth=outside([clip.bandwidth_hz for clip in clips], target.bandwidth_hz),
        outside_noise=outside([clip.noise_dbfs for clip in clips], target.noise_dbfs),
        outside=sum(clip.seconds for clip in clips if not in_distribution(clip, target)) / total,
    )


def _domain_variation(clips: Sequence[Clip], target: TargetConfig) -> float:
    if not target.domains:
        return 0.0
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        seconds[clip.domain] += clip.seconds
    total, asked = sum(seconds.values()), sum(target.domains.values())
    names = seconds.keys() | target.domains.keys()
    return 0.5 * sum(abs(seconds[name] / total - target.domains.get(name, 0.0) / asked) for name in names)
