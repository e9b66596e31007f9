"""Decoder blocks whose matrix products are of 8-bit integers, several times as fast on CPUs with instructions for them.

Weights are quantized to 7 bits with a scale for each output, activations to 8 bits with one scale for all frames.
Channels of activations whose range is large are divided by a factor, and their weights multiplied by it, so that the
one scale fits all (SmoothQuant: G. Xiao et al., "SmoothQuant: accurate and efficient post-training quantization for
large language models", ICML 2023). The ranges come from random codes, drawn as often as the model's frequency tables
say, so that no audio is needed. The other layers, a tenth of the products, stay in float32.

Weights of 8 bits would not be more exact in effect, and CPUs without VNNI add two products of 8-bit integers in 16
bits, which saturate silently; with 7 bits they cannot.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.errors import UserError
from codec.model.convnext import ConvNeXtBlock

if TYPE_CHECKING:
    from codec.model.codec import Codec

_MAX_WEIGHT = 63
_MAX_LEVEL = 255
_CENTRE = 128
"""Level of zero in signed activations."""

_GELU_MINIMUM = -0.17
"""Just below the smallest value of the GELU."""

_SMOOTHING = 0.75
"""Exponent of the range of activations in the factor of a channel; that of its weights is one minus it. PESQ of
speech_16k_v2 on 12 clips, 24 codes, float32 3.31: without factors 3.20, with 0.5 3.28, 0.75 3.29, 0.9 3.27."""

_CALIBRATION_BLOCKS, _CALIBRATION_FRAMES = 8, 256


def use_int8_blocks(codec: Codec) -> None:
    """Make the blocks of a codec's decoder compute with 8-bit integers, once and for good.

    Args:
        codec: model for inference on the CPU

    Raises:
        UserError: the model is on another device, or PyTorch has no products of 8-bit integers for this processor.
    """
    if codec.spread.device.type != "cpu":
        raise UserError(
            f"the type int8 computes on the CPU, not on {codec.spread.device}; use float16 or bfloat16 there"
        )
    with torch.no_grad():
        ranges = _calibrate(codec)
        for index, block in enumerate(codec.decoder.blocks):
            codec.decoder.blocks[index] = Int8Block(block, ranges[index])  # type: ignore[arg-type]


@dataclass(frozen=True)
class _Range:
    """Ranges of the activations of a block.

    Args:
        normalised: greatest magnitude of each channel after the normalisation ``[width]``
        hidden: greatest value after the GELU
    """

    normalised: Tensor
    hidden: float


class Int8Block(nn.Module):
    """A :class:`codec.model.convnext.ConvNeXtBlock` for inference.

    Args:
        block: the block in float32
        ranges: ranges of its activations
    """

    def __init__(self, block: ConvNeXtBlock, ranges: _Range):
        super().__init__()
        self.depthwise = block.depthwise
        weight = block.expand.weight
        strongest = weight.abs().amax(0).clamp(min=1e-6)
        factor = ranges.normalised.clamp(min=1e-4) ** _SMOOTHING / strongest ** (1 - _SMOOTHING)
        step = float((ranges.normalised / factor).max()) / (_CENTRE - 1)
        # the normalisation gives levels; half of one is added, since the conversion to integers truncates
        self.norm_weight = nn.Parameter(block.norm.weight / (factor * step))
        self.norm_bias = nn.Parameter(block.norm.bias / (factor * step) + (_CENTRE + 0.5))
        hidden_step = (ranges.hidden - _GELU_MINIMUM) / _MAX_LEVEL
        zero = round(-_GELU_MINIMUM / hidden_step)
        self.expand = _Int8Linear(weight * factor, block.expand.bias, step, _CENTRE, (hidden_step, zero))
        scale = block.scale
        self.contract = _Int8Linear(
            block.contract.weight * scale[:, None], block.contract.bias * scale, hidden_step, zero
        )

    def forward(self, x: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
        """Compute a block of frames.

        Args:
            x: ``[batch, frames, width]``
            state: state of the convolution ``[batch, kernel - 1, width]``

        Returns:
            ``[batch, frames, width]``, and the next state.
        """
        y, state = self.depthwise(x, state)
        levels = F.layer_norm(y, self.norm_bias.shape, self.norm_weight, self.norm_bias).clamp_(0, _MAX_LEVEL)
        return x + self.contract(self.expand(levels.to(torch.uint8))), state


class _Int8Linear(nn.Module):
    """Linear layer from levels, followed by a GELU if its output is quantized again.

    Args:
        weight: ``[outputs, inputs]``
        bias: ``[outputs]``
        step: distance between two input levels
        zero: input level of zero
        quantized: distance between two output levels, and that of zero; None if the output is float32
    """

    weight_steps: Tensor
    no_offsets: Tensor

    def __init__(
        self, weight: Tensor, bias: Tensor, step: float, zero: int, quantized: tuple[float, int] | None = None
    ):
        super().__init__()
        steps = weight.abs().amax(1).clamp(min=1e-12) / _MAX_WEIGHT
        self.weight = nn.Parameter((weight / steps[:, None]).round().to(torch.int8), requires_grad=False)
        self.register_buffer("weight_steps", steps)
        self.register_buffer("no_offsets", torch.zeros(len(bias), dtype=torch.int32))
        self.bias = nn.Parameter(bias)
        self.step, self.zero, self.quantized = step, zero, quantized
        self._pack()

    def _pack(self) -> None:
        try:
            self._packed = torch.ops.onednn.qlinear_prepack(self.weight, None)
        except (AttributeError, RuntimeError) as error:
            raise UserError("this PyTorch has no products of 8-bit integers for this processor; use float32") from error

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the packed weights, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "_packed"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._pack()

    def forward(self, levels: Tensor) -> Tensor:
        """Compute outputs.

        Args:
            levels: uint8 ``[..., inputs]``

        Returns:
            uint8 levels or float32 ``[..., outputs]``.
        """
        step, zero = self.quantized or (1.0, 0)
        kind, activation = (torch.uint8, "gelu") if self.quantized else (torch.float32, "none")
        weights = self._packed, self.weight_steps, self.no_offsets, self.bias
        return torch.ops.onednn.qlinear_pointwise.default(  # type: ignore[no-any-return]
            levels, self.step, self.zero, *weights, step, zero, kind, activation, [], "none"
        )


def _calibrate(codec: Codec) -> list[_Range]:
    """Return the ranges of the blocks' activations."""
    generator = torch.Generator().manual_seed(0)
    normalised: dict[int, list[Tensor]] = {}
    hidden: dict[int, list[float]] = {}
    hooks = []
    for index, block in enumerate(codec.decoder.blocks):

        def look_at_input(_: nn.Module, given: tuple[Tensor], result: Tensor, index: int = index) -> None:
            normalised.setdefault(index, []).append(given[0].abs().amax((0, 1)))
            hidden.setdefault(index, []).append(float(F.gelu(result).max()))

        hooks.append(block.expand.register_forward_hook(look_at_input))  # type: ignore[union-attr,operator]
    try:
        quantizer = codec.quantizer.fused()
        for _ in range(_CALIBRATION_BLOCKS):
            codec.decoder(quantizer.decode(_draw_codes(codec, generator)), codec.decoder.initial_state(1))
    finally:
        for hook in hooks:
            hook.remove()
    return [_Range(torch.stack(normalised[i]).amax(0), max(hidden[i])) for i in range(len(codec.decoder.blocks))]


def _draw_codes(codec: Codec, generator: torch.Generator) -> Tensor:
    """Draw codes ``[1, codebooks, frames]`` by their frequencies, with every number of codes per frame."""
    tables = codec.tables
    frequencies = tables.frequencies.float().view(tables.codebooks, -1, tables.size).sum(1)
    codes = torch.multinomial(frequencies, _CALIBRATION_FRAMES, replacement=True, generator=generator)
    counts = torch.randint(1, tables.codebooks + 1, (_CALIBRATION_FRAMES,), generator=generator)
    return codes.masked_fill(torch.arange(tables.codebooks)[:, None] >= counts, NO_CODE)[None]
