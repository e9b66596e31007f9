"""Peers' networks, untrained, from their own packages, so that they can be trained with our loop and losses.

- ``encodec``: SEANet, causal, with its LSTM; Euclidean codebooks that follow running means. A. Défossez et al., "High
  fidelity neural audio compression", 2022.
- ``dac``: codebooks compared by angle in a few dimensions, learnt by gradients. R. Kumar et al., "High-fidelity audio
  compression with improved RVQGAN", 2023.

Each has its own quantizer, with as many codebooks as the recipe's, or ours. Both code one latent for as many samples as
our recipe does, by their strides; the published ones at 320. The features of their latent are those of the recipe's
quantizer.
"""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.codec import Codec, CodecBase, CodecOutput
from codec.model.quantizers import Quantized, build_quantizer, half_square, nearest
from codec.runtime.extras import installed
from codec.training.module import COMMITMENT_WEIGHT, CodecBuilder
from eval.systems.peer_installation import peer_install_command

STRIDES = {
    prod(strides): strides
    for strides in ((8, 5, 3, 2), (8, 5, 4, 2), (8, 6, 5, 2), (8, 8, 4, 2), (8, 5, 4, 4), (9, 7, 7, 2))
}
"""Samples per latent: the decoder's strides, the encoder's reversed."""
COUNTED_LATENTS = 50
INITIAL_CROPS = 128
KMEANS_ITERATIONS = 10
ENCODEC_UNUSED = 0.4
"""EnCodec replaces entries used less than twice per batch: this share of an even count in a batch of 64 seconds."""
DAC_DIM = 8


@dataclass(frozen=True)
class Step:
    """What one codebook of a peer made of a residual ``[batch, features, frames]``: ``entry`` like it, with the peer's
    gradient; codes ``[batch, frames]``; ``loss`` ``[batch]``, with the peer's own weights."""

    entry: Tensor
    codes: Tensor
    loss: Tensor


class PeerQuantizer(nn.Module):
    """Residual quantization by a peer's own codebooks; like ours, item by item with as many of them as it is told."""

    def __init__(self, stages: Sequence[nn.Module]):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        residual = latent.transpose(1, 2)
        total, codes, loss = torch.zeros_like(residual), [], latent.new_zeros(())
        for index, stage in enumerate(self.stages):
            used = (index < codebooks).to(latent.dtype)
            step = self.step(stage, residual)
            total = total + step.entry * used[:, None, None]
            residual = residual - step.entry.detach()
            codes.append(step.codes)
            loss = loss + (step.loss * used).mean()
        return Quantized(
            total.transpose(1, 2), torch.stack(codes, 1), loss / COMMITMENT_WEIGHT
        )  # which our loop applies

    def step(self, stage: nn.Module, residual: Tensor) -> Step:
        raise NotImplementedError

    def initialise(self, latent: Tensor, generator: torch.Generator) -> None:
        """Nothing, where codebooks start at random."""


class EncodecQuantizer(PeerQuantizer):
    """``encodec.quantization.core_vq.EuclideanCodebook``, stage after stage."""

    def step(self, stage: Any, residual: Tensor) -> Step:
        points = residual.transpose(1, 2)
        # their limit is a count; with other batches it has to be the share of an even count that it was with theirs
        stage.threshold_ema_dead_code = ENCODEC_UNUSED * points.shape[0] * points.shape[1] / stage.codebook_size
        with torch.no_grad():
            entry, codes = stage(points.detach())
        loss = (points - entry).square().mean((1, 2))
        return Step((points + (entry - points).detach()).transpose(1, 2), codes, loss)

    @torch.no_grad()
    def initialise(self, latent: Tensor, generator: torch.Generator) -> None:
        """K-means, as theirs do on their first batch."""
        residual = latent.flatten(0, 1)
        for stage in self.stages:
            book: Any = stage
            pick = torch.randint(len(residual), (book.codebook_size,), generator=generator).to(residual.device)
            centres = residual[pick]
            for _ in range(KMEANS_ITERATIONS):
                codes = nearest(residual, centres.T, half_square(centres))[0]
                counts = torch.bincount(codes, minlength=len(centres))[:, None]
                means = torch.zeros_like(centres).index_add_(0, codes, residual) / counts.clamp(min=1)
                centres = torch.where(counts > 0, means, centres)
            for buffer in (book.embed, book.embed_avg):
                buffer.copy_(centres)
            book.cluster_size.fill_(1)
            residual = residual - centres[nearest(residual, centres.T, half_square(centres))[0]]


class DacQuantizer(PeerQuantizer):
    """``dac.nn.quantize.VectorQuantize``, stage after stage."""

    def step(self, stage: nn.Module, residual: Tensor) -> Step:
        entry, commitment, codebook, codes, _ = stage(residual)
        return Step(entry, codes, 0.25 * commitment + codebook)


