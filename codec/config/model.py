"""Architecture of a codec: :class:`CodecConfig` alone defines a model, and is stored with its weights."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from codec.config.ranges import SHARE, Range, check_settings, require

MAX_PARAMETERS = 10**9
"""Parameters of a model, about 4 GB."""
MAX_CODEBOOK_SIZE_WITH_CONTEXTS = 1 << 13
"""For larger codebooks, the tables of context scores would be most of the model."""


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
        require(self.size <= 1 << 20, f"a code of the quantizer can take at most 2^20 values, not {self.size:.3g}")
        require(
            self.contexts == 1 or self.size <= MAX_CODEBOOK_SIZE_WITH_CONTEXTS,
            f"quantizer.contexts must be 1 where a code has over {MAX_CODEBOOK_SIZE_WITH_CONTEXTS} values",
        )
        require(
            self.kind == "rvq" or self.codebooks % self.groups == 0,
            f"quantizer.codebooks ({self.codebooks}) must be a multiple of groups ({self.groups})",
        )
        require(
            self.kind == "rvq" or self.codebooks == self.groups or min(self.levels) >= 3,
            f"quantizer.levels must be at least 3 where a stage refines another, not {self.levels}",
        )

    @property
    def dimension(self) -> int:
        """Features of the latent that is quantized."""
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
        require(self.latent_hop <= 1 << 16, f"codec.hop times frames_per_latent must be at most {1 << 16}")
        require(
            self.numbers <= MAX_PARAMETERS,
            f"the codec would have {self.numbers:.3g} weights, at most {MAX_PARAMETERS:.3g} are possible; lower width,"
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
