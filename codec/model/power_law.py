"""Power-law compression of MDCT coefficients, which evens out their range.

The networks and the quantization losses use compressed coefficients, in which quiet ones are closer to loud ones, as in
hearing.
"""

from torch import Tensor

EPSILON = 1e-4
"""Keeps the gradient of the power law finite at zero; -80 dB relative to a full-scale coefficient of 1."""

MAX_COMPRESSED = 32.0


def compress(x: Tensor, exponent: float) -> Tensor:
    """Compress coefficients: sign(x) ((|x| + e)^p - e^p).

    Args:
        x: coefficients of any shape
        exponent: the exponent ``p``, from 0 to 1; 1 leaves them unchanged

    Returns:
        Compressed coefficients.
    """
    return x.sign() * ((x.abs() + EPSILON) ** exponent - EPSILON**exponent)


def expand(y: Tensor, exponent: float) -> Tensor:
    """Expand compressed coefficients; the inverse of :func:`compress`.

    Args:
        y: compressed coefficients; their magnitudes are limited to :data:`MAX_COMPRESSED`, so that no latent can make
            the output overflow
        exponent: as given to :func:`compress`

    Returns:
        Coefficients.
    """
    return y.sign() * ((y.abs().clamp(max=MAX_COMPRESSED) + EPSILON**exponent) ** (1 / exponent) - EPSILON)
