"""Peers that can be trained with our loop and losses: their networks, untrained, from their own packages.

Each has its own quantizer, with as many codebooks as the recipe's, or ours. All code one latent for as many samples as
our recipe does, by their strides; the published ones code one for 320. Latents have as many features as the recipe's.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.quantizers import build_quantizer
from codec.runtime.extras import installed
from codec.training.module import CodecBuilder
from eval.systems.peer_installation import peer_install_command
from eval.systems.peer_networks import DacQuantizer, EncodecQuantizer, Peer

STRIDES = {
    prod(strides): strides
    for strides in ((8, 5, 3, 2), (8, 5, 4, 2), (8, 6, 5, 2), (8, 8, 4, 2), (8, 5, 4, 4), (9, 7, 7, 2))
}
"""Samples per latent to the decoder's strides; the encoder's are reversed."""
_DAC_DIM = 8


def _encodec(config: CodecConfig, width: int, own: bool) -> Peer:
    from encodec.modules.seanet import SEANetDecoder, SEANetEncoder
    from encodec.quantization.core_vq import EuclideanCodebook

    chosen, strides = config.quantizer, list(_strides(config))
    shape: dict[str, Any] = {"dimension": chosen.dimension, "n_filters": width, "ratios": strides, "causal": True}
    books = [EuclideanCodebook(chosen.dimension, chosen.size) for _ in range(chosen.codebooks if own else 0)]
    quantizer = EncodecQuantizer(books) if own else build_quantizer(chosen)
    return Peer(config, SEANetEncoder(**shape), quantizer, SEANetDecoder(**shape))


def _dac(config: CodecConfig, width: int, own: bool) -> Peer:
    from dac.model.dac import Decoder, Encoder, init_weights
    from dac.nn.quantize import VectorQuantize

    chosen, strides = config.quantizer, _strides(config)
    widest = 2 ** len(strides) * max(1, round(1.5 * width))  # 1536 at the published width of 64
    books = [VectorQuantize(chosen.dimension, chosen.size, _DAC_DIM) for _ in range(chosen.codebooks if own else 0)]
    quantizer = DacQuantizer(books) if own else build_quantizer(chosen)
    encoder, decoder = Encoder(width, strides[::-1], chosen.dimension), Decoder(chosen.dimension, widest, strides)
    for network in (encoder, decoder):
        network.apply(init_weights)
    return Peer(config, encoder, quantizer, decoder)


def _strides(config: CodecConfig) -> tuple[int, ...]:
    if config.latent_hop not in STRIDES:
        known = ", ".join(map(str, sorted(STRIDES)))
        raise UserError(f"peers have strides for {known} samples per latent, not {config.latent_hop}; change codec.hop")
    return STRIDES[config.latent_hop]


@dataclass(frozen=True)
class PeerPackage:
    """The package of a peer."""

    module: str
    install: str
    """Command that installs it."""
    width: int
    """Published width of the first layer."""
    build: Callable[[CodecConfig, int, bool], Peer]

    @property
    def absent(self) -> bool:
        """True if it is not installed."""
        return not installed(self.module)


PEERS = {
    "encodec": PeerPackage("encodec", peer_install_command("encodec"), 32, _encodec),
    "dac": PeerPackage("dac", peer_install_command("descript-audio-codec"), 64, _dac),
}


def codec_builder(architecture: str, width: int, quantizer: str = "own") -> CodecBuilder:
    """Return a function that builds an untrained codec from a configuration.

    Args:
        architecture: "ours", whose widths are in the configuration, or a key of :data:`PEERS`.
        width: width of a peer's first layer.
        quantizer: quantizer of a peer: "own", or "ours" with the configuration's settings.

    Returns:
        The function.
    """
    if architecture == "ours":
        return Codec

    def build(config: CodecConfig) -> Peer:
        import eval.systems.torchaudio_compat  # noqa: F401  # the peers import torchaudio, which needs it on some machines

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that parts of torch which the packages use have newer versions
            return PEERS[architecture].build(config, width, quantizer == "own")

    return build
