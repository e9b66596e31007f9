"""The losses: a bank of terms with weights from the recipe, and the same distances as metrics of one pair of waves."""

import torch
from torch import Tensor

from codec.losses import noise_to_mask, spectral
from codec.losses.composite import TERMS, CompositeLoss, LossReport
from codec.losses.spectrograms import Pair

__all__ = ["TERMS", "CompositeLoss", "LossReport", "mel_distance", "nmr", "stft_distance"]


@torch.no_grad()
def mel_distance(output: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Seven-scale log-mel distance of ``[batch, 1, samples]``; see :func:`codec.losses.spectral.mel`."""
    return spectral.mel(Pair(output, target), sample_rate)


@torch.no_grad()
def stft_distance(output: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """auraloss's multi-resolution STFT distance, with windows in samples whatever the rate; see
    :func:`codec.losses.spectral.stft`."""
    return spectral.stft(Pair(output, target))


@torch.no_grad()
def nmr(output: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Noise-to-mask ratio; see :func:`codec.losses.noise_to_mask.nmr`."""
    return noise_to_mask.nmr(Pair(output, target), sample_rate)
