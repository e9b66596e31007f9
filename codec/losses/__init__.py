"""Training losses, and the same distances as metrics of one pair of waveforms.

:class:`CompositeLoss` is the weighted sum of the terms named in :data:`LOSS_TERMS`, with weights from the recipe.
"""

import torch
from torch import Tensor

from codec.losses import noise_to_mask, spectral
from codec.losses.composite import LOSS_TERMS, CompositeLoss, LossReport
from codec.losses.spectrograms import SpectrogramPair

__all__ = ["LOSS_TERMS", "CompositeLoss", "LossReport", "mel_distance", "noise_to_mask_ratio", "stft_distance"]


@torch.no_grad()
def mel_distance(output: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Return the seven-scale log-mel distance of two waveforms.

    Args:
        output: waveform, ``[batch, 1, samples]``
        target: waveform of the same shape
        sample_rate: sample rate in Hz

    Returns:
        The distance, a scalar; see :func:`codec.losses.spectral.mel_loss`.
    """
    return spectral.mel_loss(SpectrogramPair(output, target), sample_rate)


@torch.no_grad()
def stft_distance(output: Tensor, target: Tensor) -> Tensor:
    """Return the multi-resolution STFT distance of two waveforms.

    Args:
        output: waveform, ``[batch, 1, samples]``
        target: waveform of the same shape

    Returns:
        The distance, a scalar; see :func:`codec.losses.spectral.stft_loss`. It does not depend on the sample rate: the
        windows have 512, 1024 and 2048 samples.
    """
    return spectral.stft_loss(SpectrogramPair(output, target))


@torch.no_grad()
def noise_to_mask_ratio(output: Tensor, target: Tensor, sample_rate: int) -> Tensor:
    """Return the noise-to-mask ratio of two waveforms.

    Args:
        output: waveform, ``[batch, 1, samples]``
        target: waveform of the same shape
        sample_rate: sample rate in Hz

    Returns:
        Mean log10(1 + noise / masking threshold), a scalar; see
        :func:`codec.losses.noise_to_mask.noise_to_mask_loss`.
    """
    return noise_to_mask.noise_to_mask_loss(SpectrogramPair(output, target), sample_rate)
