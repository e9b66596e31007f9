"""Small random models, and noise for them."""

from dataclasses import replace

import torch
from torch import Tensor

from codec.config import CodecConfig, NetworkConfig, QuantizerConfig
from codec.model.codec import Codec

RVQ = QuantizerConfig(codebooks=4, latent_dim=12, codebook_size=32, codebook_dim=4)
NARROW = replace(RVQ, latent_dim=6)
FSQ = QuantizerConfig(kind="fsq", codebooks=6, levels=(8, 5, 5), groups=2)


def make_codec(quantizer: QuantizerConfig, seed: int = 0) -> Codec:
    """Return a random model with 8 samples per MDCT frame and two MDCT frames per latent frame."""
    torch.manual_seed(seed)
    network = NetworkConfig(width=16, depth=2, kernel=3, expansion=2)
    config = CodecConfig(hop=8, frames_per_latent=2, encoder=network, decoder=network, quantizer=quantizer)
    return Codec(config).eval()


def noise_tensor(*shape: int, seed: int = 0) -> Tensor:
    """Return white Gaussian noise of standard deviation 0.3."""
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