class Peer(CodecBase):
    """Waveform to latents and back by two networks that work on ``[batch, features, frames]``."""

    def __init__(self, config: CodecConfig, encoder: nn.Module, quantizer: nn.Module, decoder: nn.Module):
        super().__init__()
        self.config = config
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder

    @torch.no_grad()
    def initialise(self, wave: Tensor, generator: torch.Generator) -> None:
        """Codebooks start from k-means where they do so in training; the networks as their package made them."""
        if isinstance(self.quantizer, DacQuantizer):
            return
        latent = torch.cat([self.encoder(part) for part in wave[:INITIAL_CROPS].split(8)])
        self.quantizer.initialise(latent.transpose(1, 2), generator)  # type: ignore[operator]

    def update_codebooks(self, generator: torch.Generator) -> int:
        return 0 if isinstance(self.quantizer, PeerQuantizer) else self.quantizer.update_codebooks(generator)  # type: ignore

    def forward(self, wave: Tensor, codebooks: Tensor | None = None) -> CodecOutput:
        if codebooks is None:
            codebooks = wave.new_full((len(wave),), self.config.quantizer.codebooks)
        with torch.autocast(wave.device.type, enabled=False):
            quantized = self.quantizer(self._latent(wave).float(), codebooks)
        return CodecOutput(self._wave(quantized.latent, wave.shape[-1]), quantized)

    def round_trip(self, wave: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        if isinstance(self.quantizer, PeerQuantizer):
            output = self(wave, wave.new_full((len(wave),), codebooks))
            return output.wave, output.quantized.codes[:, :codebooks]
        quantizer: Any = self.quantizer
        codes = quantizer.fused().encode(self._latent(wave), codebooks).codes
        return self._wave(quantizer.fused().decode(codes), wave.shape[-1]), codes

    def _latent(self, wave: Tensor) -> Tensor:
        padded = nn.functional.pad(wave, (0, -wave.shape[-1] % self.config.latent_hop))
        return self.encoder(padded).transpose(1, 2)

    def _wave(self, latent: Tensor, samples: int) -> Tensor:
        decoded = self.decoder(latent.transpose(1, 2))
        # odd strides lose a few samples, half of them at either end
        missing = latent.shape[1] * self.config.latent_hop - decoded.shape[-1]
        decoded = nn.functional.pad(decoded, (missing // 2, missing - missing // 2))
        return decoded[..., :samples].float()


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
    books = [VectorQuantize(chosen.dimension, chosen.size, DAC_DIM) for _ in range(chosen.codebooks if own else 0)]
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
    """``width``: as published; ``install``: what to run where ``module`` is absent."""

    module: str
    install: str
    width: int
    build: Callable[[CodecConfig, int, bool], Peer]

    @property
    def absent(self) -> bool:
        return not installed(self.module)


PEERS = {
    "encodec": PeerPackage("encodec", peer_install_command("encodec"), 32, _encodec),
    "dac": PeerPackage("dac", peer_install_command("descript-audio-codec"), 64, _dac),
}


def builder(architecture: str, width: int, quantizer: str = "own") -> CodecBuilder:
    """What makes the untrained codec: ours, whose widths stand in the recipe, or a peer ``width`` wide, with its own
    quantizer or ours."""
    if architecture == "ours":
        return Codec

    def build(config: CodecConfig) -> Peer:
        import eval.systems.torchaudio_compat  # noqa: F401  # the peers import torchaudio, which needs it on some machines

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that parts of torch which the packages use have newer versions
            return PEERS[architecture].build(config, width, quantizer == "own")

    return build


# --- what it costs ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cost:
    """Of coding and decoding with all codebooks, in 10^9 multiply-adds per second of audio; ``decoder_gmacs``: the
    decoder's network alone."""

    parameters: int
    gmacs: float
    decoder_gmacs: float


@torch.no_grad()
def cost(build: CodecBuilder, config: CodecConfig) -> Cost:
    """Counts the matrix products and convolutions of an untrained codec over a second or so."""
    codec = build(config).eval()
    samples = COUNTED_LATENTS * config.latent_hop - config.hop  # which ours covers with just so many latents
    counter = FlopCounterMode(display=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of other mkldnn settings, which are left as they are
        with torch.backends.mkldnn.flags(enabled=False), counter:  # mkldnn's LSTM would go uncounted
            codec(torch.zeros(1, 1, samples))
    per_flop = 0.5e-9 * config.frame_rate_hz / COUNTED_LATENTS
    decoder = sum(counter.get_flop_counts()[f"{type(codec).__name__}.decoder"].values())
    return Cost(sum(p.numel() for p in codec.parameters()), counter.get_total_flops() * per_flop, decoder * per_flop)


def matching_width(architecture: str, quantizer: str, config: CodecConfig, gmacs: float) -> int:
    """The width, up to the published one, at which a peer's multiply-adds come nearest to ``gmacs``."""

    def count(width: int) -> float:
        return cost(builder(architecture, width, quantizer), config).gmacs

    low, high = 1, PEERS[architecture].width
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < gmacs else (low, middle)
    return min((low, high), key=lambda width: abs(count(width) - gmacs))
