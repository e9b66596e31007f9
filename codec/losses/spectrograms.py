"""Spectrograms, complex and of magnitudes, computed once per window and shared by every loss that uses them.

Spectrograms are ``[batch, frames, bins]``: Hann windows, a hop of a quarter of the window, centred frames with
reflected edges, as in ``torch.stft``.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from codec.model.products import linear

MATMUL_UP_TO = 128
"""Longest window, in samples, that is transformed by a matrix product: forward and backward, that is faster than an FFT
(measured on a CPU)."""

ALL_MEL_SCALES = tuple(range(7))
"""Indices of all scales of the mel distance."""

POWER_FLOOR = 1e-12
"""Added to the power before the root, which keeps the gradient finite on silence; -120 dB in magnitude."""

_Constant = TypeVar("_Constant")


def cached_constant(build: Callable[..., _Constant]) -> Callable[..., _Constant]:
    """Decorate a function so that it computes its tensors once for each of its arguments, and moves them to a device.

    They are ordinary tensors even if the first call is in inference mode, whose tensors could not serve a later
    training step.

    Args:
        build: function of hashable arguments that returns a tensor, or a dataclass with tensors, on the CPU

    Returns:
        The function with a cache, and with the device as an additional last argument.
    """
    built = functools.lru_cache(maxsize=64)(torch.inference_mode(False)(build))

    @functools.wraps(build)
    def on_device(*arguments: Any) -> Any:
        made, device = built(*arguments[:-1]), arguments[-1]
        with torch.inference_mode(False):
            if isinstance(made, Tensor):
                return made.to(device)
            moved = {name: value.to(device) for name, value in vars(made).items() if isinstance(value, Tensor)}
            return dataclasses.replace(made, **moved)  # type: ignore[type-var]

    return functools.lru_cache(maxsize=64)(on_device)


@cached_constant
def _hann(window: int) -> Tensor:
    return torch.hann_window(window)


@cached_constant
def _fourier_basis(window: int) -> Tensor:
    """Windowed cosines and negative sines, ``[window, 2 * bins]``."""
    n = torch.arange(window, dtype=torch.float64)
    phase = 2 * math.pi / window * torch.outer(n, n[: window // 2 + 1])
    basis = torch.cat([phase.cos(), -phase.sin()], 1) * torch.hann_window(window, dtype=torch.float64)[:, None]
    return basis.float()


@dataclass(frozen=True)
class ComplexSpectrogram:
    """An STFT, as two real tensors ``[batch, frames, bins]``."""

    real: Tensor
    imaginary: Tensor

    def magnitude(self) -> Tensor:
        """Return the magnitudes.

        Returns:
            ``[batch, frames, bins]``.
        """
        return (self.real.square() + self.imaginary.square() + POWER_FLOOR).sqrt()


def complex_spectrogram(waveform: Tensor, window: int) -> ComplexSpectrogram:
    """Compute an STFT.

    Args:
        waveform: ``[batch, samples]``
        window: length of the Hann window in samples; the hop is a quarter of it

    Returns:
        The STFT, of ``window / 2 + 1`` bins.
    """
    # reflection needs as many samples as it adds
    padded = torch.nn.functional.pad(waveform, (0, max(0, window // 2 + 1 - waveform.shape[1])))
    padded = torch.nn.functional.pad(padded[:, None], (window // 2, window // 2), mode="reflect")[:, 0]
    frames = padded.unfold(1, window, window // 4)
    if window <= MATMUL_UP_TO:
        return ComplexSpectrogram(*linear(frames, _fourier_basis(window, waveform.device).T).chunk(2, -1))
    parts = torch.view_as_real(torch.fft.rfft(frames * _hann(window, waveform.device)))
    return ComplexSpectrogram(*parts.unbind(-1))


def _lacks_gradients(tensor: Tensor) -> bool:
    return torch.is_grad_enabled() and not tensor.requires_grad


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
        self._output: dict[int, ComplexSpectrogram] = {}
        self._target: dict[int, ComplexSpectrogram] = {}
        self._output_magnitude: dict[int, Tensor] = {}
        self._target_magnitude: dict[int, Tensor] = {}

    def output_stft(self, window: int) -> ComplexSpectrogram:
        """Return the STFT of the output, with gradients unless these are disabled at the first call.

        Args:
            window: length of the window in samples

        Returns:
            The STFT, of ``window / 2 + 1`` bins.
        """
        if window not in self._output or _lacks_gradients(self._output[window].real):
            self._output[window] = complex_spectrogram(self.output, window)
        return self._output[window]

    def target_stft(self, window: int) -> ComplexSpectrogram:
        """Return the STFT of the target.

        Args:
            window: length of the window in samples

        Returns:
            The STFT, of ``window / 2 + 1`` bins.
        """
        if window not in self._target:
            with torch.no_grad():
                self._target[window] = complex_spectrogram(self.target, window)
        return self._target[window]

    def output_spectrogram(self, window: int) -> Tensor:
        """Return the magnitudes of the output, with gradients unless these are disabled at the first call.

        Args:
            window: length of the window in samples

        Returns:
            Magnitudes, ``[batch, frames, window / 2 + 1]``.
        """
        if window not in self._output_magnitude or _lacks_gradients(self._output_magnitude[window]):
            self._output_magnitude[window] = self.output_stft(window).magnitude()
        return self._output_magnitude[window]

    def target_spectrogram(self, window: int) -> Tensor:
        """Return the magnitudes of the target.

        Args:
            window: length of the window in samples

        Returns:
            Magnitudes, ``[batch, frames, window / 2 + 1]``.
        """
        if window not in self._target_magnitude:
            self._target_magnitude[window] = self.target_stft(window).magnitude()
        return self._target_magnitude[window]
