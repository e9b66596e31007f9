"""Detection of audio above a model's band, which is not coded.

A model codes frequencies up to half its sample rate. While a file is coded, the energy of the source above that limit
is compared with the whole, in the spectrum of every fourth window. A share of one in a thousand (-30 dB) is reported as
audible content that is lost: the cymbals of music, for instance, but not the little energy of fricatives in speech.
"""

import numpy as np

from codec.audio.waveform import FloatArray

ABOVE_BAND_THRESHOLD = 1e-3
"""Share of the energy above the model's Nyquist frequency from which a file is reported."""

_WINDOW = 1024
_HANN = np.hanning(_WINDOW).astype(np.float32)
_EVERY = 4
_MARGIN = 1.05
"""Lower edge of the energy that is counted, relative to the model's Nyquist frequency: windows leak across it."""


class AboveBandMeter:
    """A meter of the energy above a model's band, fed block by block, in constant memory.

    Args:
        sample_rate: sample rate of the source, in Hz
        model_rate: sample rate of the model, in Hz

    >>> seconds = np.arange(48000) / 48000
    >>> meter = AboveBandMeter(48000, 16000)
    >>> meter.push(np.sin(2 * np.pi * 12000 * seconds)[None].astype(np.float32))
    >>> round(meter.share, 3)
    1.0
    """

    def __init__(self, sample_rate: int, model_rate: int) -> None:
        self._needed = sample_rate > model_rate * _MARGIN
        self._first = int(np.ceil(_MARGIN * model_rate / 2 / (sample_rate / _WINDOW)))
        self._above = self._all = 0.0
        self._rest: FloatArray | None = None

    def push(self, block: FloatArray) -> None:
        """Measure the next block.

        Args:
            block: float32 ``[channels, n]``. Samples that do not fill four windows wait for the next block.
        """
        if not self._needed:
            return
        wave = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        whole = wave.shape[1] // (_EVERY * _WINDOW) * _EVERY * _WINDOW
        self._rest = wave[:, whole:]
        windows = wave[:, :whole].reshape(block.shape[0], -1, _WINDOW)[:, ::_EVERY]
        energy = (np.abs(np.fft.rfft(windows * _HANN)) ** 2).sum(axis=(0, 1), dtype=np.float64)
        self._above += float(energy[self._first :].sum())
        self._all += float(energy[2:].sum())  # a constant offset, which the window spreads to two bins, is inaudible

    @property
    def share(self) -> float:
        """Energy above the band relative to all energy but DC, from 0 to 1; 0 for silence."""
        return self._above / self._all if self._all else 0.0
