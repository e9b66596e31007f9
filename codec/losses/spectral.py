"""Distances between spectrograms: multi-scale log-mel; multi-resolution STFT of magnitudes, and of compressed complex
values; A-weighted STFT.
"""

import torch
from torch import Tensor

from codec.losses.frequency_weights import a_weighting, mel_filters
from codec.losses.spectrograms import ComplexSpectrogram, SpectrogramPair, cached_constant
from codec.model.processes import ONE_PROCESS, Processes
from codec.model.products import linear

MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
"""Lengths of the STFT windows of the mel scales, in samples."""
MEL_BANDS = (5, 10, 20, 40, 80, 160, 320)
"""Number of mel bands of each scale."""
MEL_CLAMP = 1e-5
"""Lowest mel magnitude whose logarithm is taken."""
STFT_WINDOWS = (512, 1024, 2048)
COMPRESSION = 0.3
"""Exponent of the magnitudes in the complex STFT loss."""
COMPRESSION_FLOOR = 1e-10
"""Added to the power before it is compressed, which keeps the gradient finite on silence; 0 dB is a sine of full scale,
so this is -100 dB."""
A_WEIGHTED_WINDOW = 1024
TINY = 1e-8
"""Magnitude that stands for silent targets where a sum over them is a divisor."""
SILENCE = 1e-3
"""Mean magnitude per bin below which a target counts as silent: about -60 dBFS of white noise."""


@cached_constant
def _mel_filters(sample_rate: int, window: int, bands: int) -> Tensor:
    return mel_filters(sample_rate, window, bands).float().T.contiguous()


def _log_mel(spectrogram: Tensor, filters: Tensor) -> Tensor:
    return linear(spectrogram, filters.T).clamp(min=MEL_CLAMP).log10()


def mel_loss(pair: SpectrogramPair, sample_rate: int) -> Tensor:
    """Return the multi-scale log-mel distance as DAC defines it.

    Each scale is the mean absolute difference of log10 mel magnitudes, clamped at 1e-5, with windows of 32 to 2048
    samples and 5 to 320 Slaney bands; the distance is the sum over the seven scales. With fewer ``pair.mel_scales``, it
    is their sum times 7 / number, an unbiased estimate if the scales are drawn at random.

    Source: R. Kumar et al., "High-fidelity audio compression with improved RVQGAN", 2023.

    Args:
        pair: output and target
        sample_rate: sample rate in Hz

    Returns:
        The distance, a scalar.
    """
    total = pair.output.new_zeros(())
    for scale in pair.mel_scales:
        window = MEL_WINDOWS[scale]
        filters = _mel_filters(sample_rate, window, MEL_BANDS[scale], pair.output.device)
        target = _log_mel(pair.target_spectrogram(window), filters)
        total = total + (_log_mel(pair.output_spectrogram(window), filters) - target).abs().mean()
    return total * (len(MEL_WINDOWS) / len(pair.mel_scales))


def stft_loss(pair: SpectrogramPair, processes: Processes = ONE_PROCESS) -> Tensor:
    """Return the multi-resolution STFT loss, with windows of 512, 1024 and 2048 samples.

    For each window it is the spectral convergence, the norm of the difference of magnitudes relative to that of the
    target, plus the mean absolute difference of their natural logarithms. One silent excerpt would outweigh the whole
    batch in the convergence, so it leaves out silent targets.

    Source: R. Yamamoto et al., "Parallel WaveGAN", 2020, as C. Steinmetz, J. Reiss, "auraloss", 2020, compute it.

    Args:
        pair: output and target. Silent targets count in the logarithmic part alone.
        processes: those that share the batch, of which ``pair`` is a part

    Returns:
        Mean over the windows, a scalar.
    """
    losses = []
    for window in STFT_WINDOWS:
        output, target = pair.output_spectrogram(window), pair.target_spectrogram(window)
        norms = torch.stack([torch.linalg.vector_norm(each, dim=(1, 2)) for each in (output - target, target)], 1)
        audible = torch.where(target.mean((1, 2))[:, None] > SILENCE, norms, 0.0)
        distance, level = torch.linalg.vector_norm(processes.gather(audible), dim=0)
        convergence = distance / level.clamp(min=TINY)  # without any audible target the ratio is 0
        losses.append(convergence + (output.log() - target.log()).abs().mean())
    return torch.stack(losses).mean()


def _compress(spectrogram: ComplexSpectrogram, window: int) -> ComplexSpectrogram:
    """Compress magnitudes, relative to that of a sine of full scale, and keep phases."""
    scale = 4 / window
    power = (spectrogram.real.square() + spectrogram.imaginary.square()) * scale**2
    gain = scale * (power + COMPRESSION_FLOOR) ** ((COMPRESSION - 1) / 2)
    return ComplexSpectrogram(spectrogram.real * gain, spectrogram.imaginary * gain)


def complex_stft_loss(pair: SpectrogramPair) -> Tensor:
    """Return the mean squared difference of complex STFTs whose magnitudes are compressed by a power law.

    Phases count, unlike in the other spectral losses, and quiet parts more than in the L2 distance of waveforms. The
    exponent is 0.3; windows have 512, 1024 and 2048 samples.

    Sources: A. Ephrat et al., "Looking to listen at the cocktail party", SIGGRAPH 2018; S. Braun, I. Tashev, "Data
    augmentation and loss normalization for deep noise suppression", 2020, whose loss has an additional term of
    magnitudes.

    Args:
        pair: output and target

    Returns:
        Mean over bins, frames, batch and windows, a scalar. A sine of full scale has the magnitude 1.
    """
    losses = []
    for window in STFT_WINDOWS:
        target = _compress(pair.target_stft(window), window)
        output = _compress(pair.output_stft(window), window)
        error = (output.real - target.real).square() + (output.imaginary - target.imaginary).square()
        losses.append(error.mean())
    return torch.stack(losses).mean()


@cached_constant
def a_weights(sample_rate: int, window: int) -> Tensor:
    """Return the gain of the A curve (IEC 61672-1) at each bin of an STFT.

    Args:
        sample_rate: sample rate in Hz
        window: length of the window in samples

    Returns:
        Factors for magnitudes, 1 at 1 kHz, ``[window / 2 + 1]``.
    """
    frequencies = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    return (10 ** (a_weighting(frequencies) / 20)).float()


def a_weighted_loss(pair: SpectrogramPair, sample_rate: int) -> Tensor:
    """Return the mean absolute difference of A-weighted magnitudes, relative to the mean of the target.

    Args:
        pair: output and target. A silent target counts as if its mean were :data:`SILENCE`.
        sample_rate: sample rate in Hz

    Returns:
        The difference, a scalar.
    """
    weights = a_weights(sample_rate, A_WEIGHTED_WINDOW, pair.output.device)
    target = pair.target_spectrogram(A_WEIGHTED_WINDOW) * weights
    difference = (pair.output_spectrogram(A_WEIGHTED_WINDOW) * weights - target).abs().mean((1, 2))
    return (difference / target.mean((1, 2)).clamp(min=SILENCE)).mean()
