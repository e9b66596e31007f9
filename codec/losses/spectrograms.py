"""Magnitude spectrograms, computed once per window and shared by every loss that uses them.

Spectrograms are ``[batch, frames, bins]``: Hann windows, a hop of a quarter of the window, centred frames with
reflected edges, as in ``torch.stft``.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

MATMUL_UP_TO = 128
"""Longest window, in samples, that is transformed by a matrix product: forward and backward, that is faster than an FFT
(measured on a CPU)."""

ALL_MEL_SCALES = tuple(range(7))
"""Indices of all scales of the mel distance."""

POWER_FLOOR = 1e-12
"""Added to the power before the root, which keeps the gradient finite on silence; -120 dB in magnitude."""

_Builder = TypeVar("_Builder", bound=Callable[..., object])


def cached_constant(build: _Builder) -> _Builder:
    """Decorate a function so that it computes its tensors once for each of its arguments.

    They are ordinary tensors even if the first call is in inference mode, whose tensors could not serve a later
    training step.

    Args:
        build: function of hashable arguments

    Returns:
        The function with a cache.
    """
    return cast(_Builder, functools.lru_cache(maxsize=64)(torch.inference_mode(False)(build)))


@cached_constant
def _hann(window: int, device: torch.device) -> Tensor:
    return torch.hann_window(window, device=device)


@cached_constant
def _fourier_basis(window: int, device: torch.device) -> Tensor:
    """Windowed cosines and sines, ``[window, 2 * bins]``."""
    n = torch.arange(window, dtype=torch.float64)
    phase = 2 * math.pi / window * torch.outer(n, n[: window // 2 + 1])
    basis = torch.cat([phase.cos(), phase.sin()], 1) * torch.hann_window(window, dtype=torch.float64)[:, None]
    return basis.float().to(device)


def magnitude_spectrogram(waveform: Tensor, window: int) -> Tensor:
    """Return the magnitudes of an STFT.

    Args:
        waveform: ``[batch, samples]``
        window: length of the Hann window in samples; the hop is a quarter of it

    Returns:
        Magnitudes, ``[batch, frames, window / 2 + 1]``.
    """
    # reflection needs as many samples as it adds
    padded = torch.nn.functional.pad(waveform, (0, max(0, window // 2 + 1 - waveform.shape[1])))
    padded = torch.nn.functional.pad(padded[:, None], (window // 2, window // 2), mode="reflect")[:, 0]
    frames = padded.unfold(1, window, window // 4)
    if window <= MATMUL_UP_TO:
        real, imaginary = (frames @ _fourier_basis(window, waveform.device)).chunk(2, -1)
    else:
        parts = torch.view_as_real(torch.fft.rfft(frames * _hann(window, waveform.device)))
        real, imaginary = parts.unbind(-1)
    return (real.square() + imaginary.square() + POWER_FLOOR).sqrt()


class SpectrogramPair:
    """Output and target of one step, with the spectrograms of both. The target carries no gradients.

    Args:
        output: decoded waveforms, ``[batch, 1, samples]``, of any floating type; computed in float32
        target: original waveforms of the same shape
        mel_scales: scales for the mel distance
    """

    def __init__(self, output: Tensor, target: Tensor, mel_scales: Sequence[int] = ALL_MEL_SCALES):
        self.mel_scales = mel_scales
        self.output = output[:, 0].float()
        self.target = target[:, 0].detach().float()
        self._output: dict[int, Tensor] = {}
        self._target: dict[int, Tensor] = {}

    def output_spectrogram(self, window: int) -> Tensor:
        """Return the magnitudes of the output, with gradients unless these are disabled at the first call.

        Args:
            window: length of the window in samples

        Returns:
            Magnitudes, ``[batch, frames, window / 2 + 1]``.
        """
        if window not in self._output or (torch.is_grad_enabled() and not self._output[window].requires_grad):
            self._output[window] = magnitude_spectrogram(self.output, window)
        return self._output[window]

    def target_spectrogram(self, window: int) -> Tensor:
        """Return the magnitudes of the target.

        Args:
            window: length of the window in samples

        Returns:
            Magnitudes, ``[batch, frames, window / 2 + 1]``.
        """
        if window not in self._target:
            with torch.no_grad():
                self._target[window] = magnitude_spectrogram(self.target, window)
        return self._target[window]
