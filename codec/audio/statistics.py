"""Measurement of audio, block by block: levels, bandwidth, clipping and a hash of the samples."""

import hashlib
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from codec.audio.clipping import ClippingMeter
from codec.audio.waveform import FloatArray

FLOOR_DBFS = -200.0
"""Lowest level that is reported, in dB relative to full scale; also that of digital silence."""

_SPECTRUM = 2048
"""Length of the transform, in samples."""
_WINDOW = np.hanning(_SPECTRUM + 1)[:-1].astype(np.float32)
_SHORT_FRAME_S = 0.02
_BANDWIDTH_RATIO = 1e-6
"""Energy above the bandwidth relative to that of the strongest octave: -60 dB."""


@dataclass(frozen=True, slots=True)
class AudioStats:
    """Measurements of one waveform. Levels are in dB relative to full scale, never below :data:`FLOOR_DBFS`."""

    sample_rate: int = 0
    """Sample rate in Hz."""
    channels: int = 0
    """Number of channels."""
    frames: int = 0
    """Samples per channel."""
    peak_dbfs: float = FLOOR_DBFS
    """Level of the largest magnitude in any channel."""
    rms_dbfs: float = FLOOR_DBFS
    """RMS level over all channels."""
    mix_rms_dbfs: float = FLOOR_DBFS
    """RMS level of the mean of the channels."""
    noise_dbfs: float = FLOOR_DBFS
    """RMS level of the quietest tenth of the 20 ms frames: an estimate of the background noise."""
    bandwidth_hz: float = 0.0
    """Frequency above which there is 60 dB less energy than in the strongest octave."""
    clipped_share: float = 0.0
    """Share of the samples that are clipped, from 0 to 1; see :mod:`codec.audio.clipping`."""
    sha256: str = ""
    """SHA-256 of the decoded samples, which does not depend on the container."""


def _decibel(power: float) -> float:
    """Return ``10 log10(power)``, not below :data:`FLOOR_DBFS`."""
    return max(FLOOR_DBFS, 10 * math.log10(max(power, 1e-30)))


class _Frames:
    """Cut a stream of blocks ``[channels, n]`` into frames ``[channels, k, size]``; the rest is buffered."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.rest: FloatArray | None = None

    def push(self, block: FloatArray) -> FloatArray:
        joined = block if self.rest is None else np.concatenate([self.rest, block], axis=1)
        whole = joined.shape[1] // self.size * self.size
        self.rest = joined[:, whole:]
        return joined[:, :whole].reshape(len(block), -1, self.size)


class AudioMeter:
    """A meter of a waveform that arrives block by block. Memory grows by 4 bytes for each 20 ms.

    Args:
        sample_rate: sample rate of the waveform, in Hz
    """

    def __init__(self, sample_rate: int) -> None:
        self._rate = sample_rate
        self._hash = hashlib.sha256()
        self._short = _Frames(max(1, round(_SHORT_FRAME_S * sample_rate)))
        self._long = _Frames(_SPECTRUM)
        self._powers: list[npt.NDArray[np.float32]] = []
        self._spectrum = np.zeros(_SPECTRUM // 2 + 1)
        self._energy = self._mix_energy = self._peak = 0.0
        self._clipping = ClippingMeter()
        self._channels = 0
        self.frames = 0
        """Samples per channel so far."""

    def push(self, block: FloatArray) -> None:
        """Measure the next block.

        Args:
            block: float32 ``[channels, n]``, full scale 1, n > 0
        """
        self._channels = len(block)
        self.frames += block.shape[1]
        self._hash.update(np.ascontiguousarray(block.T, dtype="<f4").tobytes())
        self._peak = max(self._peak, float(np.abs(block).max()))
        self._clipping.push(block)
        self._energy += float(np.square(block, dtype=np.float64).mean(axis=0).sum())
        self._mix_energy += float(np.square(block.mean(axis=0), dtype=np.float64).sum())
        self._powers.append(np.square(self._short.push(block)).mean(axis=(0, 2)))
        self._spectrum += self._power_spectrum(self._long.push(block))

    @staticmethod
    def _power_spectrum(frames: FloatArray) -> npt.NDArray[np.float64]:
        lines = np.fft.rfft(frames * _WINDOW, axis=-1)
        return (lines.real**2 + lines.imag**2).sum(axis=(0, 1))

    def stats(self) -> AudioStats:
        """Summarise the blocks so far, of which there must be at least one.

        Returns:
            Their measurements.
        """
        return AudioStats(
            sample_rate=self._rate,
            channels=self._channels,
            frames=self.frames,
            peak_dbfs=_decibel(self._peak**2),
            rms_dbfs=_decibel(self._energy / self.frames),
            mix_rms_dbfs=_decibel(self._mix_energy / self.frames),
            noise_dbfs=_decibel(self._noise_power()),
            bandwidth_hz=self.bandwidth_hz,
            clipped_share=self._clipping.share,
            sha256=self._hash.hexdigest(),
        )

    def _noise_power(self) -> float:
        powers = np.concatenate(self._powers)
        if len(powers) == 0:
            return self._energy / self.frames
        quiet = max(1, len(powers) // 10)
        return float(np.partition(powers, quiet - 1)[:quiet].mean())

    @property
    def bandwidth_hz(self) -> float:
        """Bandwidth as in :class:`AudioStats`, of the mean power spectrum; its octaves leave out DC."""
        spectrum, rest = self._spectrum, self._long.rest
        if not spectrum.any() and rest is not None:
            padded = np.pad(rest, ((0, 0), (0, _SPECTRUM - rest.shape[1])))
            spectrum = self._power_spectrum(padded[:, None])
        edges = [2**power for power in range(1, _SPECTRUM.bit_length() - 1)]
        octaves = [float(spectrum[low : 2 * low].sum()) for low in edges]
        above = np.cumsum(spectrum[::-1])[::-1]
        (lines,) = np.nonzero(above >= _BANDWIDTH_RATIO * max(octaves))
        if max(octaves) <= 0 or len(lines) == 0:
            return 0.0
        return min((float(lines[-1]) + 0.5) / _SPECTRUM, 0.5) * self._rate
