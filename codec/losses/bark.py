"""Critical bands of hearing: the Bark scale, the threshold in quiet, and STFT bins summed into bands.

Sources: Bark scale, E. Zwicker, E. Terhardt, "Analytical expressions for critical-band rate and critical bandwidth as a
function of frequency", JASA 1980; threshold in quiet, E. Terhardt, "Calculating virtual pitch", Hearing Research 1979.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import one_hot

BANDS_PER_BARK = 2


@dataclass(frozen=True)
class BarkBands:
    """Bins of an STFT divided into bands of half a Bark, in float64. Bands that would hold no bin are left out."""

    bins_hz: Tensor
    """Centre frequencies of the bins, ``[bins]``."""
    assignment: Tensor
    """1 where a bin belongs to a band, else 0, ``[bins, bands]``."""
    centre_hz: Tensor
    """Mean frequency of the bins of each band, ``[bands]``."""


def hz_to_bark(frequency_hz: Tensor) -> Tensor:
    """Return the critical-band rate of frequencies.

    Args:
        frequency_hz: frequencies in Hz, of any shape

    Returns:
        Critical-band rates in Bark, of the same shape.

    >>> [round(value, 1) for value in hz_to_bark(torch.tensor([100.0, 1000.0, 8000.0])).tolist()]
    [1.0, 8.5, 21.3]
    """
    return 13 * torch.atan(0.00076 * frequency_hz) + 3.5 * torch.atan((frequency_hz / 7500) ** 2)


def threshold_in_quiet_db_spl(frequency_hz: Tensor) -> Tensor:
    """Return the level below which a tone is not heard in silence.

    Args:
        frequency_hz: frequencies in Hz, of any shape; below 20 Hz the value at 20 Hz is returned

    Returns:
        Levels in dB of sound pressure, of the same shape. The ear is most sensitive between 3 and 4 kHz.

    >>> threshold_in_quiet_db_spl(torch.tensor([100.0, 1000.0, 3300.0])).round()
    tensor([23.,  3., -5.])
    """
    khz = frequency_hz.clamp(min=20) / 1000
    return 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + 1e-3 * khz**4


def make_bark_bands(sample_rate: int, window: int) -> BarkBands:
    """Divide the bins of an STFT into bands of half a Bark.

    Args:
        sample_rate: sample rate in Hz
        window: length of the window in samples; there are ``window / 2 + 1`` bins

    Returns:
        The bands, from low to high.
    """
    bins_hz = torch.linspace(0, sample_rate / 2, window // 2 + 1, dtype=torch.float64)
    index = (hz_to_bark(bins_hz) * BANDS_PER_BARK).floor().long()
    _, index = index.unique(return_inverse=True)  # the lowest bands may hold no bin
    assignment = one_hot(index).double()
    return BarkBands(bins_hz, assignment, (assignment * bins_hz[:, None]).sum(0) / assignment.sum(0))


def power_divisor(window: int) -> float:
    """Return the divisor that makes a sum of squared STFT magnitudes a mean square of the waveform.

    By Parseval's theorem, the bins up to half the sample rate sum to ``window / 2`` times the energy of the windowed
    frame, and a Hann window keeps 3/8 of the energy.

    Args:
        window: length of the Hann window in samples

    Returns:
        The divisor.
    """
    return window / 2 * 3 / 8 * window
