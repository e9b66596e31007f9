"""Streams of continuous latents instead of codes."""

import torch
from torch import Tensor

from codec.model.quantizers import InferenceQuantizer


class ContinuousLatents:
    """A quantizer for inference that does not quantize; instead of codes it has latents ``[batch, dimension,
    frames]``.

    Args:
        quantizer: quantizer whose range the latents have
    """

    def __init__(self, quantizer: InferenceQuantizer):
        self._quantizer = quantizer

    def encode(self, latent: Tensor, codebooks: int) -> tuple[Tensor, Tensor]:
        """Return latents in the layout of codes.

        Args:
            latent: ``[batch, frames, dimension]``
            codebooks: not used: latents have no codebooks

        Returns:
            The latents, and zeros as importances, both ``[batch, dimension, frames]``.
        """
        latents = self._quantizer.continuous(latent).transpose(1, 2)
        return latents, torch.zeros_like(latents)

    def decode(self, latents: Tensor) -> Tensor:
        """Return latents in the layout of the decoder.

        Args:
            latents: ``[batch, dimension, frames]``

        Returns:
            ``[batch, frames, dimension]``.
        """
        return latents.transpose(1, 2)
