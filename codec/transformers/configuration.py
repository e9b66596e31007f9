"""The architecture of a codec as a configuration of transformers, with the names that ``EncodecConfig`` has."""

import math
from typing import Any

from transformers import PreTrainedConfig

from codec.config import CodecConfig
from codec.pretrained.model_folder import MODEL_TYPE


class LatheConfig(PreTrainedConfig):
    """Architecture of a codec.

    Args:
        codec: the architecture, as ``config.json`` in the folder of a model holds it under this name
        **kwargs: other settings of transformers
    """

    model_type = MODEL_TYPE

    def __init__(self, codec: dict[str, Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.codec = CodecConfig.from_dict(codec).to_dict() if codec else CodecConfig().to_dict()

    @property
    def architecture(self) -> CodecConfig:
        """The architecture."""
        return CodecConfig.from_dict(self.codec)

    @property
    def sampling_rate(self) -> int:
        """Sample rate in Hz."""
        return self.architecture.sample_rate

    @property
    def audio_channels(self) -> int:
        """Channels of an item of a batch."""
        return 1

    @property
    def normalize(self) -> bool:
        """Whether the level of the input is normalised: it is not."""
        return False

    @property
    def chunk_length_s(self) -> float | None:
        """Length of the chunks in which audio is coded: audio is not cut."""
        return None

    @property
    def hidden_size(self) -> int:
        """Dimension of the latents."""
        return self.architecture.quantizer.dimension

    @property
    def hop_length(self) -> int:
        """Samples per frame of codes."""
        return self.architecture.latent_hop

    @property
    def frame_rate(self) -> int:
        """Frames of codes per second, rounded up."""
        return math.ceil(self.sampling_rate / self.hop_length)

    @property
    def codebook_size(self) -> int:
        """Entries of each codebook."""
        return self.architecture.quantizer.size

    @property
    def num_quantizers(self) -> int:
        """Number of codebooks."""
        return self.architecture.quantizer.codebooks

    @property
    def target_bandwidths(self) -> list[float]:
        """Nominal bit rates in kbit/s of one channel with 1, 2, … codebooks.

        As for EnCodec, they count log2(size) bits per code. Entropy coding, which ``.nac`` files have, needs fewer.
        """
        bits = math.log2(self.codebook_size) * self.architecture.frame_rate_hz / 1000
        return [round(count * bits, 6) for count in range(1, self.num_quantizers + 1)]
