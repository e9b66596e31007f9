"""Distance between the training split and the target distribution of a recipe."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from codec.config import TargetConfig
from codec.dataset.distribution import in_distribution
from data_prep.placement import ClipLevels


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


def measure_target_distance(clips: Iterable[ClipLevels], target: TargetConfig) -> TargetDistance:
    """Measure the distance of clips from a target, weighted by their seconds.

    Args:
        clips: clips of the training split.
        target: target distribution of a recipe.

    Returns:
        The distance; 1 in all parts if there are no clips.
    """
    total = level = bandwidth = noise = outside = 0.0
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        total += clip.seconds
        seconds[clip.domain] += clip.seconds
        level += clip.seconds * _is_outside(clip.rms_dbfs, target.level_dbfs)
        bandwidth += clip.seconds * _is_outside(clip.bandwidth_hz, target.bandwidth_hz)
        noise += clip.seconds * _is_outside(clip.noise_dbfs, target.noise_dbfs)
        outside += clip.seconds * (not in_distribution(clip, target))
    if total == 0:
        return TargetDistance(1.0, 1.0, 1.0, 1.0, 1.0)
    variation = _domain_variation(seconds, target)
    return TargetDistance(variation, level / total, bandwidth / total, noise / total, outside / total)


def _is_outside(value: float, bounds: tuple[float, float]) -> bool:
    low, high = bounds
    return not low <= value <= high


def _domain_variation(seconds: Mapping[str, float], target: TargetConfig) -> float:
    if not target.domains:
        return 0.0
    total, asked = sum(seconds.values()), sum(target.domains.values())
    names = seconds.keys() | target.domains.keys()
    return 0.5 * sum(abs(seconds.get(name, 0.0) / total - target.domains.get(name, 0.0) / asked) for name in names)
