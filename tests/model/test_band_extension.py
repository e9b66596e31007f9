"""A codec at a higher sample rate that goes on from one at a lower."""

from dataclasses import replace

import pytest
import torch

from codec.config import CodecConfig, NetworkConfig
from codec.model.codec import Codec
from tests.helpers.models import RVQ

NETWORK = NetworkConfig(width=16, depth=2, kernel=3, expansion=2)
SECONDS = 2


def band_limited_noise(rate: int, below_hz: int = 6000) -> torch.Tensor:
    """Return the same periodic noise at any sample rate, at half past each sampling interval: ``[1, 1, samples]``."""
    phases = torch.rand(below_hz * SECONDS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    spectrum = torch.zeros(rate * SECONDS // 2 + 1, dtype=torch.complex128)
    shift = torch.arange(len(phases)) / SECONDS / (2 * rate)
    spectrum[: len(phases)] = torch.exp(2j * torch.pi * (phases + shift)) * rate / 1000
    return torch.fft.irfft(spectrum)[None, None].float()


@torch.no_grad()
def codecs(frames_per_latent: int) -> tuple[Codec, Codec]:
    """One at 16 kHz, whose networks are not zero, and one at 24 kHz that has one codebook more."""
    torch.manual_seed(1)
    config = CodecConfig(hop=320, frames_per_latent=frames_per_latent, encoder=NETWORK, decoder=NETWORK, quantizer=RVQ)
    before = Codec(config).eval()
    before.initialise(band_limited_noise(16000), torch.Generator().manual_seed(0))
    for stack in (before.encoder, before.decoder):
        stack.last.weight.normal_(0, 0.02)
    after = Codec(replace(config, sample_rate=24000, hop=480, quantizer=replace(RVQ, codebooks=5))).eval()
    assert after.can_grow_from(before) and not before.can_grow_from(after)
    after.grow_from(before, band_limited_noise(24000), torch.Generator().manual_seed(0))
    return before, after


@pytest.mark.parametrize("frames_per_latent", [1, 2])
def test_sound_within_the_band_of_before_has_its_latents_and_codes(frames_per_latent):
    before, after = codecs(frames_per_latent)
    theirs, ours = (codec.encode(band_limited_noise(codec.config.sample_rate)) for codec in (before, after))
    equal = (ours[:, : theirs.shape[1]] == theirs).double().mean((0, 2))
    assert ours.shape[1] == 5 and equal.min() > 0.97


@pytest.mark.parametrize("frames_per_latent", [1, 2])
@torch.no_grad()
def test_the_same_codes_have_the_waveform_of_before_and_nothing_above(frames_per_latent):
    before, after = codecs(frames_per_latent)
    codes = before.encode(band_limited_noise(16000))
    theirs, ours = before.decode(codes)[0, 0].double(), after.decode(codes)[0, 0].double()
    spectra = torch.fft.rfft(theirs) / len(theirs), torch.fft.rfft(ours) / len(ours)
    step = len(theirs) / 16000  # of the spectrum, in bins per Hz
    low, high = (spectra[1][int(a * step) : int(b * step)].abs().square().sum() for a, b in ((0, 7800), (8200, 12000)))
    expected = spectra[0][: int(7800 * step)].abs().square().sum()
    assert abs(float(low / expected) - 1) < 0.02 and high < 1e-4 * low


def test_only_frames_of_the_same_duration_and_a_higher_rate_can_be_had():
    before, after = codecs(1)
    for rate, hop in ((24000, 320), (8000, 160), (16000, 480)):
        assert not Codec(replace(before.config, sample_rate=rate, hop=hop)).can_grow_from(before)
    assert Codec(replace(after.config, sample_rate=48000, hop=960)).can_grow_from(before)
