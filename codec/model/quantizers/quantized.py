"""Result of a quantizer, for training."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Quantized:
    """Latents after a quantizer, with gradients."""

    latent: Tensor
    """``[batch, frames, dimension]``, with straight-through gradient."""
    codes: Tensor
    """All codes ``[batch, codebooks, frames]``, those not in use included."""
    commitment: Tensor
    """Commitment loss (scalar); zero if the quantizer has none."""
