"""Less exact number types for the decoder at inference.

Only the decoder: one code that differs changes most codes after it in its frame, so the encoder stays in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from codec.errors import UserError
from codec.model.convnext import Stack, StreamState
from codec.model.decoder_dtypes import DTYPES
from codec.model.exact_decoder import ExactBackend
from codec.model.int8_blocks import use_int8_blocks

if TYPE_CHECKING:
    from codec.model.codec import Codec


def set_decoder_dtype(codec: Codec, dtype: str) -> None:
    """Make the decoder of a model compute in another type, once and for good.

    Args:
        codec: model for inference, which is changed; it takes and gives float32 as before
        dtype: one of :data:`codec.model.decoder_dtypes.DTYPES`

    Raises:
        UserError: no such type, or the device cannot compute in it.
    """
    if dtype not in DTYPES:
        raise UserError(f"no such type as {dtype!r}; use {', '.join(DTYPES)}")
    if dtype == "float32":
        return
    if codec.backend:
        raise UserError(f"the graphs of the device onnx are float32, not {dtype}")
    if dtype == "int8":
        use_int8_blocks(codec)
    elif dtype == "exact":
        codec.backend = ExactBackend(codec)
    else:
        _use_floats(codec.decoder, getattr(torch, dtype))


def _use_floats(stack: Stack, dtype: torch.dtype) -> None:
    def before(_: torch.nn.Module, arguments: tuple[Tensor, StreamState]) -> tuple[Tensor, StreamState]:
        return arguments[0].to(dtype), arguments[1]

    def after(_: torch.nn.Module, __: Any, result: tuple[Tensor, StreamState]) -> tuple[Tensor, StreamState]:
        return result[0].float(), result[1]

    stack.to(dtype)
    stack.register_forward_pre_hook(before)
    stack.register_forward_hook(after)
