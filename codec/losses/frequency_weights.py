"""Weights of the bins of an STFT: triangular mel filters, and the A curve."""

import math

import torch
from torch import Tensor

_LINEAR_HZ = 200 / 3
"""Width of a mel up to 1 kHz."""
_BREAK_HZ = 1000.0
_LOG_STEP = math.log(6.4) / 27
"""Natural logarithm of the ratio of frequencies a mel apart above 1 kHz."""
_A_POLES_HZ = (12194.217, 20.598997, 107.65265, 737.86223)
_A_LEAST_DB = -80.0


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _LINEAR_HZ
    return _BREAK_HZ / _LINEAR_HZ + math.log(hz / _BREAK_HZ) / _LOG_STEP


def _mel_to_hz(mel: Tensor) -> Tensor:
    least = _BREAK_HZ / _LINEAR_HZ
    return torch.where(mel < least, mel * _LINEAR_HZ, _BREAK_HZ * torch.exp(_LOG_STEP * (mel - least)))


def mel_filters(sample_rate: int, window: int, bands: int) -> Tensor:
    """Return triangular filters of equal area, evenly spaced on Slaney's mel scale from 0 Hz to half the sample rate.

    Source: M. Slaney, "Auditory toolbox", 1998, as ``librosa.filters.mel`` computes it. For short windows, some bands
    hold no bin; that is part of the definition.

    Args:
        sample_rate: sample rate in Hz
        window: length of the STFT window in samples
        bands: number of bands

    Returns:
        Factors for magnitudes ``[bands, window / 2 + 1]``, in float64.
    """
    bins = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    edges = _mel_to_hz(torch.linspace(0, _hz_to_mel(sample_rate / 2), bands + 2, dtype=torch.float64))[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0) * 2 / (edges[2:] - edges[:-2])


def a_weighting(frequency_hz: Tensor) -> Tensor:
    """Return the level of the A curve (IEC 61672-1).

    Args:
        frequency_hz: frequencies in Hz, of any shape

    Returns:
        Levels in dB, 0 at 1 kHz, at least -80.

    >>> a_weighting(torch.tensor([100.0, 1000.0])).round().abs()
    tensor([19.,  0.])
    """
    square = frequency_hz**2
    highest, lowest, *others = (pole**2 for pole in _A_POLES_HZ)
    denominator = (square + highest) * (square + lowest)
    for pole in others:
        denominator = denominator * (square + pole).sqrt()
    return (20 * (highest * square**2 / denominator).log10() + 2.0).clamp(min=_A_LEAST_DB)
