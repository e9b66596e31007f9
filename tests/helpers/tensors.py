"""Waveforms for tests as tensors."""

import torch
from torch import Tensor


def noise_tensor(*shape: int, level: float = 0.1, seed: int = 0) -> Tensor:
    """Return white noise with this standard deviation."""
    return level * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def sine_tensor(hz: float, samples: int, sample_rate: int, amplitude: float = 1.0) -> Tensor:
    """Return a sine, ``[samples]``; its phase is computed in float64."""
    phase = 2 * torch.pi * hz / sample_rate * torch.arange(samples, dtype=torch.float64)
    return amplitude * phase.sin().float()
