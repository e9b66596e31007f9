"""Programme loudness after ITU-R BS.1770, and gains that make several waveforms equally loud."""

import math

import numpy as np
import pyloudnorm

from codec.audio import FloatArray

BLOCK_S = 0.4
"""Length of a gating block; a shorter waveform is one block."""


def loudness_lufs(wave: FloatArray, sample_rate: int) -> float | None:
    """Measure the integrated loudness of a waveform.

    Args:
        wave: ``[channels, samples]``.
        sample_rate: sample rate in Hz.

    Returns:
        Loudness in LUFS; None for silence and for an empty waveform.
    """
    seconds = wave.shape[1] / sample_rate
    if not seconds:
        return None
    meter = pyloudnorm.Meter(sample_rate, block_size=min(BLOCK_S, seconds))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = float(meter.integrated_loudness(wave.T.astype(np.float64)))
    return found if math.isfinite(found) else None


def matching_gains(waves: list[FloatArray], sample_rate: int) -> list[float]:
    """Compute gains that make waveforms as loud as the first, and that make all of them quieter if one would clip.

    Args:
        waves: each ``[channels, samples]``.
        sample_rate: sample rate in Hz.

    Returns:
        A factor for each waveform.
    """
    wanted, *others = (loudness_lufs(wave, sample_rate) for wave in waves)
    gains = [1.0]
    for found in others:
        gains.append(1.0 if wanted is None or found is None else 10 ** ((wanted - found) / 20))
    peak = max(gain * float(np.abs(wave).max(initial=0.0)) for gain, wave in zip(gains, waves))
    return [gain / max(1.0, peak) for gain in gains]
