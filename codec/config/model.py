"""Architecture of a codec: :class:`CodecConfig` alone defines a model, and is stored with its weights."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Literal

from codec.config.ranges import SHARE, Range, check_setting, check_settings

MAX_PARAMETERS = 10**9
"""Parameters of a model, about 4 GB."""
MAX_CODEBOOK_SIZE_WITH_CONTEXTS = 1 << 13
"""For larger codebooks, the tables of context scores would be larger than the rest of the model."""


@dataclass(frozen=True)
class QuantizerConfig:
    """Residual quantizer: each codebook quantizes the error of the codebooks before it."""

    kind: Literal["rvq", "fsq"] = "rvq"
    """Residual vector quantization, or residual finite scalar quantization."""
    codebooks: int = 12
    """Number of codebooks. Each adds its bits to the highest bit rate; files may use fewer."""
    latent_dim: int = 64
    """Dimension of the latent (rvq). With fsq it is the number of levels times the number of groups."""
    codebook_size: int = 1024
    """Entries per codebook (rvq)."""
    codebook_dim: int = 16
    """Dimension of the space that entries are looked up in (rvq)."""
    levels: tuple[int, ...] = (8, 5, 5, 5)
    """Number of levels of each dimension (fsq); the codebook size is their product."""
    groups: int = 1
    """Number of parts of the latent, each with ``codebooks / groups`` residual stages (fsq)."""
    full_rate_share: float = 0.5
    """Share of the training items that are coded with all codebooks; the others use a random number of them."""
    frame_weights: Literal["level", "learned"] = "level"
    """Weights of frames by which codes are selected: a fixed power of the level, or learnt (rvq)."""
    contexts: int = 32
    """Number of context classes; a codebook has a frequency table for each. 1: no contexts."""

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
        check_setting(
            self.size <= 1 << 20, f"a code of the quantizer can take at most 2^20 values, not {self.size:.3g}"
        )
        check_setting(
            self.contexts == 1 or self.size <= MAX_CODEBOOK_SIZE_WITH_CONTEXTS,
            f"quantizer.contexts must be 1 if a code has more than {MAX_CODEBOOK_SIZE_WITH_CONTEXTS} values",
        )
        check_setting(
            self.kind == "rvq" or self.frame_weights == "level", "quantizer.frame_weights can be learned with rvq alone"
        )
        check_setting(
            self.kind == "rvq" or self.codebooks % self.groups == 0,
            f"quantizer.codebooks ({self.codebooks}) must be a multiple of groups ({self.groups})",
        )
        check_setting(
            self.kind == "rvq" or self.codebooks == self.groups or min(self.levels) >= 3,
            f"quantizer.levels must be at least 3 if there are several stages, not {self.levels}",
        )

    @property
    def dimension(self) -> int:
        """Dimension of the latent vectors that are quantized."""
        return self.latent_dim if self.kind == "rvq" else self.groups * len(self.levels)

    @property
    def size(self) -> int:
        """Codebook size: number of values of a code."""
        return self.codebook_size if self.kind == "rvq" else math.prod(self.levels)


@dataclass(frozen=True)
class NetworkConfig:
    """A stack of causal ConvNeXt blocks."""

    width: int = 256
    """Channels of each block."""
    depth: int = 3
    """Number of blocks."""
    kernel: int = 7
    """Kernel size in frames: the current frame and those before it."""
    expansion: int = 3
    """Factor by which a block widens its channels inside."""
    dropout: float = 0.0
    """Share of the channels that are dropped at random in training."""

    RANGES: ClassVar[dict[str, Range]] = {
        "width": Range(1, 1 << 16),
        "depth": Range(1, 1000),
        "kernel": Range(1, 4096),
        "expansion": Range(1, 64),
        "dropout": Range(0, 1, below=True),
    }

    def __post_init__(self) -> None:
        check_settings("", self, self.RANGES)

    @property
    def history(self) -> int:
        """Frames into the past that an output depends on."""
        return self.depth * (self.kernel - 1)

    def count_parameters(self, features_in: int, features_out: int) -> int:
        """Count the weights of such a network, without biases and normalisations, which are few.

        Args:
            features_in: input features per frame
            features_out: output features per frame

        Returns:
            Number of weights.
        """
        block = self.width * (self.kernel + 2 * self.expansion * self.width)
        return self.depth * block + (features_in + features_out) * self.width + features_in * features_out


@dataclass(frozen=True)
class CodecConfig:
    """Architecture of a codec."""

    sample_rate: int = 16000
    """Sample rate in Hz; the data must be prepared at this rate."""
    hop: int = 160
    """MDCT hop length in samples, which is also the number of coefficients of a frame."""
    frames_per_latent: int = 2
    """Temporal downsampling factor: number of MDCT frames per latent frame."""
    power: float = 0.6
    """Compression exponent of the MDCT coefficients."""
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
        check_setting(self.latent_hop <= 1 << 16, f"codec.hop times frames_per_latent must be at most {1 << 16}")
        check_setting(
            self.parameter_count <= MAX_PARAMETERS,
            f"the codec would have {self.parameter_count:.3g} weights, at most {MAX_PARAMETERS:.3g} are possible; lower"
            " width, depth, expansion or the quantizer's sizes",
        )

    @property
    def parameter_count(self) -> int:
        """Number of weights and table entries of such a codec, or somewhat fewer."""
        quantizer = self.quantizer
        entries = quantizer.codebooks * min(quantizer.codebook_dim, quantizer.dimension) * quantizer.size
        tables = quantizer.codebooks * quantizer.contexts * quantizer.size
        return self.trained_count + (entries if quantizer.kind == "rvq" else 0) + tables

    @property
    def trained_count(self) -> int:
        """Number of weights that gradients train, or somewhat fewer."""
        quantizer, hop, features = self.quantizer, self.latent_hop, self.quantizer.dimension
        networks = self.encoder.count_parameters(hop, features) + self.decoder.count_parameters(features, hop)
        projections = quantizer.codebooks * min(quantizer.codebook_dim, features) * features
        return networks + (projections if quantizer.kind == "rvq" else 0)

    @property
    def latent_hop(self) -> int:
        """Hop length of the latent frames in samples."""
        return self.hop * self.frames_per_latent

    @property
    def frame_rate_hz(self) -> float:
        """Latent frames per second."""
        return self.sample_rate / self.latent_hop

    def frames_for(self, samples: int) -> int:
        """Count the latent frames of a waveform.

        Args:
            samples: length of the waveform

        Returns:
            The number of frames: the last MDCT frame must reach beyond the end of the waveform.

        >>> CodecConfig(hop=160, frames_per_latent=2).frames_for(3200)
        11
        """
        return -(-(samples + self.hop) // self.latent_hop) if samples else 0

    def samples_of(self, frames: int) -> int:
        """Count the samples that latent frames cover.

        Args:
            frames: number of frames

        Returns:
            The length of the longest waveform with so many frames.

        >>> CodecConfig(hop=160, frames_per_latent=2).samples_of(11)
        3360
        """
        return max(0, frames * self.latent_hop - self.hop)

    @property
    def bits_per_code(self) -> int:
        """Bits of a code of fixed width."""
        return math.ceil(math.log2(self.quantizer.size))

    @property
    def kbps_per_codebook(self) -> float:
        """Nominal bit rate of one codebook for one channel, in kbit/s."""
        return self.frame_rate_hz * self.bits_per_code / 1000

    @property
    def latency_ms(self) -> float:
        """Algorithmic latency: ``frames_per_latent + 1`` MDCT hops."""
        return 1000 * (self.frames_per_latent + 1) * self.hop / self.sample_rate

    def text(self) -> str:
        """Describe what the codec will be, in one line.

        Returns:
            Sample rate, nominal bit rates of one channel, frame rate, latency and number of parameters.

        >>> CodecConfig(sample_rate=16000, hop=320, frames_per_latent=1).text()
        '16 kHz, nominal 0.5 to 6 kbit/s, 50 frames per second, latency 40 ms, 5.0 M parameters'
        """
        step = self.kbps_per_codebook
        parts = (
            f"{self.sample_rate / 1000:g} kHz",
            f"nominal {step:.3g} to {step * self.quantizer.codebooks:.3g} kbit/s",
            f"{self.frame_rate_hz:g} frames per second",
            f"latency {self.latency_ms:g} ms",
            f"{self.trained_count / 1e6:.1f} M parameters",
        )
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """Return the configuration as plain values, from which fingerprints are computed.

        Returns:
            Nested dictionaries. ``contexts`` and ``frame_weights`` are left out where they are as in models that are
            older than these settings, which keep their fingerprints.
        """
        values = asdict(self)
        if self.quantizer.contexts == 1:
            del values["quantizer"]["contexts"]
        if self.quantizer.frame_weights == "level":
            del values["quantizer"]["frame_weights"]
        return values

    @staticmethod
    def from_dict(values: dict[str, Any]) -> "CodecConfig":
        """Make a configuration from plain values.

        Args:
            values: as :meth:`to_dict` returns them, also after a round trip through JSON

        Returns:
            The configuration.

        Raises:
            UserError: a value is out of range.
            KeyError, TypeError: a value is missing or unknown.

        >>> CodecConfig.from_dict(CodecConfig(hop=320).to_dict()) == CodecConfig(hop=320)
        True
        """
        values = dict(values)
        quantizer = {"contexts": 1} | values.pop("quantizer")
        quantizer["levels"] = tuple(quantizer["levels"])
        return CodecConfig(
            encoder=NetworkConfig(**values.pop("encoder")),
            decoder=NetworkConfig(**values.pop("decoder")),
            quantizer=QuantizerConfig(**quantizer),
            **values,
        )
