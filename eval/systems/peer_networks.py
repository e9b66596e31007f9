"""Codecs with the networks and codebooks of peers, which our training loop can train.

- EnCodec: Euclidean codebooks that follow running means. A. Défossez et al., "High fidelity neural audio compression",
  2022.
- DAC: codebooks compared by angle in a few dimensions, learnt by gradients. R. Kumar et al., "High-fidelity audio
  compression with improved RVQGAN", 2023.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from codec.config import CodecConfig
from codec.model.codec_base import CodecBase, CodecOutput
from codec.model.quantizers.nearest import find_nearest, half_squared_norms
from codec.model.quantizers.quantized import Quantized
from codec.training.step import COMMITMENT_WEIGHT

_INITIAL_CROPS = 128
_KMEANS_ITERATIONS = 10
_ENCODEC_UNUSED = 0.4
"""EnCodec replaces entries used less than twice per batch: this share of an even count in a batch of 64 seconds."""


@dataclass(frozen=True)
class QuantizedResidual:
    """A residual, quantized by one codebook of a peer."""

    entry: Tensor
    """``[batch, features, frames]``, with the peer's gradient."""
    codes: Tensor
    """``[batch, frames]``."""
    loss: Tensor
    """``[batch]``, with the peer's own weights."""


class PeerQuantizer(nn.Module):
    """Residual quantization by a peer's own codebooks; like ours, each item of a batch uses its own number of them.

    Args:
        stages: codebooks of the peer's package.
    """

    def __init__(self, stages: Sequence[nn.Module]):
        super().__init__()
        self.stages = nn.ModuleList(stages)

    def continuous(self, latent: Tensor) -> Tensor:
        """Return the latents that the decoder would get without quantization.

        Args:
            latent: ``[batch, frames, features]``.

        Returns:
            The same latents.
        """
        return latent

    def forward(self, latent: Tensor, codebooks: Tensor) -> Quantized:
        """Quantize latents.

        Args:
            latent: ``[batch, frames, features]``.
            codebooks: ``[batch]``, number of codebooks that each item uses.

        Returns:
            Quantized latents, codes and loss.
        """
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

    def step(self, stage: nn.Module, residual: Tensor) -> QuantizedResidual:
        """Quantize a residual with one codebook.

        Args:
            stage: codebook of the peer's package.
            residual: ``[batch, features, frames]``.

        Returns:
            The entries, codes and loss.
        """
        raise NotImplementedError

    def initialise(self, latent: Tensor, generator: torch.Generator) -> None:
        """Initialise the codebooks; nothing is done if they start at random.

        Args:
            latent: ``[batch, frames, features]``, of training audio.
            generator: source of random numbers.
        """


class EncodecQuantizer(PeerQuantizer):
    """``encodec.quantization.core_vq.EuclideanCodebook``, stage after stage."""

    def step(self, stage: Any, residual: Tensor) -> QuantizedResidual:
        """Quantize a residual with one codebook, which follows it as a running mean.

        Args:
            stage: codebook of the package.
            residual: ``[batch, features, frames]``.

        Returns:
            The entries, codes and loss.
        """
        points = residual.transpose(1, 2)
        # their limit is a count; with other batches it has to be the share of an even count that it was with theirs
        stage.threshold_ema_dead_code = _ENCODEC_UNUSED * points.shape[0] * points.shape[1] / stage.codebook_size
        with torch.no_grad():
            entry, codes = stage(points.detach())
        loss = (points - entry).square().mean((1, 2))
        return QuantizedResidual((points + (entry - points).detach()).transpose(1, 2), codes, loss)

    @torch.no_grad()
    def initialise(self, latent: Tensor, generator: torch.Generator) -> None:
        """Initialise the codebooks by k-means, as the package does on the first batch.

        Args:
            latent: ``[batch, frames, features]``, of training audio.
            generator: source of random numbers.
        """
        residual = latent.flatten(0, 1)
        for stage in self.stages:
            book: Any = stage
            pick = torch.randint(len(residual), (book.codebook_size,), generator=generator).to(residual.device)
            centres = residual[pick]
            for _ in range(_KMEANS_ITERATIONS):
                codes = find_nearest(residual, centres, half_squared_norms(centres))[0]
                counts = torch.bincount(codes, minlength=len(centres))[:, None]
                means = torch.zeros_like(centres).index_add_(0, codes, residual) / counts.clamp(min=1)
                centres = torch.where(counts > 0, means, centres)
            for buffer in (book.embed, book.embed_avg):
                buffer.copy_(centres)
            book.cluster_size.fill_(1)
            residual = residual - centres[find_nearest(residual, centres, half_squared_norms(centres))[0]]


