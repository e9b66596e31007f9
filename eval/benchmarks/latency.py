"""What a decoded sample depends on, found by changing something and seeing where the output changes.

Nothing here believes the configuration: the latency is the worst delay ever seen, the receptive field the furthest
reach of one frame of codes. Both come out exact where the weights are such that every influence is visible in float32,
as random ones are.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from codec.model.codec import Codec

PLACES = 8
"""Places per latent frame where the input is changed; the last sample that a frame sees is one more."""


@dataclass(frozen=True)
class Reach:
    """Stated by the configuration, and measured. Milliseconds of sound at the codec's own rate."""

    stated_latency_ms: float
    latency_ms: float
    """Latents straight into the decoder, so that rounding to a code hides nothing."""
    coded_latency_ms: float
    """With the quantizer."""
    stated_receptive_field_ms: float
    """``Codec.receptive_field`` latent frames and the overlap of the last."""
    receptive_field_ms: float


def measure_reach(codec: Codec) -> Reach:
    def ms(samples: int) -> float:
        return 1000 * samples / codec.config.sample_rate

    stated = codec.receptive_field * codec.config.latent_hop + codec.config.hop
    return Reach(
        codec.config.latency_ms,
        ms(measure_latency(codec, quantize=False)),
        ms(measure_latency(codec, quantize=True)),
        ms(stated),
        ms(measure_receptive_field(codec)),
    )


@torch.inference_mode()
def measure_latency(codec: Codec, quantize: bool) -> int:
    """The smallest L such that no decoded sample ``n`` depended on input at or after ``n + L``."""
    hop = codec.config.latent_hop
    frames = 2 * codec.receptive_field + 4
    generator = torch.Generator().manual_seed(0)
    wave = 0.1 * torch.randn(1, 1, frames * hop, generator=generator)
    other = torch.randn(wave.shape, generator=generator)
    before = _code(codec, wave, quantize)
    worst = 0
    for frame in (frames // 2, frames - 3):
        edge = frame * hop
        for start in {edge - 1, *(edge + hop * place // PLACES for place in range(PLACES)), edge + hop - 1}:
            changed = torch.cat([wave[..., :start], other[..., start:]], -1)
            differs = _differs(before, _code(codec, changed, quantize))
            if len(differs):
                worst = max(worst, start - int(differs[0]) + 1)
    return worst


@torch.inference_mode()
def measure_receptive_field(codec: Codec) -> int:
    """Samples from the first to the last that one frame of codes reaches."""
    frames, changed = 2 * codec.receptive_field + 4, 2
    generator = torch.Generator().manual_seed(0)
    size, count = codec.config.quantizer.size, codec.config.quantizer.codebooks
    codes = torch.randint(size, (1, count, frames), generator=generator)
    before = codec.decode(codes)
    codes[..., changed] = (codes[..., changed] + 1 + torch.randint(size - 1, (count,), generator=generator)) % size
    differs = _differs(before, codec.decode(codes))
    return int(differs[-1] - differs[0]) + 1 if len(differs) else 0


def _code(codec: Codec, wave: Tensor, quantize: bool) -> Tensor:
    if quantize:
        return codec.decode(codec.encode(wave), wave.shape[-1])
    latent, _ = codec.analyse(wave[:, 0], codec.mdct.start(1), codec.encoder.start(1))
    decoded, _, _ = codec.synthesise(latent, codec.mdct.start(1), codec.decoder.start(1))
    return decoded[:, codec.config.hop :]


def _differs(before: Tensor, after: Tensor) -> Tensor:
    return (before != after).flatten().nonzero().flatten()
