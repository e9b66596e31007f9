"""Metrics of the waveform itself, sample by sample: SI-SDR, mean absolute and mean squared error.

One sample of delay ruins them, and none of them agrees well with what listeners hear.
"""

import numpy as np
import torch
from auraloss.time import SISDRLoss

from codec.audio import FloatArray
from eval.metrics.metric import Metric

UNRANKED = "print, do not rank by it"
_SI_SDR_LOSS = SISDRLoss(zero_mean=False, eps=1e-20, reduction="none")
"""With auraloss's own ``eps`` of 1e-8 the value would end at 80 dB or so."""


def si_sdr_db(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the scale-invariant signal-to-distortion ratio of all channels as one signal, means removed.

    J. Le Roux et al., "SDR – half-baked or well done?", ICASSP 2019, as auraloss computes it.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz; has no influence.

    Returns:
        The ratio in dB; 200 dB or more for decoded audio that equals the reference up to a factor.
    """
    target, estimate = (
        torch.from_numpy((wave - wave.mean(1, keepdims=True)).astype(np.float64)).reshape(1, -1)
        for wave in (reference, decoded)
    )
    return -float(_SI_SDR_LOSS(estimate, target))


def mean_absolute_error(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the mean absolute error over samples and channels.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz; has no influence.

    Returns:
        The error; full scale is 1.
    """
    return float(np.mean(np.abs(reference - decoded), dtype=np.float64))


def mean_squared_error(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the mean squared error over samples and channels.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz; has no influence.

    Returns:
        The error; full scale is 1.
    """
    return float(np.mean(np.square(reference - decoded), dtype=np.float64))


SI_SDR = Metric(
    "si_sdr", "SI-SDR", "higher", si_sdr_db, "dB", digits=1, rejects_silence=True, worst=-60.0, about=UNRANKED
)
L1 = Metric("l1", "L1", "lower", mean_absolute_error, digits=4, about="mean absolute error of the waveform")
L2 = Metric("l2", "L2", "lower", mean_squared_error, digits=5, about="mean squared error of the waveform")
