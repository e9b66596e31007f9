"""Distance between the training split and the target distribution of a recipe."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from codec.config import TargetConfig
from codec.dataset.distribution import in_distribution
from data_prep.placement import ClipLevels

_MENTIONED = 0.0005
"""Smaller shares are not named."""


@dataclass(frozen=True)
class TargetDistance:
    """Shares of the training seconds, from 0 to 1, that do not match the target; 0 everywhere is a perfect match."""

    domain_variation: float
    """Total variation distance of the domains, half the sum of |share - target share|: the share of the seconds that
    would have to change their domain."""
    outside_domain: float
    """Share with a domain that the target does not have."""
    outside_level: float
    """Share with an RMS level outside the target."""
    outside_bandwidth: float
    """Share with a bandwidth outside the target."""
    outside_noise: float
    """Share with a noise level outside the target."""
    outside: float
    """Share out of distribution by any of these, see :func:`codec.dataset.distribution.in_distribution`."""

    def text(self, recipe: str) -> str:
        """Return the line for the screen.

        Args:
            recipe: name of the recipe.

        Returns:
            One line: how much of the training audio is like the target, and by what the rest differs.
        """
        reasons = (
            ("domain", self.outside_domain),
            ("level", self.outside_level),
            ("bandwidth", self.outside_bandwidth),
            ("noise", self.outside_noise),
        )
        listed = ", ".join(f"{name} {share:.1%}" for name, share in reasons if share >= _MENTIONED)
        differs = f"; the rest differs ({listed}), is trained on all the same, and is evaluated apart" if listed else ""
        return f"{1 - self.outside:.1%} of the training audio is like the target of {recipe}{differs}"


def measure_target_distance(clips: Iterable[ClipLevels], target: TargetConfig) -> TargetDistance:
    """Measure the distance of clips from a target, weighted by their seconds.

    Args:
        clips: clips of the training split.
        target: target distribution of a recipe.

    Returns:
        The distance; 1 in all parts if there are no clips.
    """
    total = domain = level = bandwidth = noise = outside = 0.0
    seconds: dict[str, float] = defaultdict(float)
    for clip in clips:
        total += clip.seconds
        seconds[clip.domain] += clip.seconds
        domain += clip.seconds * (bool(target.domains) and clip.domain not in target.domains)
        level += clip.seconds * _is_outside(clip.rms_dbfs, target.level_dbfs)
        bandwidth += clip.seconds * _is_outside(clip.bandwidth_hz, target.bandwidth_hz)
        noise += clip.seconds * _is_outside(clip.noise_dbfs, target.noise_dbfs)
        outside += clip.seconds * (not in_distribution(clip, target))
    if total == 0:
        return TargetDistance(1.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    variation = _domain_variation(seconds, target)
    parts = (domain / total, level / total, bandwidth / total, noise / total, outside / total)
    return TargetDistance(variation, *parts)


def _is_outside(value: float, bounds: tuple[float, float]) -> bool:
    low, high = bounds
    return not low <= value <= high


def _domain_variation(seconds: Mapping[str, float], target: TargetConfig) -> float:
    if not target.domains:
        return 0.0
    total, asked = sum(seconds.values()), sum(target.domains.values())
    names = seconds.keys() | target.domains.keys()
    return 0.5 * sum(abs(seconds.get(name, 0.0) / total - target.domains.get(name, 0.0) / asked) for name in names)
