"""The complexity of a codec: parameters and multiply-adds per second of audio."""

import warnings
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from codec.config import CodecConfig
from codec.training.module import CodecBuilder
from eval.systems.trainable_peers import PEERS, codec_builder

_COUNTED_LATENTS = 50


@dataclass(frozen=True)
class Complexity:
    """The complexity of a codec."""

    parameters: int
    gmacs: float
    """Encoding and decoding with all codebooks, in 10^9 multiply-adds per second of audio."""
    decoder_gmacs: float
    """The decoder's network only, in the same unit."""


@torch.no_grad()
def measure_complexity(build: CodecBuilder, config: CodecConfig) -> Complexity:
    """Count the matrix products and convolutions of an untrained codec over about a second.

    Args:
        build: function that builds the codec.
        config: its configuration.

    Returns:
        Parameters and multiply-adds.
    """
    codec = build(config).eval()
    samples = _COUNTED_LATENTS * config.latent_hop - config.hop  # our codec makes _COUNTED_LATENTS of these
    counter = FlopCounterMode(display=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other mkldnn settings, which are left as they are
        with torch.backends.mkldnn.flags(enabled=False), counter:  # mkldnn's LSTM would go uncounted
            codec(torch.zeros(1, 1, samples))
    per_flop = 0.5e-9 * config.frame_rate_hz / _COUNTED_LATENTS
    decoder = sum(counter.get_flop_counts()[f"{type(codec).__name__}.decoder"].values())
    return Complexity(
        sum(p.numel() for p in codec.parameters()), counter.get_total_flops() * per_flop, decoder * per_flop
    )


def matching_width(architecture: str, quantizer: str, config: CodecConfig, gmacs: float) -> int:
    """Find the width, up to the published one, at which the multiply-adds of a peer are nearest to a number.

    Args:
        architecture: a key of :data:`PEERS`.
        quantizer: "own" or "ours", see :func:`codec_builder`.
        config: configuration of the recipe.
        gmacs: the number, in 10^9 multiply-adds per second of audio.

    Returns:
        Width of the first layer.
    """

    def count(width: int) -> float:
        return measure_complexity(codec_builder(architecture, width, quantizer), config).gmacs

    low, high = 1, PEERS[architecture].width
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < gmacs else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - gmacs))
