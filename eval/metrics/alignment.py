"""Delay of decoded audio relative to its original: the peak of the cross-correlation, to a fraction of a sample.

>>> import numpy as np
>>> original = np.random.default_rng(0).standard_normal((1, 4000)).astype(np.float32)
>>> late = np.roll(original, 3, axis=1)
>>> find_delay(late, original, limit=8, min_correlation=0.3)
3.0
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len

from codec.audio import FloatArray

_NEIGHBOURS = 64
"""Number of lags on either side from which the correlation is interpolated."""
_STEPS = 64
"""Grid points of a sample, at which the peak is sought."""


@dataclass(frozen=True)
class Correlation:
    """Normalised cross-correlation, 1 for equal waveforms."""

    values: npt.NDArray[np.float64]
    """From lag ``-(samples - 1)`` on."""

    @property
    def centre(self) -> int:
        """Index of lag 0."""
        return len(self.values) // 2

    def near(self, limit: int) -> npt.NDArray[np.float64]:
        """Return the values at small lags.

        Args:
            limit: largest lag in samples, either way.

        Returns:
            The values from lag ``-limit`` to ``limit``.
        """
        return self.values[max(0, self.centre - limit) : self.centre + limit + 1]

    def at(self, lag: int) -> float:
        """Return the value at a lag.

        Args:
            lag: lag in samples; positive if the decoded audio is late.

        Returns:
            A number from -1 to 1.
        """
        return float(self.values[self.centre + lag])


def correlate(decoded: FloatArray, original: FloatArray) -> Correlation | None:
    """Cross-correlate two waveforms, summed over channels.

    Args:
        decoded: ``[channels, samples]``.
        original: original waveform of the same shape.

    Returns:
        The correlation at all lags; None if one of the waveforms is zero.
    """
    samples = original.shape[1]
    first, second = decoded.astype(np.float64), original.astype(np.float64)
    energy = float(np.sqrt(np.sum(np.square(first)) * np.sum(np.square(second))))
    if not energy:
        return None
    size = next_fast_len(2 * samples, real=True)
    spectrum = np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size))
    circular = np.fft.irfft(spectrum, size).sum(0) / energy
    return Correlation(np.concatenate([circular[size - samples + 1 :], circular[:samples]]))


def find_delay(decoded: FloatArray, original: FloatArray, limit: int, min_correlation: float) -> float:
    """Find the delay at which the correlation of decoded audio with the original is largest; polarity is unchanged.

    Args:
        decoded: ``[channels, samples]``.
        original: original waveform of the same shape.
        limit: largest delay in samples that is looked for, either way.
        min_correlation: smaller maxima are taken for chance.

    Returns:
        Samples by which ``decoded`` is late, to a fraction of a sample; 0 if the correlation is below
        ``min_correlation`` or still grows at ``limit``.
    """
    found = correlate(decoded, original)
    if found is None or found.centre <= limit:
        return 0.0
    peak = int(found.near(limit).argmax()) - limit
    if found.at(peak) < min_correlation or abs(peak) == limit:
        return 0.0
    padded = np.pad(found.values, _NEIGHBOURS)
    around = padded[found.centre + peak : found.centre + peak + 2 * _NEIGHBOURS + 1]
    fractions = np.arange(-_STEPS, _STEPS + 1) / _STEPS
    distances = fractions[:, None] - np.arange(-_NEIGHBOURS, _NEIGHBOURS + 1)
    window = np.square(np.cos(np.pi / 2 * np.clip(distances / (_NEIGHBOURS + 1), -1, 1)))
    interpolated = (np.sinc(distances) * window) @ around
    return peak + float(fractions[int(interpolated.argmax())])


def advance(wave: FloatArray, samples: float) -> FloatArray:
    """Shift a waveform towards its beginning, with silence coming in at the end.

    Args:
        wave: ``[channels, samples]``.
        samples: by which it is shifted; need not be whole, and may be negative.

    Returns:
        A waveform of the same shape.
    """
    if not samples:
        return wave
    length = wave.shape[1]
    size = next_fast_len(length + 2 * (_NEIGHBOURS + int(abs(samples))), real=True)
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(size) * samples)
    return np.fft.irfft(np.fft.rfft(wave, size) * turn, size)[:, :length].astype(np.float32)
