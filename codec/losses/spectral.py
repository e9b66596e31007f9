"""Distances between spectrograms: multi-scale log-mel, multi-resolution STFT, A-weighted STFT."""

import warnings

import librosa
import numpy as np
import torch
from auraloss.freq import STFTLoss
from torch import Tensor

from codec.losses.spectrograms import Pair, constant

MEL_WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
MEL_BANDS = (5, 10, 20, 40, 80, 160, 320)
MEL_CLAMP = 1e-5
STFT_WINDOWS = (512, 1024, 2048)
A_WEIGHTED_WINDOW = 1024
SILENCE = 1e-3
"""Mean magnitude per bin below which a target counts as silent: about -60 dBFS of white noise."""


@constant
def _mel_bank(sample_rate: int, window: int, bands: int, device: torch.device) -> Tensor:
    with warnings.catch_warnings():
        # the shortest windows cannot fill every band; that is part of the definition
        warnings.simplefilter("ignore", UserWarning)
        bank = librosa.filters.mel(sr=sample_rate, n_fft=window, n_mels=bands)
    return torch.from_numpy(bank.T.copy()).to(device)


def _log_mel(spectrum: Tensor, bank: Tensor) -> Tensor:
    return (spectrum @ bank).clamp(min=MEL_CLAMP).log10()


def mel(pair: Pair, sample_rate: int) -> Tensor:
    """Multi-scale log-mel distance as DAC defines it: mean absolute difference of log10 mel magnitudes, clamped at
    1e-5, with windows of 32 to 2048 samples and 5 to 320 Slaney bands; the sum over the seven scales.

    With fewer ``pair.mel_scales``, their sum times 7 / number: an estimate without bias where they are drawn at random.

    Source: R. Kumar et al., "High-fidelity audio compression with improved RVQGAN", 2023.
    """
    total = pair.output.new_zeros(())
    for scale in pair.mel_scales:
        window = MEL_WINDOWS[scale]
        bank = _mel_bank(sample_rate, window, MEL_BANDS[scale], pair.output.device)
        target = _log_mel(pair.target_spectrum(window), bank)
        total = total + (_log_mel(pair.output_spectrum(window), bank) - target).abs().mean()
    return total * (len(MEL_WINDOWS) / len(pair.mel_scales))


class SharedSTFTLoss(STFTLoss):
    """auraloss's STFT loss (spectral convergence and log magnitude), on spectrograms that are already there.

    Its spectral convergence divides by the norm of the target: one silent excerpt would outweigh the whole batch, so
    silent targets are left out of that term.
    """

    def forward_spectra(self, output: Tensor, target: Tensor) -> Tensor:
        heard = target.mean((1, 2)) > SILENCE
        logarithmic = self.logstft(output, target)
        return logarithmic + (self.spectralconv(output[heard], target[heard]).mean() if heard.any() else 0.0)


_STFT_LOSSES = {w: SharedSTFTLoss(fft_size=w, hop_size=w // 4, win_length=w) for w in STFT_WINDOWS}


def stft(pair: Pair) -> Tensor:
    """auraloss's multi-resolution STFT loss with windows of 512, 1024 and 2048 samples: the mean over them.

    Source: R. Yamamoto et al., "Parallel WaveGAN", 2020; C. Steinmetz, J. Reiss, "auraloss", 2020.
    """
    losses = [
        loss.forward_spectra(pair.output_spectrum(window), pair.target_spectrum(window))
        for window, loss in _STFT_LOSSES.items()
    ]
    return torch.stack(losses).mean()


@constant
def a_weights(sample_rate: int, window: int, device: torch.device) -> Tensor:
    """Gain of the A curve (IEC 61672) at each bin, 1 at 1 kHz."""
    frequencies = librosa.fft_frequencies(sr=sample_rate, n_fft=window)
    with np.errstate(divide="ignore"):  # the curve is -inf dB at 0 Hz, which librosa bounds
        decibel = librosa.A_weighting(frequencies)
    return torch.from_numpy(10 ** (decibel / 20)).float().to(device)


def a_weighted(pair: Pair, sample_rate: int) -> Tensor:
    """Mean absolute difference of A-weighted magnitudes, relative to the target's mean (or to the level of silence)."""
    weights = a_weights(sample_rate, A_WEIGHTED_WINDOW, pair.output.device)
    target = pair.target_spectrum(A_WEIGHTED_WINDOW) * weights
    difference = (pair.output_spectrum(A_WEIGHTED_WINDOW) * weights - target).abs().mean((1, 2))
    return (difference / target.mean((1, 2)).clamp(min=SILENCE)).mean()
