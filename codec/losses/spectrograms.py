"""Magnitude spectrograms, computed once per window and shared by every loss that wants them.

Frames-major: ``[batch, frames, bins]``. Hann windows, hop a quarter of the window, centred frames with reflected
edges, as ``torch.stft`` has them.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

import torch
from torch import Tensor

MATMUL_UP_TO = 128
"""Below this window the transform is faster as a matrix product than by FFT, forward and backward (measured on a
CPU)."""

ALL_MEL_SCALES = tuple(range(7))

POWER_FLOOR = 1e-12
"""Added to the power before the root: keeps the gradient finite on silence; -120 dB in magnitude."""


Builder = TypeVar("Builder", bound=Callable[..., object])


def constant(build: Builder) -> Builder:
    """Keeps what ``build`` returns for each of its arguments, as ordinary tensors wherever it is first called: one made
    in inference mode could not serve a later training step."""
    return cast(Builder, functools.lru_cache(maxsize=64)(torch.inference_mode(False)(build)))


@constant
def _hann(window: int, device: torch.device) -> Tensor:
    return torch.hann_window(window, device=device)


@constant
def _fourier(window: int, device: torch.device) -> Tensor:
    """Windowed cosines and sines, ``[window, 2 * bins]``."""
    n = torch.arange(window, dtype=torch.float64)
    phase = 2 * math.pi / window * torch.outer(n, n[: window // 2 + 1])
    basis = torch.cat([phase.cos(), phase.sin()], 1) * torch.hann_window(window, dtype=torch.float64)[:, None]
    return basis.float().to(device)


def magnitude(wave: Tensor, window: int) -> Tensor:
    """``[batch, samples]`` to ``[batch, frames, window / 2 + 1]``."""
    # reflection needs as many samples as it adds
    padded = torch.nn.functional.pad(wave, (0, max(0, window // 2 + 1 - wave.shape[1])))
    padded = torch.nn.functional.pad(padded[:, None], (window // 2, window // 2), mode="reflect")[:, 0]
    frames = padded.unfold(1, window, window // 4)
    if window <= MATMUL_UP_TO:
        real, imaginary = (frames @ _fourier(window, wave.device)).chunk(2, -1)
    else:
        parts = torch.view_as_real(torch.fft.rfft(frames * _hann(window, wave.device)))
        real, imaginary = parts.unbind(-1)
    return (real.square() + imaginary.square() + POWER_FLOOR).sqrt()


class Pair:
    """Output and target of one step, with the spectrograms of both. Nothing of the target carries gradients."""

    def __init__(self, output: Tensor, target: Tensor, mel_scales: Sequence[int] = ALL_MEL_SCALES):
        """Both ``[batch, 1, samples]``; computed in float32 whatever their type. ``mel_scales``: for the mel
        distance."""
        self.mel_scales = mel_scales
        self.output = output[:, 0].float()
        self.target = target[:, 0].detach().float()
        self._output: dict[int, Tensor] = {}
        self._target: dict[int, Tensor] = {}

    def output_spectrum(self, window: int) -> Tensor:
        """Magnitudes of the output, with gradients unless they are disabled where this is first called."""
        if window not in self._output or (torch.is_grad_enabled() and not self._output[window].requires_grad):
            self._output[window] = magnitude(self.output, window)
        return self._output[window]

    def target_spectrum(self, window: int) -> Tensor:
        if window not in self._target:
            with torch.no_grad():
                self._target[window] = magnitude(self.target, window)
        return self._target[window]
