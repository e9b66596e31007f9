"""How far a decode lies from its original in time: the peak of the cross-correlation, to a fraction of a sample."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.fft import next_fast_len

from codec.audio import FloatArray

NEIGHBOURS = 64
"""Lags on either side between which the correlation is interpolated."""
STEPS = 64
"""Of a sample: the grid on which the peak is sought."""


@dataclass(frozen=True)
class Correlation:
    """Normalised cross-correlation, 1 for equal waveforms. ``values``: from lag ``-(samples - 1)`` on."""

    values: npt.NDArray[np.float64]

    @property
    def centre(self) -> int:
        """Index of lag 0."""
        return len(self.values) // 2

    def near(self, most: int) -> npt.NDArray[np.float64]:
        """At lags of at most ``most`` samples either way."""
        return self.values[max(0, self.centre - most) : self.centre + most + 1]

    def at(self, lag: int) -> float:
        return float(self.values[self.centre + lag])


def correlate(decoded: FloatArray, original: FloatArray) -> Correlation | None:
    """Cross-correlate two waveforms ``[channels, samples]`` of one shape, summed over channels; None where one is
    silent."""
    samples = original.shape[1]
    first, second = decoded.astype(np.float64), original.astype(np.float64)
    energy = float(np.sqrt(np.sum(np.square(first)) * np.sum(np.square(second))))
    if not energy:
        return None
    size = next_fast_len(2 * samples, real=True)
    spectrum = np.fft.rfft(first, size) * np.conj(np.fft.rfft(second, size))
    circular = np.fft.irfft(spectrum, size).sum(0) / energy
    return Correlation(np.concatenate([circular[size - samples + 1 :], circular[:samples]]))


def find_delay(decoded: FloatArray, original: FloatArray, most: int, alike: float) -> float:
    """Find the delay of a decode of unchanged polarity, where its correlation with the original is largest.

    Args:
        decoded: ``[channels, samples]``.
        original: of the same shape.
        most: delay in samples that is looked for, either way.
        alike: correlation from which on a delay is taken to be one.

    Returns:
        Samples by which ``decoded`` comes late, to a fraction of a sample; 0 where the correlation is nowhere ``alike``
        or still grows at ``most``.
    """
    found = correlate(decoded, original)
    if found is None or found.centre <= most:
        return 0.0
    peak = int(found.near(most).argmax()) - most
    if found.at(peak) < alike or abs(peak) == most:
        return 0.0
    padded = np.pad(found.values, NEIGHBOURS)
    around = padded[found.centre + peak : found.centre + peak + 2 * NEIGHBOURS + 1]
    fractions = np.arange(-STEPS, STEPS + 1) / STEPS
    distances = fractions[:, None] - np.arange(-NEIGHBOURS, NEIGHBOURS + 1)
    window = np.square(np.cos(np.pi / 2 * np.clip(distances / (NEIGHBOURS + 1), -1, 1)))
    interpolated = (np.sinc(distances) * window) @ around
    return peak + float(fractions[int(interpolated.argmax())])


def advance(wave: FloatArray, samples: float) -> FloatArray:
    """``[channels, samples]`` moved to the beginning by a number of samples that need not be whole; what comes in at an
    end is silence."""
    if not samples:
        return wave
    length = wave.shape[1]
    size = next_fast_len(length + 2 * (NEIGHBOURS + int(abs(samples))), real=True)
    turn = np.exp(2j * np.pi * np.fft.rfftfreq(size) * samples)
    return np.fft.irfft(np.fft.rfft(wave, size) * turn, size)[:, :length].astype(np.float32)
