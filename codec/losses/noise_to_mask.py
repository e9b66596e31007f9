r"""Noise-to-mask ratio: how far the error rises above what the target masks.

Band energies on the Bark scale (two bands per Bark) are spread over neighbouring bands, lowered by an offset that
depends on how tonal the frame is, and bounded below by the threshold in quiet; that is the masking threshold
:math:`T`. The error :math:`N` is the squared difference of magnitude spectra. The loss is the mean over bands and
frames of :math:`\log_{10}(1 + N / T)`: it grows while noise is audible and levels off where it is masked.

Sources: Bark scale and threshold in quiet, E. Zwicker, E. Terhardt, JASA 1980, and E. Terhardt, Hearing Research 1979;
spreading, M. Schroeder, B. Atal, J. Hall, JASA 1979; tonality and offsets, J. Johnston, IEEE JSAC 1988; calibration and
noise from magnitudes after ISO 11172-3, model 1, and ITU-R BS.1387.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.losses.spectrograms import Pair, constant

BANDS_PER_BARK = 2
FULL_SCALE_DB_SPL = 96.0
"""Sound pressure level of a sine at full scale."""


@dataclass(frozen=True)
class Bands:
    """``assignment`` ``[bins, bands]`` sums bins into bands; ``spreading`` ``[bands, bands]`` from masker to maskee;
    ``bark``, ``quiet`` (as mean square, full scale 1) ``[bands]``; ``scale`` from bin power to mean square."""

    assignment: Tensor
    spreading: Tensor
    bark: Tensor
    quiet: Tensor
    scale: float


def window_for(sample_rate: int) -> int:
    """About 43 to 64 ms, long enough to resolve the lowest bands."""
    return 1024 if sample_rate <= 24000 else 2048


def bark(frequency_hz: Tensor) -> Tensor:
    """Critical-band rate (Zwicker and Terhardt 1980)."""
    return 13 * torch.atan(0.00076 * frequency_hz) + 3.5 * torch.atan((frequency_hz / 7500) ** 2)


def spreading_db(distance_bark: Tensor) -> Tensor:
    """Level of masking at ``distance_bark`` above the masker, relative to it (Schroeder et al. 1979)."""
    x = distance_bark + 0.474
    return 15.81 + 7.5 * x - 17.5 * (1 + x**2).sqrt()


def quiet_db_spl(frequency_hz: Tensor) -> Tensor:
    """Threshold in quiet (Terhardt 1979)."""
    khz = frequency_hz.clamp(min=20) / 1000
    return 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4


@constant
def bands_for(sample_rate: int, device: torch.device) -> Bands:
    window = window_for(sample_rate)
    frequencies = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    index = (bark(frequencies) * BANDS_PER_BARK).floor().long()
    _, index = index.unique(return_inverse=True)  # the lowest bands may hold no bin
    assignment = torch.nn.functional.one_hot(index).double()
    centre_hz = (assignment * frequencies[:, None]).sum(0) / assignment.sum(0)
    centre = bark(centre_hz)
    spreading = 10 ** (spreading_db(centre[None, :] - centre[:, None]) / 10)
    quiet = 0.5 * 10 ** ((quiet_db_spl(centre_hz) - FULL_SCALE_DB_SPL) / 10)
    # Parseval: the bins up to half the rate sum to window / 2 times the windowed energy; a Hann window keeps 3/8 of it
    scale = 1 / (window / 2 * 3 / 8 * window)
    return Bands(
        assignment.float().to(device),
        spreading.float().to(device),
        centre.float().to(device),
        quiet.float().to(device),
        scale,
    )


def masking_threshold(spectrum: Tensor, bands: Bands) -> Tensor:
    """Magnitudes ``[batch, frames, bins]`` to the threshold as mean square ``[batch, frames, bands]``."""
    power = spectrum.square() * bands.scale
    flatness_db = 10 * (power.clamp(min=1e-20).log10().mean(-1) - power.mean(-1).clamp(min=1e-20).log10())
    tonality = (flatness_db / -60).clamp(0, 1)[..., None]
    offset_db = tonality * (14.5 + bands.bark) + (1 - tonality) * 5.5
    spread = power @ bands.assignment @ bands.spreading
    return torch.maximum(spread * 10 ** (-offset_db / 10), bands.quiet)


def nmr(pair: Pair, sample_rate: int) -> Tensor:
    """Mean log10(1 + noise / threshold) over bands, frames and batch. 0: nothing audible; 0.3: noise at the
    threshold."""
    bands, window = bands_for(sample_rate, pair.output.device), window_for(sample_rate)
    target = pair.target_spectrum(window)
    with torch.no_grad():
        threshold = masking_threshold(target, bands)
    noise = (pair.output_spectrum(window) - target).square() * bands.scale @ bands.assignment
    return torch.log10(1 + noise / threshold).mean()
