"""Sound above the band of a model: what a source holds beyond half the model's sample rate is not coded.

While a file is coded, the spectrum of every fourth window of it is taken, and the energy above the model's Nyquist
frequency compared with the whole. Speech at 48 kHz has some energy up there as well, in its fricatives; music through a
model of 16 kHz loses its cymbals. A share of one in a thousand (-30 dB) counts as sound that is lost.
"""

import numpy as np

from codec.audio.waveform import FloatArray

ABOVE_BAND_THRESHOLD = 1e-3
"""Share of the energy above the model's Nyquist frequency from which on a file counts as reaching above its band."""

_WINDOW = 1024
_EVERY = 4
_MARGIN = 1.05
"""Where the share begins, relative to the Nyquist frequency: the model's own filters end below, windows leak above."""


class AboveBandMeter:
    """Measure the share of energy above a model's band, block by block, at constant memory.

    Args:
        sample_rate: of the source, in Hz.
        model_rate: of the model, in Hz.
    """

    def __init__(self, sample_rate: int, model_rate: int) -> None:
        self._needed = sample_rate > model_rate * _MARGIN
        self._window = np.hanning(_WINDOW).astype(np.float32)
        self._first = int(np.ceil(_MARGIN * model_rate / 2 / (sample_rate / _WINDOW)))
        self._above = self._all = 0.0
        self._rest: FloatArray | None = None

    def push(self, block: FloatArray) -> None:
        """Take float32 ``[channels, n]``. A rest that is shorter than four windows waits for more."""
        if not self._needed:
            return
        wave = block if self._rest is None else np.concatenate([self._rest, block], axis=1)
        whole = wave.shape[1] // (_EVERY * _WINDOW) * _EVERY * _WINDOW
        self._rest = wave[:, whole:]
        windows = wave[:, :whole].reshape(block.shape[0], -1, _WINDOW)[:, ::_EVERY]
        energy = (np.abs(np.fft.rfft(windows * self._window)) ** 2).sum(axis=(0, 1), dtype=np.float64)
        self._above += float(energy[self._first :].sum())
        self._all += float(energy[2:].sum())  # a constant offset, which the window spreads to two bins, is no sound

    @property
    def share(self) -> float:
        """Energy above the band over the energy of the whole, without its constant offset; 0 for silence."""
        return self._above / self._all if self._all else 0.0
