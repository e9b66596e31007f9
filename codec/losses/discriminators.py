"""Discriminator over complex spectrograms in bands.

For each window the STFT is cut into bands, and a small 2-D convolutional network judges each band from real and
imaginary parts. Slim: a few layers, shared by no one, strided in frequency.

Source: the multi-band complex STFT discriminator of R. Kumar et al., "High-fidelity audio compression with improved
RVQGAN", 2023, at a fraction of its size.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu
from torch.nn.utils.parametrizations import weight_norm

WINDOWS = (2048, 1024, 512)
BAND_EDGES = (0.0, 0.1, 0.25, 0.5, 1.0)
"""As shares of half the sample rate."""
SLOPE = 0.1


@dataclass(frozen=True)
class DiscriminatorOutput:
    """One tensor of logits per window; the features of every layer, in a fixed order."""

    logits: list[Tensor]
    features: list[Tensor]


class BandNetwork(nn.Module):
    """``[batch, 2, frames, bins]`` to features and, in the end, ``[batch, width, frames, few bins]``."""

    def __init__(self, width: int):
        super().__init__()
        self.layers = nn.ModuleList(
            weight_norm(nn.Conv2d(inputs, width, (3, 9), stride=(1, 3), padding=(1, 4))) for inputs in (2, width, width)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = []
        for layer in self.layers:
            x = leaky_relu(layer(x), SLOPE)
            features.append(x)
        return features


class WindowDiscriminator(nn.Module):
    hann: Tensor

    def __init__(self, window: int, width: int):
        super().__init__()
        self.window = window
        self.register_buffer("hann", torch.hann_window(window), persistent=False)
        bins = window // 2 + 1
        self.edges = [round(edge * bins) for edge in BAND_EDGES]
        self.bands = nn.ModuleList(BandNetwork(width) for _ in self.edges[1:])
        self.judge = weight_norm(nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, wave: Tensor) -> tuple[Tensor, list[Tensor]]:
        spectrum = torch.stft(
            wave[:, 0].float(),
            self.window,
            self.window // 4,
            window=self.hann,
            normalized=True,
            pad_mode="constant",
            return_complex=True,
        )
        image = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        features = [network(image[..., low:high]) for network, low, high in zip(self.bands, self.edges, self.edges[1:])]
        logits = self.judge(torch.cat([band[-1] for band in features], -1))
        return logits, [feature for band in features for feature in band]


class BandSTFTDiscriminator(nn.Module):
    """Judges ``[batch, 1, samples]``; 0.69 M parameters at width 32."""

    def __init__(self, width: int):
        super().__init__()
        self.windows = nn.ModuleList(WindowDiscriminator(window, width) for window in WINDOWS)

    def forward(self, wave: Tensor) -> DiscriminatorOutput:
        judged = [discriminator(wave) for discriminator in self.windows]
        return DiscriminatorOutput([logits for logits, _ in judged], [f for _, features in judged for f in features])
