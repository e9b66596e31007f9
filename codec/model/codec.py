"""The codec: MDCT, encoder, quantizer, decoder, inverse MDCT, for one channel.

There is one path. Inference runs in canonical blocks whose state is handed on, see :mod:`codec.model.streaming`;
training
runs the same layers over a crop as one block.
"""

from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.convnext import Stack, StreamState
from codec.model.frequency_tables import FrequencyTables
from codec.model.mdct import MDCT
from codec.model.quantizers import (
    CodesWithImportance,
    InferenceQuantizer,
    Quantized,
    Quantizer,
    Unquantized,
    build_quantizer,
)
from codec.model.streaming import BLOCK, DecodingStep, EncodingStep, StreamDecoder, StreamEncoder

MIN_RELATIVE_SCALE = 0.02
"""Of a coefficient, relative to all: those that the data hardly has must not be divided by nothing."""

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


class InferenceBackend(Protocol):
    """What computes the blocks of streams of codes in the place of a codec's layers."""

    def encoding(self, step: "EncodeStep") -> EncodingStep:
        """In the place of this step."""

    def decoding(self, step: "DecodeStep") -> DecodingStep:
        """In the place of this step."""


class CodecBase(nn.Module):
    """What training needs of a codec. :class:`Codec` is the one that this library knows; another architecture that is
    trained for comparison offers the same.

    ``decodes``: fingerprints of other models whose codes it understands, for it was made from them by training the
    decoder alone.
    """

    config: CodecConfig
    encoder: nn.Module
    quantizer: nn.Module
    decoder: nn.Module
    decodes: tuple[str, ...] = ()

    def initialise(self, wave: Tensor, generator: torch.Generator) -> None:
        """Fits the first weights to ``wave`` ``[batch, 1, samples]``, as far as the architecture permits."""
        raise NotImplementedError

    def update_codebooks(self, generator: torch.Generator) -> int:
        """After a step: what learns from the last batch without gradients. Returns how many entries of codebooks were
        replaced."""
        raise NotImplementedError

    def forward(self, wave: Tensor, codebooks: Tensor | None = None) -> CodecOutput:
        """Codes and decodes ``[batch, 1, samples]`` with gradients.

        ``codebooks`` ``[batch]``: how many of them the frames of each item use on average (default: all).
        """
        raise NotImplementedError

    def round_trip(self, wave: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Codes and decodes ``[batch, 1, samples]`` with so many codebooks in each frame: the decoded wave, and the
        codes ``[batch, codebooks, frames]``."""
        raise NotImplementedError


class Codec(CodecBase):
    """A neural audio codec for mono streams. See :mod:`codec.audio.channels` for what becomes of several channels.

    ``spread`` is the typical size of each compressed coefficient: what the networks see and say is relative to it, so
    that a step of training moves quiet high frequencies as much as loud low ones. ``steps``, where there are any,
    compute in the place of the layers.
    """

    spread: Tensor
    encoder: Stack
    quantizer: Quantizer
    decoder: Stack

    def __init__(self, config: CodecConfig):
        super().__init__()
        self.config = config
        self.backend: InferenceBackend | None = None
        per_latent = config.hop * config.frames_per_latent
        self.mdct = MDCT(config.hop)
        self.register_buffer("spread", torch.ones(per_latent))
        self.encoder = Stack(per_latent, config.quantizer.dimension, config.encoder)
        self.quantizer = build_quantizer(config.quantizer)
        self.decoder = Stack(config.quantizer.dimension, per_latent, config.decoder)
        self.tables = FrequencyTables(config.quantizer.codebooks, config.quantizer.size, config.quantizer.contexts)

    @torch.no_grad()
    def initialise(self, wave: Tensor, generator: torch.Generator) -> None:
        """Makes the untrained codec a transform codec fitted to ``wave`` ``[batch, 1, samples]`` (some minutes of it).

        The fixed transforms become the Karhunen-Loève transform of the compressed MDCT coefficients, cut to the size of
        the latent, and its inverse; what the blocks add to them starts at nothing. Codebooks start from k-means. That
        is a codec already, and what is left to training is what a linear transform cannot do.
        """
        self.spread.fill_(1)
        spectrum = self._spectrum(wave[:, 0, : wave.shape[-1] // self.config.latent_hop * self.config.latent_hop])
        features = spectrum.flatten(0, 1).double()
        power, directions = torch.linalg.eigh(features.T @ features / len(features))
        count = min(self.config.quantizer.dimension, len(power))
        scale = self.quantizer.scale(power.flip(0)[:count].clamp(min=1e-8))
        directions = directions.flip(1)[:, :count]
        self.spread.copy_(features.square().mean(0).clamp(min=MIN_RELATIVE_SCALE**2 * power.mean()).sqrt())
        for stack in (self.encoder, self.decoder):
            stack.direct.zero_()
            stack.last.weight.zero_()
            stack.last.bias.zero_()
        self.encoder.direct[:count] = (directions / scale).T.float() * self.spread
        self.decoder.direct[:, :count] = (directions * scale).float() / self.spread[:, None]
        self.quantizer.initialise(spectrum / self.spread @ self.encoder.direct.T, generator)

    def can_grow_from(self, other: "Codec") -> bool:
        """Whether this is ``other`` with more codebooks, or as many."""

        def rest(config: CodecConfig) -> CodecConfig:
            """Without what training may change."""
            return replace(config, quantizer=replace(config.quantizer, codebooks=1, contexts=1, full_rate_share=0.0))

        ours, theirs = self.config.quantizer, other.config.quantizer
        return ours.kind == "rvq" and ours.codebooks >= theirs.codebooks and rest(self.config) == rest(other.config)

    @torch.no_grad()
    def grow_from(self, other: "Codec", wave: Tensor, generator: torch.Generator) -> None:
        """Takes over another codec's weights; codebooks that it lacks are fitted to what it leaves over of ``wave``
        ``[batch, 1, samples]``. The tables are no longer those of its codes."""
        kept = {name: value for name, value in other.state_dict().items() if not name.startswith("tables.")}
        self.load_state_dict(kept, strict=False)
        whole = wave[:, 0, : wave.shape[-1] // self.config.latent_hop * self.config.latent_hop]
        latents = [
            self.analyse(part, self.mdct.start(len(part)), self.encoder.start(len(part)))[0] for part in whole.split(64)
        ]
        self.quantizer.initialise(torch.cat(latents), generator, first=other.config.quantizer.codebooks)

    def update_codebooks(self, generator: torch.Generator) -> int:
        return self.quantizer.update_codebooks(generator)

    # --- the layers, as used by training and inference alike -------------------------------------

    def analyse(self, wave: Tensor, previous: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """``[batch, frames * latent_hop]`` samples to latents ``[batch, frames, features]``."""
        with torch.autocast(wave.device.type, enabled=False):
            spectrum = self._spectrum(wave, previous)
        return self.encoder(spectrum, state)

    def _spectrum(self, wave: Tensor, previous: Tensor | None = None) -> Tensor:
        """Compressed MDCT coefficients relative to their spread, as many frames side by side as make a latent."""
        spectrum = compress(self.mdct.analysis(wave, previous), self.config.power)
        return spectrum.reshape(wave.shape[0], -1, self.config.latent_hop) / self.spread

    def synthesise(self, latent: Tensor, previous: Tensor, state: StreamState) -> tuple[Tensor, Tensor, StreamState]:
        """Latents to samples ``[batch, frames * latent_hop]``, the MDCT's state and the decoder's."""
        spectrum, state = self.decoder(latent, state)
        with torch.autocast(latent.device.type, enabled=False):
            coefficients = expand(spectrum.float() * self.spread, self.config.power)
            wave, previous = self.mdct.synthesis(coefficients.reshape(latent.shape[0], -1, self.config.hop), previous)
        return wave, previous, state

    def forward(self, wave: Tensor, codebooks: Tensor | None = None) -> CodecOutput:
        """Codes and decodes ``[batch, 1, samples]`` in one block, with gradients.

        ``codebooks`` ``[batch]``: how many of them the frames of each item use on average (default: all).
        """
        batch, _, samples = wave.shape
        if codebooks is None:
            codebooks = wave.new_full((batch,), self.config.quantizer.codebooks)
        padded = nn.functional.pad(wave[:, 0], (0, self.config.frames_for(samples) * self.config.latent_hop - samples))
        latent, _ = self.analyse(padded, self.mdct.start(batch), self.encoder.start(batch))
        with torch.autocast(wave.device.type, enabled=False):
            quantized = self.quantizer(latent.float(), codebooks)
        decoded, _, _ = self.synthesise(quantized.latent, self.mdct.start(batch), self.decoder.start(batch))
        return CodecOutput(decoded[:, None, self.config.hop : self.config.hop + samples], quantized)

    # --- coding ----------------------------------------------------------------------------------

    def decoding_state(self) -> dict[str, Tensor]:
        """All weights and tables that decoding depends on: not the encoder, nor what the quantizer keeps for
        training."""
        return {
            name: tensor
            for name, tensor in self.state_dict().items()
            if not name.startswith("encoder.") and not name.endswith(".usage")
        }

    @property
    def receptive_field(self) -> int:
        """Latent frames before a sample's own that its decoding depends on."""
        return self.decoder.history + 1

    def stream_encoder(
        self, batch: int = 1, codebooks: int | None = None, block: int = BLOCK, quantize: bool = True
    ) -> StreamEncoder:
        """Encoder for ``batch`` streams side by side. ``codebooks``: how many of them to use (default: all). ``block``:
        latent frames that are waited for; fewer than 16 mean less delay, more work, and codes that may differ where two
        entries are equally near to within rounding. Unless ``quantize``, it gives continuous latents ``[batch,
        features, frames]`` in the place of codes."""
        most = self.config.quantizer.codebooks
        if codebooks is not None and not 1 <= codebooks <= most:
            raise UserError(f"this model has 1 to {most} codebooks, not {codebooks}")
        step = EncodeStep(self, codebooks or most, quantize, self._inference_quantizer(quantize))
        used = self.backend.encoding(step) if self.backend and quantize else step
        return StreamEncoder(self.config, used, batch, block)

    def stream_decoder(self, batch: int = 1, block: int = BLOCK, quantized: bool = True) -> StreamDecoder:
        """Decoder for ``batch`` streams side by side; for ``block`` see :meth:`stream_encoder`. Unless
        ``quantized``, it takes continuous latents in the place of codes."""
        step = DecodeStep(self, quantized, self._inference_quantizer(quantized))
        used = self.backend.decoding(step) if self.backend and quantized else step
        return StreamDecoder(self.config, used, batch, block)

    def _inference_quantizer(self, quantized: bool) -> InferenceQuantizer | Unquantized:
        folded = self.quantizer.fused()
        return folded if quantized else Unquantized(folded)

    def encode(self, wave: Tensor, codebooks: int | None = None) -> Tensor:
        """``[batch, 1, samples]`` in [-1, 1] at the model's rate to codes ``[batch, quantizers, frames]`` (int64)."""
        if wave.ndim != 3 or wave.shape[1] != 1:
            raise ValueError(f"expected a wave [batch, 1, samples], got {list(wave.shape)}; see codec.audio.channels")
        stream = self.stream_encoder(len(wave), codebooks)
        return torch.cat([stream.push(wave).codes, stream.flush().codes], 2)

    def round_trip(self, wave: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        codes = self.encode(wave, codebooks)
        return self.decode(codes, wave.shape[-1]), codes

    def decode(self, codes: Tensor, length: int | None = None) -> Tensor:
        """Codes ``[batch, quantizers, frames]``, some of which may be ``NO_CODE`` (-1), to ``[batch, 1, length]``
        samples.

        ``length`` (default: all that the codes cover) is what the stream stored; the codes cover up to one latent
        frame more.
        """
        stream = self.stream_decoder(len(codes))
        return torch.cat([stream.push(codes), stream.flush()], 2)[..., :length]


@dataclass(frozen=True)
class EncodeStep:
    """What is computed of a block of sound; see :class:`codec.model.streaming.EncodingStep`."""

    codec: Codec
    codebooks: int
    quantize: bool
    quantizer: InferenceQuantizer | Unquantized = field(compare=False)
    """Follows from the others."""

    def start(self, batch: int) -> StreamState:
        return self.codec.mdct.start(batch), *self.codec.encoder.start(batch)

    def empty(self, batch: int) -> CodesWithImportance:
        return self.quantizer.encode(
            self.codec.spread.new_zeros(batch, 0, self.codec.config.quantizer.dimension), self.codebooks
        )

    def __call__(self, wave: Tensor, state: StreamState) -> tuple[CodesWithImportance, StreamState]:
        previous, hop = state[0], self.codec.config.hop
        latent, past = self.codec.analyse(wave, previous, state[1:])
        coded = self.quantizer.encode(latent, self.codebooks)
        silent = _silent(wave.unflatten(1, (-1, self.codec.config.latent_hop)), previous)
        return CodesWithImportance(coded.codes, coded.importances.masked_fill(silent[:, None], 0.0)), (
            wave[:, -hop:],
            *past,
        )


def _silent(frames: Tensor, previous: Tensor) -> Tensor:
    """Which of the ``frames`` ``[batch, frames, samples]`` are nothing but zeros, as are the samples before them that
    their transform sees; before the first, these are ``previous`` ``[batch, hop]``."""
    heard = frames.abs().amax(-1)
    before = torch.cat([previous.abs().amax(-1, keepdim=True), frames[:, :-1, -previous.shape[1] :].abs().amax(-1)], 1)
    return (heard + before) == 0


@dataclass(frozen=True)
class DecodeStep:
    """What is computed of a block of codes; see :class:`codec.model.streaming.DecodingStep`."""

    codec: Codec
    quantized: bool
    quantizer: InferenceQuantizer | Unquantized = field(compare=False)
    """Follows from the others."""

    def start(self, batch: int) -> StreamState:
        return self.codec.mdct.start(batch), *self.codec.decoder.start(batch)

    def __call__(self, codes: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        wave, previous, past = self.codec.synthesise(self.quantizer.decode(codes), state[0], state[1:])
        return wave, (previous, *past)
