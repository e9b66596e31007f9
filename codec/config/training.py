"""Settings of a training: optimiser, discriminator, schedule; and the recipe that holds all settings."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from codec.config.data import AugmentConfig, DataConfig, TargetConfig
from codec.config.model import CodecConfig
from codec.config.ranges import SHARE, Range, check_setting, check_settings

MAX_STEPS = 10**9
WEIGHT = Range(0, 10**6)
"""Weight of a term in the loss."""
LEARNING_RATE = Range(0, 10, above=True)


@dataclass(frozen=True)
class AdversarialConfig:
    """Discriminator and adversarial losses; off unless ``weight`` is above 0."""

    weight: float = 0.0
    """Weight of the adversarial loss in the codec's loss."""
    feature_weight: float = 2.0
    """Weight of feature matching: the distance between the discriminator's features of original and decoded audio."""
    loss: Literal["least_squares", "hinge", "bce"] = "least_squares"
    """Kind of the adversarial loss."""
    start_step: int = 0
    """Step from which the discriminator takes part; before, there are the losses of ``losses`` alone."""
    every: int = 1
    """Interval in steps between steps of the discriminator."""
    lr: float = 2e-4
    """Highest learning rate of the discriminator; warm-up and decay are those of the codec."""
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
    """Optimiser (AdamW) and its schedule."""

    lr: float = 1e-3
    """Highest learning rate; ``codec train --lr-range-test`` suggests one."""
    betas: tuple[float, float] = (0.8, 0.99)
    """Decay of the running means of gradients and of their squares (AdamW)."""
    warmup_steps: int = 100
    """Number of steps over which the learning rate rises to ``lr``."""
    final_lr_ratio: float = 0.05
    """Learning rate at the last step as a share of ``lr``; in between it falls along a cosine."""
    skip_lr_ratio: float = 0.0
    """Learning rate of the linear skip paths relative to ``lr``; 0: they stay as they were initialised."""
    l2: float = 0.0
    """Decoupled weight decay (AdamW)."""
    l1: float = 0.0
    """Factor of an additional loss, the mean absolute value of the weights."""
    clip_norm: float = 1.0
    """Largest gradient norm; larger gradients are scaled down to it."""
    ema_decay: float = 0.999
    """Decay per step of the exponential moving average (EMA) of the weights, which is evaluated and saved."""

    RANGES: ClassVar[dict[str, Range]] = {
        "lr": LEARNING_RATE,
        "betas": Range(0, 1, below=True),
        "warmup_steps": Range(0, MAX_STEPS),
        "final_lr_ratio": SHARE,
        "skip_lr_ratio": Range(0, 100),
        "l2": Range(0, 1000),
        "l1": WEIGHT,
        "clip_norm": Range(0, 10**9, above=True),
        "ema_decay": Range(0, 1, below=True),
    }

    def __post_init__(self) -> None:
        check_settings("optim", self, self.RANGES)


@dataclass(frozen=True)
class TrainConfig:
    """Duration, precision and validation."""

    steps: int = 100_000
    """Number of training steps."""
    max_minutes: float = 0.0
    """Time limit in minutes, validations not included; 0: no limit."""
    seed: int = 0
    """Seed of all random numbers: weights, crops, augmentation."""
    rates: Literal["uniform", "log_uniform"] = "uniform"
    """Distribution of the numbers of codebooks that training draws; ``log_uniform`` favours low bit rates."""
    mel_scales: int = 7
    """Number of scales of the mel loss in a step, drawn at random. Fewer cost less, with the same expectation."""
    precision: Literal["32", "bf16"] = "32"
    """Precision of the computation; ``bf16`` is faster on recent GPUs."""
    accumulate: int = 1
    """Gradient accumulation: number of equal parts in which each process computes its share of a batch, one after the
    other, so that a batch that exceeds the memory fits. Which codes low bit rates drop is decided within a part."""
    compile: bool = False
    """Compile the codec with ``torch.compile``."""
    cuda_graph: bool = False
    """Record training steps as CUDA graphs, which a GPU repeats without waiting for the program; without a GPU they are
    computed as usual."""
    unquantized_share: float = 0.0
    """Share of the run, at its beginning, in which the decoder gets the latent without quantization. Validations
    quantize it nevertheless. Codebooks follow the latent, and are fitted to it anew at the end of this phase."""
    validate_every: int = 1000
    """Steps between validations. If there would be fewer than three, ``codec train`` uses a tenth of the run."""
    validation_clips: int = 64
    """Number of crops of each split in a validation."""
    patience: int = 0
    """Early stopping: number of validations in a row without improvement that end the run; 0: never."""
    rollbacks: int = 0
    """How often a run whose loss diverges goes back to its best validation, each time with half the learning rate,
    before it ends with an error."""
    stop_on_collapse: bool = False
    """Stop when less than a tenth of the entries of a codebook is in use."""
    freeze_encoder: bool = False
    """Train the decoder alone, so that files of the earlier model stay decodable (with ``--init-from``)."""

    RANGES: ClassVar[dict[str, Range]] = {
        "steps": Range(1, MAX_STEPS),
        "max_minutes": Range(0, 10**7),
        "seed": Range(0, 2**32 - 1),
        "mel_scales": Range(1, 7),
        "accumulate": Range(1, 65_536),
        "unquantized_share": Range(0, 1, below=True),
        "validate_every": Range(1, MAX_STEPS),
        "validation_clips": Range(1, 10**6),
        "patience": Range(0, MAX_STEPS),
        "rollbacks": Range(0, 100),
    }

    def __post_init__(self) -> None:
        check_settings("train", self, self.RANGES)
        check_setting(
            not (self.freeze_encoder and self.unquantized_share),
            "train.unquantized_share must be 0 with train.freeze_encoder, which keeps the codebooks as they are",
        )


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run except for the data."""

    codec: CodecConfig = field(default_factory=CodecConfig)
    data: DataConfig = field(default_factory=DataConfig)
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    losses: dict[str, float] = field(default_factory=lambda: {"l1": 1.0, "mel": 1.0})
    """Weight of each loss by name; 0: it is only computed and recorded."""
    adversarial: AdversarialConfig = field(default_factory=AdversarialConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
    target: TargetConfig = field(default_factory=TargetConfig)
    logger: Literal["auto", "none", "tensorboard", "csv", "wandb", "mlflow", "trackio"] = "auto"
    """Logger that gets the values of ``metrics.csv`` as well; ``auto``: TensorBoard, if it is installed."""

    RANGES: ClassVar[dict[str, Range]] = {"losses": WEIGHT}

    def __post_init__(self) -> None:
        check_settings("", self, self.RANGES)
        check_setting(any(self.losses.values()), "losses must have at least one with a weight above 0")

    @property
    def crop_samples(self) -> int:
        """Samples of a training crop, a whole number of latent frames."""
        hop = self.codec.latent_hop
        return max(1, round(self.data.crop_s * self.codec.sample_rate / hop)) * hop

    @property
    def step_audio_s(self) -> float:
        """Seconds of audio in a training step."""
        return self.data.batch_size * self.crop_samples / self.codec.sample_rate
