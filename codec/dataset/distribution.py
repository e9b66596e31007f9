"""The target distribution of a recipe: the clips for which the codec is designed."""

from typing import Protocol

from codec.config import TargetConfig


class ClipProperties(Protocol):
    """The properties of a clip that decide whether it belongs to a target."""

    @property
    def domain(self) -> str:
        """speech, music, general or another word of the manifest."""

    @property
    def rms_dbfs(self) -> float:
        """RMS level."""

    @property
    def bandwidth_hz(self) -> float:
        """Frequency up to which there is content."""

    @property
    def noise_dbfs(self) -> float:
        """Level of the quietest tenth of the 20 ms frames."""


def in_distribution(clip: ClipProperties, target: TargetConfig) -> bool:
    """Decide whether a clip belongs to the target of a recipe.

    Args:
        clip: its domain and levels
        target: the recipe's ``target`` section

    Returns:
        True if the clip's domain is listed in the target (or no domain is) and each of its properties is in range.
    """
    return (
        (not target.domains or clip.domain in target.domains)
        and target.level_dbfs[0] <= clip.rms_dbfs <= target.level_dbfs[1]
        and target.bandwidth_hz[0] <= clip.bandwidth_hz <= target.bandwidth_hz[1]
        and target.noise_dbfs[0] <= clip.noise_dbfs <= target.noise_dbfs[1]
    )
