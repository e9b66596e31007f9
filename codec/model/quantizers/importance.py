"""Importance of codes, by which they are selected at a limited bit rate.

A frame gets the codes whose importance reaches a threshold, which depends on the bit rate. So bits are spent where they
reduce the error the most, as in reverse water-filling (T. Cover, J. Thomas, "Elements of information theory", section
10.3). Training drops codes in the same way, so that one model serves all bit rates.
"""

import torch
from torch import Tensor

LEVEL_EXPONENT = 0.3
"""How far the remaining error of a frame may follow its level: with 0 all frames get the same error, with 1 the same
signal-to-noise ratio. PESQ hardly differs from 0 to 0.5, and is lower at 0.7 (measured)."""


def code_importances(error: Tensor, level: Tensor) -> Tensor:
    """Compute the importance of each code of a frame.

    Args:
        error: squared error without that code and those after it ``[batch, codebooks, frames]``
        level: squared length of the latent ``[batch, frames]``

    Returns:
        Importances of the shape of ``error``, falling from codebook to codebook.
    """
    return (error.clamp(min=0) / level[:, None].clamp(min=1e-9) ** LEVEL_EXPONENT).cummin(1).values


def importance_thresholds(importances: Tensor, codebooks: Tensor) -> Tensor:
    """Compute the thresholds at which frames use given numbers of codebooks on average.

    Args:
        importances: of typical frames ``[batch, codebooks, frames]``; at most 2^24 values
        codebooks: mean numbers of codebooks ``[items]``

    Returns:
        Thresholds ``[items, 1, 1]``.
    """
    share = codebooks.to(importances.dtype) / importances.shape[1]
    return torch.quantile(importances.flatten(), 1 - share)[:, None, None]
