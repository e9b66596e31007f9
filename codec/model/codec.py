"""The codec: MDCT, encoder, quantizer, decoder, inverse MDCT, for one channel.

There is one path. Inference runs in canonical blocks of :data:`BLOCK` latent frames whose state is handed on, so that a
whole file, a stream cut anywhere and a batch are the same computation, product for product, and memory does not
depend on length. Training runs the same layers over a crop as one block.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.layers import Stack, State
from codec.model.quantizers import Quantized, build_quantizer
from codec.model.transform import MDCT

BLOCK = 64
"""Latent frames per canonical block: a multiple of 16, the number of rows from which matrix products of any size were
seen to agree bit for bit."""

SPREAD = 1.5
"""Range of an FSQ dimension in standard deviations of what it codes, at the start of training."""

EPSILON = 1e-4
"""Keeps the gradient of the power law finite at zero; -80 dB relative to a full-scale coefficient of 1."""


@dataclass(frozen=True)
class CodecOutput:
    """What training needs: ``wave`` ``[batch, 1, samples]`` and what the quantizer did."""

    wave: Tensor
    quantized: Quantized


def compress(x: Tensor, power: float) -> Tensor:
    """sign(x) ((|x| + e)^p - e^p): evens out the range of the coefficients."""
    return x.sign() * ((x.abs() + EPSILON) ** power - EPSILON**power)


def expand(y: Tensor, power: float) -> Tensor:
    """Inverse of :func:`compress`; the magnitude is bounded, so that no latent can make the output overflow."""
    return y.sign() * ((y.abs().clamp(max=32.0) + EPSILON**power) ** (1 / power) - EPSILON)


class Codec(nn.Module):
    """A neural audio codec for mono streams. See :mod:`codec.channels` for what becomes of several channels."""

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        per_latent = config.hop * config.frames_per_latent
        self.mdct = MDCT(config.hop)
        self.encoder = Stack(per_latent, config.quantizer.features, config.encoder)
        self.quantizer = build_quantizer(config.quantizer)
        self.decoder = Stack(config.quantizer.features, per_latent, config.decoder)

    @torch.no_grad()
    def initialise(self, wave: Tensor, generator: torch.Generator) -> None:
        """Makes the untrained codec a transform codec fitted to ``wave`` ``[batch, 1, samples]`` (some minutes of it).

        The direct paths become the Karhunen-Loève transform of the compressed MDCT coefficients, cut to the size of the
        latent, and its inverse; what the blocks add to them starts small. Codebooks start from k-means. Training from
        here reaches in a few hundred steps what takes thousands from random weights.
        """
        spectrum = self._spectrum(wave[:, 0, : wave.shape[-1] // self.config.latent_hop * self.config.latent_hop])
        features = spectrum.flatten(0, 1).double()
        power, directions = torch.linalg.eigh(features.T @ features / len(features))
        count = min(self.config.quantizer.features, len(power))
        scale = SPREAD * power.flip(0)[:count].clamp(min=1e-8).sqrt()
        directions = directions.flip(1)[:, :count]
        for stack in (self.encoder, self.decoder):
            stack.direct.weight.zero_()
            stack.last.weight.mul_(0.1)
            stack.last.bias.zero_()
        self.encoder.direct.weight[:count] = (directions / scale).T.float()
        self.decoder.direct.weight[:, :count] = (directions * scale).float()
        self.quantizer.initialise(self.encoder(spectrum, self.encoder.start(len(wave)))[0], generator)

    # --- the layers, as used by training and inference alike -------------------------------------

    def analyse(self, wave: Tensor, previous: Tensor, state: State) -> tuple[Tensor, State]:
        """``[batch, frames * latent_hop]`` samples to latents ``[batch, frames, features]``."""
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = self._spectrum(wave, previous)
        return self.encoder(spectrum, state)

    def _spectrum(self, wave: Tensor, previous: Tensor | None = None) -> Tensor:
        """Compressed MDCT coefficients, as many frames side by side as make a latent."""
        spectrum = compress(self.mdct.analysis(wave, previous), self.config.power)
        return spectrum.reshape(len(wave), -1, self.config.latent_hop)

    def synthesise(self, latent: Tensor, previous: Tensor, state: State) -> tuple[Tensor, Tensor, State]:
        """Latents to samples ``[batch, frames * latent_hop]``, the MDCT's state and the decoder's."""
        spectrum, state = self.decoder(latent, state)
        with torch.autocast(latent.device.type, enabled=False):
            coefficients = expand(spectrum.float(), self.config.power).unflatten(-1, (-1, self.config.hop))
            wave, previous = self.mdct.synthesis(coefficients.flatten(1, 2), previous)
        return wave, previous, state

    def forward(self, wave: Tensor, codebooks: Tensor | None = None) -> CodecOutput:
        """Codes and decodes ``[batch, 1, samples]`` in one block, with gradients.

        ``codebooks`` ``[batch]``: how many of them each item uses (default: all).
        """
        batch, _, samples = wave.shape
        if codebooks is None:
            codebooks = wave.new_full((batch,), self.config.quantizer.codebooks)
        padded = nn.functional.pad(wave[:, 0], (0, self.latents_for(samples) * self.config.latent_hop - samples))
        latent, _ = self.analyse(padded, self.mdct.start(batch), self.encoder.start(batch))
        with torch.autocast(wave.device.type, enabled=False):
            quantized = self.quantizer(latent.float(), codebooks)
        decoded, _, _ = self.synthesise(quantized.latent, self.mdct.start(batch), self.decoder.start(batch))
        return CodecOutput(decoded[:, None, self.config.hop : self.config.hop + samples], quantized)

    # --- coding ----------------------------------------------------------------------------------

    def latents_for(self, samples: int) -> int:
        """Latent frames that cover so many samples: the last MDCT frame must reach past the end."""
        if samples == 0:
            return 0
        return -(-(samples + self.config.hop) // self.config.latent_hop)

    @property
    def receptive_field(self) -> int:
        """Latent frames before a sample's own that its decoding depends on."""
        return self.decoder.history + 1

    def stream_encoder(self, batch: int = 1, codebooks: int | None = None) -> "StreamEncoder":
        """Encoder for ``batch`` streams side by side. ``codebooks``: how many of them to use (default: all)."""
        most = self.config.quantizer.codebooks
        if codebooks is not None and not 1 <= codebooks <= most:
            raise UserError(f"this model has 1 to {most} codebooks, not {codebooks}")
        return StreamEncoder(self, batch, codebooks or most)

    def stream_decoder(self, batch: int = 1) -> "StreamDecoder":
        return StreamDecoder(self, batch)

    def encode(self, wave: Tensor, codebooks: int | None = None) -> Tensor:
        """``[batch, 1, samples]`` in [-1, 1] at the model's rate to codes ``[batch, quantizers, frames]`` (int64)."""
        if wave.ndim != 3 or wave.shape[1] != 1:
            raise ValueError(f"expected a wave [batch, 1, samples], got {list(wave.shape)}; see codec.channels.fold")
        stream = self.stream_encoder(len(wave), codebooks)
        return torch.cat([stream.push(wave), stream.flush()], 2)

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Codes ``[batch, quantizers, frames]`` to ``[batch, 1, length]`` samples.

        ``length`` (default: all that the codes cover) is what the stream stored; the codes cover up to one latent
        frame more.
        """
        stream = self.stream_decoder(len(codes))
        return torch.cat([stream.push(codes), stream.flush()], 2)[..., :length]


class StreamEncoder:
    """Waves in pieces of any length to codes. ``push`` returns what is ready, ``flush`` the rest."""

    def __init__(self, codec: Codec, batch: int, codebooks: int):
        self.codec, self.codebooks = codec, codebooks
        self.waiting = codec.mdct.basis.new_zeros(batch, 0)
        self.previous = codec.mdct.start(batch)
        self.state = codec.encoder.start(batch)
        self.samples = self.frames = 0

    @torch.inference_mode()
    def push(self, wave: Tensor) -> Tensor:
        """``[batch, 1, samples]`` to codes ``[batch, quantizers, frames]``, ``frames`` being any number from 0 up."""
        self.samples += wave.shape[-1]
        self.waiting = torch.cat([self.waiting, wave[:, 0].to(self.waiting)], 1)
        size = BLOCK * self.codec.config.latent_hop
        whole = self.waiting.shape[1] // size * size
        codes = [self._encode(block) for block in self.waiting[:, :whole].split(size, 1) if whole]
        self.waiting = self.waiting[:, whole:]
        self.frames += BLOCK * len(codes)
        return torch.cat(codes, 2) if codes else self._nothing()

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """The codes of the last, partly filled block."""
        missing = self.codec.latents_for(self.samples) - self.frames
        if not missing:
            return self._nothing()
        size = BLOCK * self.codec.config.latent_hop
        rest = nn.functional.pad(self.waiting, (0, -(-missing // BLOCK) * size - self.waiting.shape[1]))
        return torch.cat([self._encode(block) for block in rest.split(size, 1)], 2)[..., :missing]

    def _encode(self, block: Tensor) -> Tensor:
        latent, self.state = self.codec.analyse(block, self.previous, self.state)
        self.previous = block[:, -self.codec.config.hop :]
        return self.codec.quantizer.encode(latent, self.codebooks)

    def _nothing(self) -> Tensor:
        return torch.zeros(len(self.waiting), self.codebooks, 0, dtype=torch.long, device=self.waiting.device)


class StreamDecoder:
    """Codes in pieces of any length to waves. ``push`` returns what is ready, ``flush`` the rest."""

    def __init__(self, codec: Codec, batch: int):
        self.codec = codec
        self.waiting: Tensor | None = None
        self.previous = codec.mdct.start(batch)
        self.state = codec.decoder.start(batch)
        self.started = False

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        """Codes ``[batch, quantizers, frames]`` to ``[batch, 1, samples]``, any number from 0 up."""
        codes = codes.to(self.previous.device)
        self.waiting = codes if self.waiting is None else torch.cat([self.waiting, codes], 2)
        whole = self.waiting.shape[2] // BLOCK * BLOCK
        waves = [self._decode(block) for block in self.waiting[..., :whole].split(BLOCK, 2) if whole]
        self.waiting = self.waiting[..., whole:]
        return self._join(waves)

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """The samples of the last, partly filled block."""
        frames = 0 if self.waiting is None else self.waiting.shape[2]
        if self.waiting is None or not frames:
            return self._join([])
        block = nn.functional.pad(self.waiting, (0, BLOCK - frames))
        hop, latent_hop = self.codec.config.hop, self.codec.config.latent_hop
        first = 0 if self.started else hop
        return self._decode(block)[:, None, : frames * latent_hop - first]

    def _decode(self, codes: Tensor) -> Tensor:
        latent = self.codec.quantizer.decode(codes)
        wave, self.previous, self.state = self.codec.synthesise(latent, self.previous, self.state)
        if not self.started:  # the first hop lies before the first sample
            self.started = True
            wave = wave[:, self.codec.config.hop :]
        return wave

    def _join(self, waves: list[Tensor]) -> Tensor:
        empty = self.previous.new_zeros(len(self.previous), 0)
        return torch.cat([empty, *waves], 1)[:, None]
