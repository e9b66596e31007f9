r"""Noise-to-mask ratio (NMR): how far the coding noise rises above the masking threshold of the target.

Band energies on the Bark scale are spread over neighbouring bands, lowered by an offset that depends on how tonal the
frame is, and bounded below by the threshold in quiet; the result is the masking threshold :math:`T`. The noise
:math:`N` is the squared difference of magnitude spectra. The loss is the mean over bands and frames of
:math:`\log_{10}(1 + N / T)`: it grows while noise is audible and levels off once noise is masked.

Sources: spreading, M. Schroeder, B. Atal, J. Hall, JASA 1979; tonality and offsets, J. Johnston, IEEE JSAC 1988;
calibration and noise from magnitudes after ISO 11172-3, psychoacoustic model 1, and ITU-R BS.1387; Bark scale and
threshold in quiet, see :mod:`codec.losses.bark`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.losses.bark import hz_to_bark, make_bark_bands, power_divisor, threshold_in_quiet_db_spl
from codec.losses.spectrograms import SpectrogramPair, cached_constant
from codec.model.products import linear

FULL_SCALE_DB_SPL = 96.0
"""Assumed sound pressure level of a sine at full scale."""


@dataclass(frozen=True)
class MaskingBands:
    """Constants of the masking model for one sample rate. Powers are mean squares, full scale 1."""

    assignment: Tensor
    """Sums bins into bands, ``[bins, bands]``."""
    spreading: Tensor
    """Power that a masker in one band (row) adds in another (column), ``[bands, bands]``."""
    bark: Tensor
    """Centres of the bands in Bark, ``[bands]``."""
    quiet: Tensor
    """Threshold in quiet as a power, ``[bands]``."""
    scale: float
    """Factor from squared STFT magnitudes to powers."""


def masking_window(sample_rate: int) -> int:
    """Return the length of the STFT window: 43 to 64 ms, long enough to resolve the lowest bands.

    Args:
        sample_rate: sample rate in Hz

    Returns:
        Length in samples.
    """
    return 1024 if sample_rate <= 24000 else 2048


def spreading_db(distance_bark: Tensor) -> Tensor:
    """Return the level of masking at a distance from the masker (Schroeder et al. 1979).

    Args:
        distance_bark: distances above the masker in Bark; negative below it

    Returns:
        Levels in dB relative to the masker, of the same shape.
    """
    x = distance_bark + 0.474
    return 15.81 + 7.5 * x - 17.5 * (1 + x**2).sqrt()


@cached_constant
def masking_bands(sample_rate: int) -> MaskingBands:
    """Return the constants of the masking model.

    Args:
        sample_rate: sample rate in Hz

    Returns:
        The constants, in float32 on the device that follows the sample rate.
    """
    window = masking_window(sample_rate)
    bands = make_bark_bands(sample_rate, window)
    centre = hz_to_bark(bands.centre_hz)
    spreading = 10 ** (spreading_db(centre[None, :] - centre[:, None]) / 10)
    quiet = 0.5 * 10 ** ((threshold_in_quiet_db_spl(bands.centre_hz) - FULL_SCALE_DB_SPL) / 10)
    return MaskingBands(
        bands.assignment.float(),
        spreading.float(),
        centre.float(),
        quiet.float(),
        1 / power_divisor(window),
    )


def masking_threshold(spectrogram: Tensor, bands: MaskingBands) -> Tensor:
    """Return the power below which noise is masked.

    Args:
        spectrogram: magnitudes of the masker, ``[batch, frames, bins]``
        bands: constants of the masking model

    Returns:
        Masking thresholds as mean squares, ``[batch, frames, bands]``.
    """
    power = spectrogram.square() * bands.scale
    flatness_db = 10 * (power.clamp(min=1e-20).log10().mean(-1) - power.mean(-1).clamp(min=1e-20).log10())
    tonality = (flatness_db / -60).clamp(0, 1)[..., None]
    offset_db = tonality * (14.5 + bands.bark) + (1 - tonality) * 5.5
    spread = linear(linear(power, bands.assignment.T), bands.spreading.T)
    return torch.maximum(spread * 10 ** (-offset_db / 10), bands.quiet)


def noise_to_mask_loss(pair: SpectrogramPair, sample_rate: int) -> Tensor:
    """Return the noise-to-mask ratio as a loss.

    Args:
        pair: output and target
        sample_rate: sample rate in Hz

    Returns:
        Mean of log10(1 + noise / threshold) over bands, frames and batch, a scalar: 0 if nothing is audible, 0.3 if
        noise is at the threshold everywhere.
    """
    bands, window = masking_bands(sample_rate, pair.output.device), masking_window(sample_rate)
    target = pair.target_spectrogram(window)
    with torch.no_grad():
        threshold = masking_threshold(target, bands)
    power = (pair.output_spectrogram(window) - target).square() * bands.scale
    noise = linear(power, bands.assignment.T)
    return torch.log10(1 + noise / threshold).mean()
