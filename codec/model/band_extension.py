"""A trained codec at a higher sample rate, which goes on sounding as before and has a band above to learn.

Frames last as long as before, so that a coefficient of the transform belongs to the same frequency and moment at both
rates, and is the larger by the root of the ratio of the rates, since as many more samples add up in it. (The
transform takes samples for what is half past their intervals, so that there is a shift by half the difference of the
intervals, 10 µs from 16 to 24 kHz, which decoding takes back.) The networks ignore the coefficients above the band of
before, and give none there, until they are trained.
"""

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from codec.config import CodecConfig
    from codec.model.codec import Codec


_INPUTS = {"encoder.first.weight", "encoder.direct"}
_OUTPUTS = {"decoder.last.weight", "decoder.last.bias", "decoder.direct"}
_LEAST = 1e-4
"""Least mean square of a coefficient above the band of before, relative to the largest."""


def has_wider_band(config: "CodecConfig", other: "CodecConfig") -> bool:
    """Determine whether a codec has a higher sample rate than another and frames that last as long.

    Args:
        config: its configuration
        other: configuration of the other codec

    Returns:
        Whether :func:`extend_band` can make the one of the other, as far as sample rate and hop are concerned.
    """
    return config.sample_rate > other.sample_rate and config.hop * other.sample_rate == other.hop * config.sample_rate


@torch.no_grad()
def extend_band(other: "Codec", sample_rate: int, waveform: Tensor) -> "Codec":
    """Make a codec with a higher sample rate of another.

    Args:
        other: trained codec
        sample_rate: in Hz; the hop, in samples, must come out whole
        waveform: audio at that rate ``[batch, frames * latent_hop]``, by which the scales of the new coefficients are
            set

    Returns:
        A codec with the same latents and codes for sound within the band of before.
    """
    from codec.model.codec import Codec

    hop = other.config.hop * sample_rate // other.config.sample_rate
    config = replace(other.config, sample_rate=sample_rate, hop=hop)
    codec = Codec(config).to(other.spread.device)
    frames = torch.arange(config.frames_per_latent)[:, None]
    kept = (hop * frames + torch.arange(other.config.hop)).flatten().to(other.spread.device)
    ours = codec.state_dict()
    for name, value in other.state_dict().items():
        if name in _INPUTS:
            ours[name].zero_()
            ours[name][:, kept] = value
        elif name in _OUTPUTS:
            ours[name].zero_()
            ours[name][kept] = value
        elif name != "spread":
            ours[name].copy_(value)
    codec.spread.fill_(1)
    power = codec.spectrum(waveform).flatten(0, 1).double().square().mean(0)
    codec.spread.copy_(power.clamp(min=_LEAST * power.max()).sqrt())
    codec.spread[kept] = other.spread * (hop / other.config.hop) ** (config.power / 2)
    return codec
