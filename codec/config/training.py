"""Settings of a training: optimiser, discriminator, schedule; and the recipe that holds all settings."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from codec.config.data import AugmentConfig, DataConfig, TargetConfig
from codec.config.model import CodecConfig
from codec.config.ranges import SHARE, Range, check_settings, require

MAX_STEPS = 10**9
WEIGHT = Range(0, 10**6)
"""Weight of a term in the loss."""
LEARNING_RATE = Range(0, 10, above=True)


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
        "start_step": Range(0, MAX_STEPS),
        "every": Range(1, MAX_STEPS),
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
        "warmup_steps": Range(0, MAX_STEPS),
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
        "steps": Range(1, MAX_STEPS),
        "max_minutes": Range(0, 10**7),
        "seed": Range(0, 2**32 - 1),
        "mel_scales": Range(1, 7),
        "validate_every": Range(1, MAX_STEPS),
        "validation_clips": Range(1, 10**6),
        "patience": Range(0, MAX_STEPS),
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
        require(any(self.losses.values()), "losses must have at least one with a weight above 0")

    @property
    def crop_samples(self) -> int:
        """Samples of a training crop, a whole number of latent frames."""
        hop = self.codec.latent_hop
        return max(1, round(self.data.crop_s * self.codec.sample_rate / hop)) * hop

    @property
    def step_audio_s(self) -> float:
        """Seconds of audio in a training step."""
        return self.data.batch_size * self.crop_samples / self.codec.sample_rate
