"""Discriminator over complex spectrograms in bands.

For each window the STFT is divided into bands, and a small 2-D convolutional network classifies each band from its real
and imaginary parts. The networks are small: three layers each, not shared among bands, strided in frequency.

Source: the multi-band complex STFT discriminator of R. Kumar et al., "High-fidelity audio compression with improved
RVQGAN", 2023, at a fraction of its size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import weight_norm

WINDOWS = (2048, 1024, 512)
"""Lengths of the STFT windows in samples."""
BAND_EDGES = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Edges of the bands as shares of half the sample rate."""
NEGATIVE_SLOPE = 0.1
"""Slope of the leaky ReLU below 0."""


@dataclass(frozen=True)
class DiscriminatorOutput:
    """Outputs of the discriminators for a batch."""

    logits: list[Tensor]
    """One tensor per window, ``[batch, 1, frames, bins]`` with the bins of all bands one after the other."""
    features: list[Tensor]
    """Outputs of every layer of every band, ``[batch, width, frames, bins]``, in a fixed order."""


class BandNetwork(nn.Module):
    """Convolutional network of one band.

    Args:
        width: number of feature channels
    """

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, width, (3, 9), stride=(1, 3), padding=(1, 4))) for inputs in (2, width, width)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features of every layer.

        Args:
            x: real and imaginary parts, ``[batch, 2, frames, bins]``

        Returns:
            One tensor per layer, ``[batch, width, frames, bins]`` with a third of the bins of the layer before.
        """
        features = []
        for layer in self.layers:
            x = leaky_relu(layer(x), NEGATIVE_SLOPE)
            features.append(x)
        return features


class WindowDiscriminator(nn.Module):
    """Discriminator of the STFT of one window.

    Args:
        window: length of the window in samples; the hop is a quarter of it
        width: number of feature channels
    """

    hann: Tensor

    def __init__(self, window: int, width: int):
        super().__init__()
        self.window = window
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        bins = window // 2 + 1
        self.edges = [round(edge * bins) for edge in BAND_EDGES]
        self.bands = nn.ModuleList(BandNetwork(width) for _ in self.edges[1:])
        self.judge = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, waveform: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits and features.

        Args:
            waveform: ``[batch, 1, samples]``

        Returns:
            The logits, ``[batch, 1, frames, bins]``, and the features of every layer of every band.
        """
        spectrogram = torch.stft(
            waveform[:, 0].float(),
            self.window,
            self.window // 4,
            window=self.hann,
            normalized=True,
            pad_mode="constant",
            return_complex=True,
        )
        image = torch.view_as_real(spectrogram).permute(0, 3, 2, 1)
        features = [network(image[..., low:high]) for network, low, high in zip(self.bands, self.edges, self.edges[1:])]
        logits = self.judge(torch.cat([band[-1] for band in features], -1))
        return logits, [feature for band in features for feature in band]


class BandSTFTDiscriminator(nn.Module):
    """Discriminators for windows of 2048, 1024 and 512 samples; 0.69 M parameters at width 32.

    Args:
        width: number of feature channels
    """

    def __init__(self, width: int):
        super().__init__()
        self.windows = nn.ModuleList(WindowDiscriminator(window, width) for window in WINDOWS)

    def forward(self, waveform: Tensor) -> DiscriminatorOutput:
        """Return logits and features of all windows.

        Args:
            waveform: ``[batch, 1, samples]``

        Returns:
            Logits and features.
        """
        answers = [discriminator(waveform) for discriminator in self.windows]
        return DiscriminatorOutput([logits for logits, _ in answers], [f for _, features in answers for f in features])
