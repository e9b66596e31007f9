"""Latency and receptive field, measured by changing the input and finding where the output changes.

Nothing here relies on the configuration. The latency is the largest delay found at several positions, and the receptive
field is the furthest reach of one frame of codes. Both are exact if every influence is visible in float32, as it is
with random weights.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.model.codec import Codec

POSITIONS = 8
"""Positions per latent frame at which the input is changed, in addition to the last sample that a frame covers."""


@dataclass(frozen=True)
class LatencyMeasurement:
    """Latency and receptive field, stated by the configuration and measured, in ms at the codec's own sample rate."""

    stated_latency_ms: float
    latency_ms: float
    """Measured without the quantizer, so that rounding to codes hides nothing."""
    coded_latency_ms: float
    """Measured with the quantizer."""
    stated_receptive_field_ms: float
    """``Codec.receptive_field`` latent frames and the overlap of the last one."""
    receptive_field_ms: float


def measure_latency(codec: Codec) -> LatencyMeasurement:
    """Measure the latency and the receptive field of a codec.

    Args:
        codec: codec in evaluation mode.

    Returns:
        Stated and measured values.
    """

    def ms(samples: int) -> float:
        return 1000 * samples / codec.config.sample_rate

    stated = codec.receptive_field * codec.config.latent_hop + codec.config.hop
    return LatencyMeasurement(
        codec.config.latency_ms,
        ms(latency_samples(codec, quantize=False)),
        ms(latency_samples(codec, quantize=True)),
        ms(stated),
        ms(receptive_field_samples(codec)),
    )


@torch.inference_mode()
def latency_samples(codec: Codec, quantize: bool) -> int:
    """Measure the latency.

    Args:
        codec: codec in evaluation mode.
        quantize: whether latents pass through the quantizer, which hides small changes.

    Returns:
        The smallest L for which no decoded sample ``n`` depended on input at or after sample ``n + L``.
    """
    hop = codec.config.latent_hop
    frames = 2 * codec.receptive_field + 4
    generator = torch.Generator().manual_seed(0)
    waveform = 0.1 * torch.randn(1, 1, frames * hop, generator=generator)
    other = torch.randn(waveform.shape, generator=generator)
    before = _round_trip(codec, waveform, quantize)
    worst = 0
    for frame in (frames // 2, frames - 3):
        edge = frame * hop
        for start in {edge - 1, *(edge + hop * i // POSITIONS for i in range(POSITIONS)), edge + hop - 1}:
            changed = torch.cat([waveform[..., :start], other[..., start:]], -1)
            differs = _find_changes(before, _round_trip(codec, changed, quantize))
            if len(differs):
                worst = max(worst, start - int(differs[0]) + 1)
    return worst


@torch.inference_mode()
def receptive_field_samples(codec: Codec) -> int:
    """Measure how far one frame of codes reaches.

    Args:
        codec: codec in evaluation mode.

    Returns:
        Samples from the first to the last that a frame changes, both included.
    """
    frames, changed = 2 * codec.receptive_field + 4, 2
    generator = torch.Generator().manual_seed(0)
    size, count = codec.config.quantizer.size, codec.config.quantizer.codebooks
    codes = torch.randint(size, (1, count, frames), generator=generator)
    before = codec.decode(codes)
    codes[..., changed] = (codes[..., changed] + 1 + torch.randint(size - 1, (count,), generator=generator)) % size
    differs = _find_changes(before, codec.decode(codes))
    return int(differs[-1] - differs[0]) + 1 if len(differs) else 0


def _round_trip(codec: Codec, waveform: Tensor, quantize: bool) -> Tensor:
    if quantize:
        return codec.decode(codec.encode(waveform), waveform.shape[-1])
    latent, _ = codec.analyse(waveform[:, 0], codec.mdct.initial_state(1), codec.encoder.initial_state(1))
    decoded, _, _ = codec.synthesise(latent, codec.mdct.initial_state(1), codec.decoder.initial_state(1))
    return decoded[:, codec.config.hop :]


def _find_changes(before: Tensor, after: Tensor) -> Tensor:
    return (before != after).flatten().nonzero().flatten()
