"""Codes and latents in Python, with what decoding needs to know of the waveform that they come from."""

from dataclasses import dataclass
from typing import Generic

from codec.arrays import ArrayT


@dataclass(frozen=True, eq=False)
class Encoded(Generic[ArrayT]):
    """Codes, with the sample rate and length of the original waveform, which decoding needs."""

    codes: ArrayT
    """``[codebooks, frames]`` or ``[channels, codebooks, frames]``."""
    sample_rate: int
    """Sample rate of the waveform in Hz."""
    samples: int
    """Number of samples of the waveform per channel."""


@dataclass(frozen=True, eq=False)
class Latents(Generic[ArrayT]):
    """Continuous latents, with the sample rate and length of the original waveform, which decoding needs."""

    latents: ArrayT
    """``[features, frames]`` or ``[channels, features, frames]``."""
    sample_rate: int
    """Sample rate of the waveform in Hz."""
    samples: int
    """Number of samples of the waveform per channel."""
