"""Numbers of frames at which the numbers of every frame are rounded alike, whatever is computed beside them.

Powers, logarithms, GELU and the like are rounded differently for the numbers at the end of an array that do not fill a
whole vector of the processor (measured).
"""

import math

from codec.config import CodecConfig

VECTOR = 32
"""Numbers that the widest vector instructions compute at once, two vectors of AVX-512 together."""


def frame_multiple(config: CodecConfig) -> int:
    """Return a number of latent frames that fills whole vectors in every layer.

    Args:
        config: configuration of a model

    Returns:
        1 for most sizes of networks; a divisor of :data:`VECTOR`.
    """
    sizes = [config.latent_hop, *(network.width * network.expansion for network in (config.encoder, config.decoder))]
    if config.quantizer.kind != "rvq":
        sizes.append(1)  # its importances are powers of one number for each frame
    return VECTOR // math.gcd(VECTOR, *sizes)
