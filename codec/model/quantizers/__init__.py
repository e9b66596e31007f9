"""Residual quantizers: learnt codebooks (RVQ) and fixed grids (FSQ), interchangeable by recipe.

Both turn latents ``[batch, frames, dimension]`` into codes ``[batch, codebooks, frames]`` and back. Each stage
quantizes the residual of the previous stages. The gradient is straight-through, past all stages at once: the residuals
are detached.
"""

from codec.config import QuantizerConfig
from codec.model.quantizers.fsq import ResidualFSQ
from codec.model.quantizers.fused import FusedVQ
from codec.model.quantizers.rvq import ResidualVQ

Quantizer = ResidualVQ | ResidualFSQ

InferenceQuantizer = FusedVQ | ResidualFSQ
"""Quantizer for inference, from ``fused()``."""


def build_quantizer(config: QuantizerConfig) -> Quantizer:
    """Build an untrained quantizer.

    Args:
        config: its kind and sizes

    Returns:
        The quantizer of ``config.kind``.
    """
    return ResidualVQ(config) if config.kind == "rvq" else ResidualFSQ(config)
