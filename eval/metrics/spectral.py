"""Metrics of spectra: distances of spectrograms, the noise-to-mask ratio, loudness and bandwidth."""

import numpy as np
import torch

from codec.audio import FloatArray
from codec.audio.statistics import AudioMeter
from codec.losses import mel_distance, noise_to_mask_ratio, stft_distance
from eval.metrics.metric import Metric
from eval.metrics.programme_loudness import BLOCK_S, loudness_lufs
from eval.metrics.waveform import UNRANKED


def mel_distance_of(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the multi-scale mel distance, see :func:`codec.losses.mel_distance`, as a mean over channels.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        The distance; 0 for equal waveforms.
    """
    return float(mel_distance(_batch(decoded), _batch(reference), sample_rate))


def stft_distance_of(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the multi-resolution STFT distance, see :func:`codec.losses.stft_distance`, as a mean over channels.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        The distance; 0 for equal waveforms.
    """
    return float(stft_distance(_batch(decoded), _batch(reference)))


def noise_to_mask_of(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the noise-to-mask ratio, see :mod:`codec.losses.noise_to_mask`, as a mean over channels.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        Mean of log10(1 + noise / masking threshold).
    """
    return float(noise_to_mask_ratio(_batch(decoded), _batch(reference), sample_rate))


def loudness_difference_lu(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Compute the absolute difference of programme loudness.

    Args:
        reference: ``[channels, samples]``.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        The difference in LU, 0 or more.

    Raises:
        ValueError: one of them has no loudness, since all of it is below the gate of BS.1770.
    """
    first, second = (loudness_lufs(wave, sample_rate) for wave in (reference, decoded))
    if first is None or second is None:
        raise ValueError("no loudness: all below the gate of BS.1770")
    return abs(second - first)


def bandwidth_khz(reference: FloatArray, decoded: FloatArray, sample_rate: int) -> float:
    """Measure the bandwidth of the decoded audio.

    Args:
        reference: ``[channels, samples]``; has no influence.
        decoded: decoded waveform of the same shape.
        sample_rate: sample rate in Hz.

    Returns:
        The frequency in kHz above which there is 60 dB less energy than in the strongest octave.
    """
    meter = AudioMeter(sample_rate)
    meter.push(decoded)
    return meter.bandwidth_hz / 1000


def _batch(wave: FloatArray) -> torch.Tensor:
    """Return ``[channels, 1, samples]``, as :mod:`codec.losses` wants it: the channels are the batch."""
    return torch.from_numpy(np.ascontiguousarray(wave))[:, None]


MEL = Metric("mel", "Mel distance", "lower", mel_distance_of, about="7 scales, log10 amplitude")
NOISE_TO_MASK = Metric("nmr", "Noise to mask", "lower", noise_to_mask_of, about="log10(1 + noise / masking threshold)")
STFT = Metric("stft", "STFT distance", "lower", stft_distance_of, about=UNRANKED)
LOUDNESS = Metric(
    "loudness",
    "Loudness difference",
    "lower",
    loudness_difference_lu,
    "LU",
    shortest_s=BLOCK_S,
    rejects_silence=True,
    about="of programme loudness (BS.1770), either way",
    worst=70.0,
)
BANDWIDTH = Metric(
    "bandwidth",
    "Bandwidth",
    "higher",
    bandwidth_khz,
    "kHz",
    digits=1,
    rejects_silence=True,
    worst=0.0,
    about="of the decoded audio; above it there is 60 dB less energy than in the strongest octave",
)
