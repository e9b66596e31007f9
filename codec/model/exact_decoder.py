"""A decoder whose output is the same bit by bit on every processor, in every library and for any number of threads.

Every number is a multiple of a power of two, held in float64, and so bounded that each sum of products is one too, with
less than 53 bits: no sum rounds, so its order, and with it the processor, the library, the number of threads and the
size of the batch make no difference. What has to round (after each layer, and in the quotient and the root of the
normalisations) is one operation that IEEE 754 defines to the last bit. The GELU, the power law and the transform are
tables, whose entries are rounded to so few bits that errors of the mathematical library do not show. See
docs/exact_decoding.md.

It decodes the same codes as the decoder in float32, which it follows to about -80 dB, at about half its speed.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.errors import UserError
from codec.model.backend import BlockStep
from codec.model.convnext import SILENT_POWER, ConvNeXtBlock, Stack, StreamState
from codec.model.power_law import EPSILON, MAX_COMPRESSED
from codec.model.quantizers.rvq import ResidualVQ
from codec.model.torch_backend import Decoding, TorchBackend, TorchStep

if TYPE_CHECKING:
    from codec.model.codec import Codec

ACTIVATION_BITS, RESIDUAL_BITS, WEIGHT_BITS, COEFFICIENT_BITS = 12, 8, 16, 18
"""Binary places of what is multiplied by matrices; of what the blocks add up; of weights; of MDCT coefficients and the
basis of their transform."""

MAX_ACTIVATION, MAX_RESIDUAL, MAX_WEIGHT = 2.0**8, 2.0**12, 2.0**4
"""Greatest magnitudes: all have 20 bits, and a sum of 1,152 products has less than 53."""

GELU_LIMIT = 8.0
"""From here on the GELU is its argument or zero, to the precision of activations."""


class ExactBackend:
    """Inference with an exact decoder, and the encoder in float32; a :class:`codec.model.backend.InferenceBackend`.

    Args:
        codec: model, of which the exact decoder is made

    Raises:
        UserError: the model's quantizer has no codebooks, or a weight is too large.
    """

    def __init__(self, codec: Codec):
        self._codec = codec
        self._decoder = ExactDecodeBlock(codec)

    def encoding_step(self, codebooks: int, block: int) -> BlockStep:
        """Return the step of the encoder; see :class:`codec.model.backend.InferenceBackend`.

        Args:
            codebooks: number of codebooks to use
            block: latent frames per block

        Returns:
            A step from waveforms to codes and their importances.
        """
        return TorchBackend(self._codec).encoding_step(codebooks, block)

    def decoding_step(self, block: int) -> TorchStep:
        """Return the step of the decoder; see :class:`codec.model.backend.InferenceBackend`.

        Args:
            block: latent frames per block, without effect

        Returns:
            A step from codes to waveforms.
        """
        if self._decoder.device != self._codec.spread.device:  # the model has been moved
            self._decoder = ExactDecodeBlock(self._codec)
        return TorchStep(self._decoder)


class ExactDecodeBlock(Decoding):
    """Exact decoder of a block; a :class:`codec.model.torch_backend.TensorStep`.

    Args:
        codec: model

    Raises:
        UserError: as for :class:`ExactBackend`.
    """

    def __init__(self, codec: Codec):
        if not isinstance(codec.quantizer, ResidualVQ):
            raise UserError("exact decoding is for models with codebooks of vectors (quantizer rvq); use float32")
        self.codec, self.device = codec, codec.spread.device
        self._entries = _entries(codec.quantizer)
        self._decoder = _ExactStack(codec.decoder)
        self._spread = _weights(codec.spread)
        self._powers = _power_table(codec.config.power).to(self.device)
        self._basis = _round(torch.tensor(mdct_basis(codec.config.hop), dtype=torch.float64), COEFFICIENT_BITS).to(
            self.device
        )

    def initial_state(self, streams: int) -> StreamState:
        """Return the state before the first block: zeros.

        Args:
            streams: number of streams

        Returns:
            That of the transform ``[streams, hop]``, and those of the decoder's blocks, in float64.
        """
        return tuple(state.double() for state in super().initial_state(streams))

    def __call__(self, block: Tensor, state: StreamState) -> tuple[tuple[Tensor, ...], StreamState]:
        """Decode a block.

        Args:
            block: codes ``[streams, codebooks, frames]``
            state: state after the previous block

        Returns:
            Waveforms ``[streams, frames * latent_hop]`` in float32, and the state after this block.
        """
        size = self._entries.shape[1] - 1
        index = torch.where(block == NO_CODE, size, block)
        latent = sum(entries[codes] for entries, codes in zip(self._entries, index.unbind(1)))
        spectrum, past = self._decoder(_activations(latent), state[1:])  # type: ignore[arg-type]
        place = _round(spectrum * self._spread, ACTIVATION_BITS).abs().clamp(max=MAX_COMPRESSED)
        coefficients = spectrum.sign() * self._powers[(place * 2**ACTIVATION_BITS).long()]
        hop = self.codec.config.hop
        halves = coefficients.reshape(block.shape[0], -1, hop) @ self._basis.T
        rising, falling = halves[..., :hop], halves[..., hop:]
        waveform = rising + torch.cat([state[0][:, None], falling[:, :-1]], 1)
        return (waveform.flatten(1).float(),), (falling[:, -1], *past)


class _ExactStack:
    """A :class:`codec.model.convnext.Stack` in exact arithmetic."""

    def __init__(self, stack: Stack):
        self._first = _ExactLinear(stack.first.weight, stack.first.bias)
        self._direct = _ExactLinear(stack.direct, None)
        self._blocks = [_ExactBlock(block) for block in stack.blocks]  # type: ignore[arg-type]
        self._norm = _ExactNorm(stack.norm)
        self._last = _ExactLinear(stack.last.weight, stack.last.bias)

    def __call__(self, x: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        direct = _activations(self._direct(x))
        level = _activations((direct.square().sum(-1, keepdim=True) / direct.shape[-1] + SILENT_POWER).sqrt())
        x = _residual(self._first(x))
        states = []
        for block, past in zip(self._blocks, state):
            x, past = block(x, past)
            states.append(past)
        network = _activations(self._last(_activations(self._norm(x))))
        return _activations(direct + level * network), tuple(states)


class _ExactBlock:
    def __init__(self, block: ConvNeXtBlock):
        self._taps, self._bias = _weights(block.depthwise.weight), _weights(block.depthwise.bias)
        self._norm = _ExactNorm(block.norm)
        self._expand = _ExactLinear(block.expand.weight, block.expand.bias)
        self._gelu = _gelu_table().to(self._taps.device)
        # the scale of the block is a factor of its own, since the product of two weights has too many bits
        self._contract = _ExactLinear(block.contract.weight, block.contract.bias)
        self._scale = _weights(block.scale)

    def __call__(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        frames = x.shape[1]
        seen = torch.cat([state, x], 1)
        y = self._bias + sum(seen[:, tap : tap + frames] * weight for tap, weight in enumerate(self._taps))
        hidden = _activations(self._expand(_activations(self._norm(_residual(y)))))
        y = _residual(self._contract(self._activate(hidden)))
        return _residual(x + self._scale * y), seen[:, frames:]

    def _activate(self, x: Tensor) -> Tensor:
        """Apply the GELU."""
        place = ((x.clamp(-GELU_LIMIT, GELU_LIMIT) + GELU_LIMIT) * 2**ACTIVATION_BITS).long()
        return torch.where(x > GELU_LIMIT, x, self._gelu[place])


class _ExactNorm:
    """A normalisation of a frame; what takes its output rounds it."""

    def __init__(self, norm: torch.nn.LayerNorm):
        self._weight, self._bias, self._floor = _weights(norm.weight), _weights(norm.bias), norm.eps

    def __call__(self, x: Tensor) -> Tensor:
        count = x.shape[-1]
        x = x - _residual(x.sum(-1, keepdim=True) / count)
        deviation = (x.square().sum(-1, keepdim=True) / count + self._floor).sqrt()
        # rounded before the weights: then products and sum are exact, whether or not they are fused
        return _activations(x / deviation) * self._weight + self._bias


class _ExactLinear:
    """A linear layer whose sums have up to 53 bits; what takes its output rounds it."""

    def __init__(self, weight: Tensor, bias: Tensor | None):
        self._weight, self._bias = _weights(weight), None if bias is None else _weights(bias)

    def __call__(self, x: Tensor) -> Tensor:
        return F.linear(x, self._weight, self._bias)


def _round(x: Tensor, bits: int) -> Tensor:
    """Round to multiples of ``2**-bits``, halves to the even one."""
    return torch.round(x * 2.0**bits) / 2.0**bits


def _activations(x: Tensor) -> Tensor:
    return _round(x, ACTIVATION_BITS).clamp(-MAX_ACTIVATION, MAX_ACTIVATION)


def _residual(x: Tensor) -> Tensor:
    return _round(x, RESIDUAL_BITS).clamp(-MAX_RESIDUAL, MAX_RESIDUAL)


def _weights(x: Tensor, limit: float = MAX_WEIGHT) -> Tensor:
    if not bool((x.abs() <= limit).all()):
        raise UserError(f"exact decoding is for models whose weights are at most {limit:g}; use float32")
    return _round(x.detach().double(), WEIGHT_BITS)


def _entries(quantizer: ResidualVQ) -> Tensor:
    """Return the latents of the codes of each codebook, and zeros for an absent one: ``[codebooks, size + 1, n]``."""
    entries = [
        _activations(_weights(stage.codebook, MAX_ACTIVATION) @ _weights(stage.basis)) for stage in quantizer.stages
    ]
    return F.pad(torch.stack(entries), (0, 0, 0, 1))


@cache
def _gelu_table() -> Tensor:
    steps = round(GELU_LIMIT * 2**ACTIVATION_BITS)
    values = [gelu(step / 2**ACTIVATION_BITS) for step in range(-steps, steps + 1)]
    return _activations(torch.tensor(values, dtype=torch.float64))


def _power_table(power: float) -> Tensor:
    count = round(MAX_COMPRESSED * 2**ACTIVATION_BITS)
    values = [expanded(step / 2**ACTIVATION_BITS, power) for step in range(count + 1)]
    return _round(torch.tensor(values, dtype=torch.float64), COEFFICIENT_BITS)


def gelu(x: float) -> float:
    """Return the GELU of a number.

    Args:
        x: the number

    Returns:
        Its product with the probability that a standard normal variable is less.
    """
    return 0.5 * x * (1 + math.erf(x / math.sqrt(2)))


def expanded(magnitude: float, power: float) -> float:
    """Return what :func:`codec.model.power_law.expand` makes of a magnitude.

    Args:
        magnitude: compressed, at least 0
        power: exponent of the compression

    Returns:
        The magnitude of the coefficient.
    """
    return float((magnitude + EPSILON**power) ** (1 / power) - EPSILON)


def mdct_basis(hop: int) -> list[list[float]]:
    """Return the basis of :class:`codec.model.mdct.MDCT`, not rounded.

    Args:
        hop: samples between frames

    Returns:
        ``2 * hop`` rows of ``hop`` numbers.
    """
    rows = []
    for n in range(2 * hop):
        scale = math.sqrt(2 / hop) * math.sin(math.pi * (n + 0.5) / (2 * hop))
        rows.append([scale * math.cos(math.pi / hop * (n + 0.5 + hop / 2) * (k + 0.5)) for k in range(hop)])
    return rows
