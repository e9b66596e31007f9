"""What a recipe can say: dataclasses with defaults, units in the names.

A recipe is a YAML file with the fields of :class:`Recipe`; ``codec train`` reads it through jsonargparse, which checks
names and types. ``CodecConfig`` alone defines a model; it is stored beside the weights.
"""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from codec.config.ranges import SHARE, Range, check_order, check_settings
from codec.errors import UserError

MOST_STEPS = 10**9
MOST_NUMBERS = 10**9
"""Of a model: about 4 GB of weights."""
WEIGHT = Range(0, 10**6)
"""Of a term in the loss."""
LEARNING_RATE = Range(0, 10, above=True)


def _require(valid: bool, rule: str) -> None:
    if not valid:
        raise UserError(rule)


MAX_SIZE_WITH_CONTEXTS = 1 << 13
"""The votes of larger codes would be most of the model."""


@dataclass(frozen=True)
class QuantizerConfig:
    """Residual quantizer: every codebook refines what the ones before it left over."""

    kind: Literal["rvq", "fsq"] = "rvq"
    """Residual vector quantization, or residual finite scalar quantization."""
    codebooks: int = 12
    """Each adds its bits to the highest rate; files may use fewer."""
    latent_dim: int = 64
    """Features of the latent (rvq); with fsq it has one for each level of each group."""
    codebook_size: int = 1024
    """Entries per codebook (rvq)."""
    codebook_dim: int = 16
    """Dimensions in which the entries of a codebook differ (rvq)."""
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Levels per dimension (fsq); a code takes one of their product."""
    groups: int = 1
    """The latent is cut into so many parts, each with ``codebooks / groups`` residual stages (fsq)."""
    full_rate_share: float = 0.5
    """Share of the training items coded with every codebook; the others use a random number of them."""
    contexts: int = 32
    """Classes of context for each of which a codebook has a table of code frequencies; 1: no contexts."""

    RANGES: ClassVar[dict[str, Range]] = {
        "codebooks": Range(1, 1024),
        "latent_dim": Range(1, 1 << 16),
        "codebook_size": Range(2, 1 << 20),
        "codebook_dim": Range(1, 1 << 16),
        "levels": Range(2, 1 << 20),
        "groups": Range(1, 1024),
        "full_rate_share": SHARE,
        "contexts": Range(1, 64),
    }

    def __post_init__(self) -> None:
        check_settings("quantizer", self, self.RANGES)
        _require(self.size <= 1 << 20, f"a code of the quantizer can take at most 2^20 values, not {self.size:.3g}")
        _require(
            self.contexts == 1 or self.size <= MAX_SIZE_WITH_CONTEXTS,
            f"quantizer.contexts must be 1 where a code has over {MAX_SIZE_WITH_CONTEXTS} values",
        )
        _require(
            self.kind == "rvq" or self.codebooks % self.groups == 0,
            f"quantizer.codebooks ({self.codebooks}) must be a multiple of groups ({self.groups})",
        )
        _require(
            self.kind == "rvq" or self.codebooks == self.groups or min(self.levels) >= 3,
            f"quantizer.levels must be at least 3 where a stage refines another, not {self.levels}",
        )

    @property
    def dimension(self) -> int:
        """Dimension of the latent vectors that are quantized."""
        return self.latent_dim if self.kind == "rvq" else self.groups * len(self.levels)

    @property
    def size(self) -> int:
        """Values that one code can take."""
        return self.codebook_size if self.kind == "rvq" else math.prod(self.levels)


@dataclass(frozen=True)
class NetworkConfig:
    """A stack of causal ConvNeXt blocks."""

    width: int = 256
    """Channels of each block."""
    depth: int = 3
    """Blocks."""
    kernel: int = 7
    """Frames that a block sees at once: the current one and those before."""
    expansion: int = 3
    """Within a block there are so many times as many channels."""
    dropout: float = 0.0
    """Share of channels left out at random while training."""

    RANGES: ClassVar[dict[str, Range]] = {
        "width": Range(1, 1 << 16),
        "depth": Range(1, 1000),
        "kernel": Range(1, 4096),
        "expansion": Range(1, 64),
        "dropout": Range(0, 1, below=True),
    }

    def __post_init__(self) -> None:
        check_settings("", self, self.RANGES)

    def numbers(self, features_in: int, features_out: int) -> int:
        """Weights of such a network, but for the few of biases and normalisations."""
        block = self.width * (self.kernel + 2 * self.expansion * self.width)
        return self.depth * block + (features_in + features_out) * self.width + features_in * features_out


@dataclass(frozen=True)
class CodecConfig:
    """Everything that defines a codec's architecture."""

    sample_rate: int = 16000
    """In Hz; the data must be prepared at this rate."""
    hop: int = 160
    """Samples between MDCT frames, and coefficients in each."""
    frames_per_latent: int = 2
    """MDCT frames that share one set of codes."""
    power: float = 0.6
    """Exponent of the compression of the MDCT coefficients."""
    stereo: Literal["mid_side", "separate"] = "mid_side"
    """How two channels become two streams. More than two channels are always separate."""
    encoder: NetworkConfig = field(default_factory=NetworkConfig)
    decoder: NetworkConfig = field(default_factory=lambda: NetworkConfig(width=384, depth=4))
    quantizer: QuantizerConfig = field(default_factory=QuantizerConfig)

    RANGES: ClassVar[dict[str, Range]] = {
        "sample_rate": Range(1000, 768_000),
        "hop": Range(1, 4096),
        "frames_per_latent": Range(1, 1000),
        "power": Range(0, 2, above=True),
    }

    def __post_init__(self) -> None:
        check_settings("codec", self, self.RANGES)
        _require(self.latent_hop <= 1 << 16, f"codec.hop times frames_per_latent must be at most {1 << 16}")
        _require(
            self.numbers <= MOST_NUMBERS,
            f"the codec would have {self.numbers:.3g} weights, at most {MOST_NUMBERS:.3g} are possible; lower width,"
            " depth, expansion or the quantizer's sizes",
        )

    @property
    def numbers(self) -> int:
        """Numbers in the weights and tables of such a codec, or somewhat fewer."""
        quantizer = self.quantizer
        features, size = quantizer.dimension, quantizer.size
        networks = self.encoder.numbers(self.latent_hop, features) + self.decoder.numbers(features, self.latent_hop)
        stages = quantizer.codebooks * min(quantizer.codebook_dim, features) * (size + features)
        return networks + (stages if quantizer.kind == "rvq" else 0) + quantizer.codebooks * quantizer.contexts * size

    @property
    def latent_hop(self) -> int:
        """Samples per latent frame."""
        return self.hop * self.frames_per_latent

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate / self.latent_hop

    def frames_for(self, samples: int) -> int:
        """Latent frames that cover so many samples: the last MDCT frame must reach past the end."""
        return -(-(samples + self.hop) // self.latent_hop) if samples else 0

    @property
    def bits_per_code(self) -> int:
        return math.ceil(math.log2(self.quantizer.size))

    @property
    def kbps_per_codebook(self) -> float:
        """Nominal bit rate of one codebook for one channel, in kbit/s."""
        return self.frame_rate_hz * self.bits_per_code / 1000

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency: (frames per latent + 1) hops."""
        return 1000 * (self.frames_per_latent + 1) * self.hop / self.sample_rate

    def to_dict(self) -> dict[str, Any]:
        """Plain values. Without ``contexts`` where there are none: models that were released before there were any
        keep their fingerprints."""
        values = asdict(self)
        if self.quantizer.contexts == 1:
            del values["quantizer"]["contexts"]
        return values

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "CodecConfig":
        """Inverse of :meth:`to_dict`, also after a round trip through JSON."""
        values = dict(values)
        quantizer = {"contexts": 1} | values.pop("quantizer")
        quantizer["levels"] = tuple(quantizer["levels"])
        return CodecConfig(
            encoder=NetworkConfig(**values.pop("encoder")),
            decoder=NetworkConfig(**values.pop("decoder")),
            quantizer=QuantizerConfig(**quantizer),
            **values,
        )


@dataclass(frozen=True)
class TargetConfig:
    """The sound that the codec is meant for. A clip inside every range and in a listed domain is in distribution."""

    domains: dict[str, float] = field(default_factory=dict)
    """Domain: share of the seconds. Empty: every domain belongs to the target."""
    level_dbfs: tuple[float, float] = (-60.0, 0.0)
    """RMS level of a clip, lowest and highest."""
    bandwidth_hz: tuple[float, float] = (0.0, 96000.0)
    """Up to which frequency a clip has sound, lowest and highest."""
    noise_dbfs: tuple[float, float] = (-200.0, 0.0)
    """Level of the quietest tenth of a clip's 20 ms frames."""

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
        _require(total < 1.001, f"target.domains are shares, which add up to at most 1, not {total:g}")


@dataclass(frozen=True)
class DataConfig:
    """What a training step hears."""

    channels: int = 1
    """1 or 2; the data must be prepared with as many."""
    crop_s: float = 1.0
    """Seconds of each crop."""
    batch_size: int = 16
    """Crops per step."""
    silence_dbfs: float = -60.0
    """Crops with an RMS level below this are drawn again."""
    workers: int = 0
    """Processes that load data beside the training; 0: none."""

    RANGES: ClassVar[dict[str, Range]] = {
        "channels": Range(1, 2),
        "crop_s": Range(0, 600, above=True),
        "batch_size": Range(1, 65_536),
        "silence_dbfs": Range(-200, -10),
        "workers": Range(0, 1024),
    }

    def __post_init__(self) -> None:
        check_settings("data", self, self.RANGES)


@dataclass(frozen=True)
class AugmentConfig:
    """Each is the share of crops that the augmentation is applied to; 0 switches it off."""

    gain: float = 0.0
    """Another level, from 20 dB lower to 6 dB higher."""
    quiet: float = 0.0
    """A much lower level: 20 to 40 dB below."""
    noise: float = 0.0
    """Noise of a random colour."""
    mix: float = 0.0
    """Another crop of the batch beneath it."""
    band_limit: float = 0.0
    """Nothing above a random frequency."""
    equaliser: float = 0.0
    """Smooth random gains over frequency."""
    reverb: float = 0.0
    """The reverberation of a random room."""

    RANGES: ClassVar[dict[str, Range]] = dict.fromkeys(
        ("gain", "quiet", "noise", "mix", "band_limit", "equaliser", "reverb"), SHARE
    )

    def __post_init__(self) -> None:
        check_settings("augment", self, self.RANGES)


@dataclass(frozen=True)
class AdversarialConfig:
    """Discriminator and its losses; off unless ``weight`` is above 0."""

    weight: float = 0.0
    """Of the discriminator's judgement in the codec's loss."""
    feature_weight: float = 2.0
    """Of the distance between real and decoded sound in the discriminator's features."""
    loss: Literal["least_squares", "hinge", "bce"] = "least_squares"
    """What the judgement is scored by."""
    start_step: int = 0
    """Steps on the metric losses alone before the discriminator starts."""
    every: int = 1
    """The discriminator learns on every so many-th step."""
    lr: float = 2e-4
    """Learning rate of the discriminator; warm-up and decay are those of the codec."""
    width: int = 32
    """Channels of the discriminator."""

    RANGES: ClassVar[dict[str, Range]] = {
        "weight": WEIGHT,
        "feature_weight": WEIGHT,
        "start_step": Range(0, MOST_STEPS),
        "every": Range(1, MOST_STEPS),
        "lr": LEARNING_RATE,
        "width": Range(1, 4096),
    }

    def __post_init__(self) -> None:
        check_settings("adversarial", self, self.RANGES)


@dataclass(frozen=True)
class OptimConfig:
    """AdamW and its schedule."""

    lr: float = 1e-3
    """Highest learning rate; ``codec train --lr-range-test`` suggests one."""
    betas: tuple[float, float] = (0.8, 0.99)
    """Decay of AdamW's running means of gradients and of their squares."""
    warmup_steps: int = 100
    """Steps over which the learning rate rises to ``lr``."""
    final_lr_ratio: float = 0.05
    """Cosine decay from ``lr`` to this share of it at the last step."""
    l2: float = 0.0
    """Decoupled weight decay (AdamW)."""
    l1: float = 0.0
    """Weight of the mean absolute value of the weights, added to the loss."""
    clip_norm: float = 1.0
    """Gradients with a larger norm are scaled down to it."""
    ema_decay: float = 0.999
    """The weights that are judged and kept are a running mean with this decay per step."""

    RANGES: ClassVar[dict[str, Range]] = {
        "lr": LEARNING_RATE,
        "betas": Range(0, 1, below=True),
        "warmup_steps": Range(0, MOST_STEPS),
        "final_lr_ratio": SHARE,
        "l2": Range(0, 1000),
        "l1": WEIGHT,
        "clip_norm": Range(0, 10**9, above=True),
        "ema_decay": Range(0, 1, below=True),
    }

    def __post_init__(self) -> None:
        check_settings("optim", self, self.RANGES)


@dataclass(frozen=True)
class TrainConfig:
    """How long, and how it is judged."""

    steps: int = 100_000
    """Training stops after so many."""
    max_minutes: float = 0.0
    """Training stops at this time even if steps are left; 0: no limit."""
    seed: int = 0
    """Of all that is random: weights, crops, augmentation."""
    mel_scales: int = 7
    """Scales of the mel loss that a step computes, drawn at random: fewer cost less and give the same expectation."""
    precision: Literal["32", "bf16"] = "32"
    """Of the computation; ``bf16`` is faster on recent GPUs."""
    compile: bool = False
    """Compile the codec with ``torch.compile``."""
    validate_every: int = 1000
    """Steps between validations. ``codec train`` takes a tenth of the run where there would be fewer than three."""
    validation_clips: int = 64
    """Crops in a validation, of each split."""
    patience: int = 0
    """Stop when so many validations in a row brought no improvement; 0: never."""
    stop_on_collapse: bool = False
    """Stop when a codebook has fewer than a tenth of its entries in use."""
    freeze_encoder: bool = False
    """Train the decoder alone, so that old files stay decodable (with ``--init-from``)."""

    RANGES: ClassVar[dict[str, Range]] = {
        "steps": Range(1, MOST_STEPS),
        "max_minutes": Range(0, 10**7),
        "seed": Range(0, 2**32 - 1),
        "mel_scales": Range(1, 7),
        "validate_every": Range(1, MOST_STEPS),
        "validation_clips": Range(1, 10**6),
        "patience": Range(0, MOST_STEPS),
    }

    def __post_init__(self) -> None:
        check_settings("train", self, self.RANGES)


@dataclass(frozen=True)
class Recipe:
    """A training run, complete but for the data."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    losses: dict[str, float] = field(default_factory=lambda: {"l1": 1.0, "mel": 1.0})
    """Weight by name of the loss; 0: computed and logged only."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    target: TargetConfig = field(default_factory=TargetConfig)

    RANGES: ClassVar[dict[str, Range]] = {"losses": WEIGHT}

    def __post_init__(self) -> None:
        check_settings("", self, self.RANGES)
        _require(any(self.losses.values()), "losses must have at least one with a weight above 0")
