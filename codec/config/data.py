"""Settings of the data of a recipe: the audio that the codec is designed for, and the training crops."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from codec.config.ranges import SHARE, Range, check_order, check_setting, check_settings


@dataclass(frozen=True)
class TargetConfig:
    """The audio that the codec is designed for. A clip of a listed domain is in distribution if it is in all ranges."""

    domains: dict[str, float] = field(default_factory=dict)
    """Share of each domain in the seconds of audio. Empty: all domains belong to the target."""
    level_dbfs: tuple[float, float] = (-60.0, 0.0)
    """Lowest and highest RMS level of a clip."""
    bandwidth_hz: tuple[float, float] = (0.0, 96000.0)
    """Lowest and highest bandwidth of a clip."""
    noise_dbfs: tuple[float, float] = (-200.0, 0.0)
    """Lowest and highest noise level of a clip: the level of the quietest tenth of its 20 ms frames."""

    RANGES: ClassVar[dict[str, Range]] = {
        "domains": SHARE,
        "level_dbfs": Range(-400, 100),
        "bandwidth_hz": Range(0, 10**6),
        "noise_dbfs": Range(-400, 100),
    }

    def __post_init__(self) -> None:
        check_settings("target", self, self.RANGES)
        for name in ("level_dbfs", "bandwidth_hz", "noise_dbfs"):
            check_order(f"target.{name}", getattr(self, name))
        total = sum(self.domains.values())
        check_setting(total < 1.001, f"the shares in target.domains must add up to at most 1, not {total:g}")


@dataclass(frozen=True)
class DataConfig:
    """Audio of a training step."""

    channels: int = 1
    """Number of channels, 1 or 2; the data must be prepared with as many."""
    crop_s: float = 1.0
    """Length of a crop in seconds."""
    batch_size: int = 16
    """Crops per step, divided evenly over all processes."""
    silence_dbfs: float = -60.0
    """Crops with an RMS level below this are drawn again."""
    workers: int = 0
    """Number of processes that load data; 0: the training process loads it itself."""
    resident: Literal["auto", "always", "never"] = "auto"
    """Whether the training audio is kept on the device as 16-bit samples, and crops are read and augmented there. auto:
    on a GPU where it takes at most a quarter of the free memory. Only possible for a local folder of
    ``codec prepare``."""
    source_temperature: float = 1.0
    """Balance of the sources: one with a share p of the hours gets crops in proportion to p^(1/T). 1: every hour is
    drawn equally often; higher values favour small sources, up to equal shares."""
    source_weights: dict[str, float] = field(default_factory=dict)
    """Factor for the number of crops of a source, 1 if it is not named. Below 1 for sources that matter less, such as
    single words; 0 leaves a source out."""
    open_shards: int = 16
    """Shards that crops are drawn from at a time, if the data is not a local folder of ``codec prepare``. More shards
    mix the clips better, and need more of the cache."""
    shard_passes: float = 1.0
    """How often the audio of a shard is drawn, on average, each time that it is open. More passes read less from a
    remote store."""
    max_damaged_share: float = 0.01
    """Share of the training audio that may be in damaged shards, whose clips are skipped; more of it ends the run."""

    RANGES: ClassVar[dict[str, Range]] = {
        "channels": Range(1, 2),
        "crop_s": Range(0, 600, above=True),
        "batch_size": Range(1, 65_536),
        "silence_dbfs": Range(-200, -10),
        "workers": Range(0, 1024),
        "source_temperature": Range(1, 1000),
        "source_weights": Range(0, 1000),
        "open_shards": Range(1, 100_000),
        "shard_passes": Range(0, 1000, above=True),
        "max_damaged_share": SHARE,
    }

    def __post_init__(self) -> None:
        check_settings("data", self, self.RANGES)


@dataclass(frozen=True)
class AugmentConfig:
    """Share of the crops that each augmentation is applied to; 0 switches it off."""

    gain: float = 0.0
    """Change of level, from 20 dB lower to 6 dB higher."""
    quiet: float = 0.0
    """Much lower level, 20 to 40 dB below."""
    noise: float = 0.0
    """Noise of a random colour."""
    mix: float = 0.0
    """Another crop of the batch at a lower level."""
    band_limit: float = 0.0
    """Low-pass filter at a random frequency."""
    equaliser: float = 0.0
    """Smooth random gains over frequency."""
    reverb: float = 0.0
    """Reverberation of a random room."""

    RANGES: ClassVar[dict[str, Range]] = dict.fromkeys(
        ("gain", "quiet", "noise", "mix", "band_limit", "equaliser", "reverb"), SHARE
    )

    def __post_init__(self) -> None:
        check_settings("augment", self, self.RANGES)