class DacQuantizer(PeerQuantizer):
    """``dac.nn.quantize.VectorQuantize``, stage after stage."""

    def step(self, stage: nn.Module, residual: Tensor) -> QuantizedResidual:
        """Quantize a residual with one codebook.

        Args:
            stage: codebook of the package.
            residual: ``[batch, features, frames]``.

        Returns:
            The entries, codes and loss.
        """
        entry, commitment, codebook, codes, _ = stage(residual)
        return QuantizedResidual(entry, codes, 0.25 * commitment + codebook)


class Peer(CodecBase):
    """A codec with the networks of a peer.

    Args:
        config: configuration of the recipe.
        encoder: waveforms ``[batch, 1, samples]`` to latents ``[batch, features, frames]``.
        quantizer: the peer's or ours.
        decoder: latents to waveforms.
    """

    def __init__(self, config: CodecConfig, encoder: nn.Module, quantizer: nn.Module, decoder: nn.Module):
        super().__init__()
        self.config = config
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder

    @torch.no_grad()
    def initialise(self, wave: Tensor, generator: torch.Generator) -> None:
        """Initialise the codebooks by k-means, if the quantizer does so; the networks stay as their package made them.

        Args:
            wave: ``[batch, 1, samples]``, training audio.
            generator: source of random numbers.
        """
        self.fit_codebooks(wave, generator)

    @torch.no_grad()
    def fit_codebooks(self, wave: Tensor, generator: torch.Generator) -> None:
        """Fit the codebooks by k-means, if the quantizer does so.

        Args:
            wave: ``[batch, 1, samples]``, training audio.
            generator: source of random numbers.
        """
        if isinstance(self.quantizer, DacQuantizer):
            return
        latent = torch.cat([self.encoder(part) for part in wave[:_INITIAL_CROPS].split(8)])
        self.quantizer.initialise(latent.transpose(1, 2), generator)  # type: ignore[operator]

    def draw_restarts(self, generator: torch.Generator) -> Tensor:
        """Draw the random numbers that :meth:`update_codebooks` needs for dead-code restarts.

        Args:
            generator: source of random numbers, on the CPU

        Returns:
            Numbers on the CPU, as many in each step.
        """
        peer = isinstance(self.quantizer, PeerQuantizer)
        return torch.empty(0) if peer else self.quantizer.draw_restarts(generator)  # type: ignore[operator]

    def update_codebooks(self, restarts: Tensor, finite: Tensor) -> Tensor:
        """Update our codebooks after a training step; those of a peer update themselves.

        Args:
            restarts: numbers that :meth:`draw_restarts` drew, on the device of the codec
            finite: False (scalar) if nothing is to change, because the step is skipped

        Returns:
            Number of dead-code restarts (scalar).
        """
        peer = isinstance(self.quantizer, PeerQuantizer)
        return finite.new_zeros(()) if peer else self.quantizer.update_codebooks(restarts, finite)  # type: ignore

    def forward(self, wave: Tensor, codebooks: Tensor | None = None, quantize: bool = True) -> CodecOutput:
        """Code and decode waveforms in training.

        Args:
            wave: ``[batch, 1, samples]``.
            codebooks: ``[batch]``, number of codebooks that each item uses; None: all.
            quantize: whether the decoder gets quantized latents; otherwise the continuous ones.

        Returns:
            Decoded waveforms and quantized latents.
        """
        if codebooks is None:
            codebooks = wave.new_full((len(wave),), self.config.quantizer.codebooks)
        with torch.autocast(wave.device.type, enabled=False):
            latent = self._latent(wave).float()
            quantized = self.quantizer(latent, codebooks)
            decodable = quantized.latent if quantize else self.quantizer.continuous(latent)  # type: ignore[operator]
        return CodecOutput(self._wave(decodable, wave.shape[-1]), quantized)

    def round_trip(self, wave: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Code and decode waveforms in evaluation.

        Args:
            wave: ``[batch, 1, samples]``.
            codebooks: number of codebooks to use.

        Returns:
            Decoded waveforms, and codes ``[batch, codebooks, frames]``.
        """
        if isinstance(self.quantizer, PeerQuantizer):
            output = self(wave, wave.new_full((len(wave),), codebooks))
            return output.waveform, output.quantized.codes[:, :codebooks]
        quantizer: Any = self.quantizer
        codes = quantizer.fused().encode(self._latent(wave), codebooks)[0]
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
