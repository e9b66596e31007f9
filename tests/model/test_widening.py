"""Latent dimensions that are added to a codec."""

from dataclasses import replace
from itertools import pairwise

import torch

from codec.model.codec import Codec
from tests.helpers.models import RVQ, make_codec, noise_tensor

WIDER = replace(RVQ, latent_dim=14, codebooks=5, frame_weights="learned")


def coloured_noise(seed: int = 0) -> torch.Tensor:
    """Return noise whose coefficients differ in level, as those of speech do: ``[20, 1, 640]``."""
    noise = noise_tensor(20, 1, 643, seed=seed)
    return noise[..., 3:] + noise[..., 2:-1] + noise[..., 1:-2] + noise[..., :-3]


def grown() -> tuple[Codec, Codec]:
    """A codec that is not a transform codec any more, and one with more dimensions and codebooks that grew from it."""
    before, after = make_codec(RVQ, seed=1), make_codec(WIDER, seed=2)
    before.initialise(coloured_noise(), torch.Generator().manual_seed(0))
    with torch.no_grad():
        for stack in (before.encoder, before.decoder):
            stack.last.weight.normal_(0, 0.02)
    assert after.can_grow_from(before) and not before.can_grow_from(after)
    after.grow_from(before, coloured_noise(), torch.Generator().manual_seed(0))
    return before, after


@torch.no_grad()
def unquantized(codec: Codec, waveform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return latents, and the compressed coefficients that the decoder makes of them."""
    latent, _ = codec.encoder(codec.spectrum(waveform[:, 0]), codec.encoder.initial_state(len(waveform)))
    return latent, codec.decoder(latent, codec.decoder.initial_state(len(waveform)))[0] * codec.spread


def test_without_the_new_dimensions_a_grown_codec_decodes_as_before():
    before, after = grown()
    latent = torch.randn(2, 30, 14)
    latent[..., 12:] = 0
    states = [codec.decoder.initial_state(2) for codec in (before, after)]
    with torch.no_grad():
        theirs, ours = before.decoder(latent[..., :12], states[0])[0], after.decoder(latent, states[1])[0]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


def test_a_grown_codec_has_the_latents_of_before_and_less_error():
    before, after = grown()
    waveform = coloured_noise(seed=5)
    (old, decoded), (new, better) = unquantized(before, waveform), unquantized(after, waveform)
    assert (new[..., :12] - old).norm() < 0.05 * old.norm()
    target = before.spectrum(waveform[:, 0]) * before.spread
    assert (better - target).norm() < 0.97 * (decoded - target).norm()


@torch.no_grad()
def test_learnt_weights_of_frames_are_kept():
    """Without the new dimensions a frame has the weight of before, and so the same share of the codes."""
    before, after = make_codec(replace(RVQ, frame_weights="learned"), seed=1), make_codec(WIDER, seed=2)
    before.initialise(coloured_noise(), torch.Generator().manual_seed(0))
    for value in before.quantizer.weights.parameters():
        value.normal_(0, 0.5)
    after.grow_from(before, coloured_noise(), torch.Generator().manual_seed(0))
    latent = 3 * torch.randn(2, 30, 14)
    latent[..., 12:] = 0
    level = latent.square().sum(-1)
    expected = before.quantizer.weights.log_weights(latent[..., :12], level)
    assert expected.std() > 0.5
    torch.testing.assert_close(after.quantizer.weights.log_weights(latent, level), expected, atol=1e-4, rtol=1e-4)


def test_codebooks_are_fitted_to_all_dimensions():
    _, after = grown()
    latent, _ = unquantized(after, coloured_noise(seed=5))
    errors = []
    for count in range(1, 6):
        quantized = after.quantizer.fused().decode(after.quantizer.fused().encode(latent, count)[0])
        errors.append(float((quantized - latent).norm() / latent.norm()))
    assert all(later < 0.95 * earlier for earlier, later in pairwise(errors))
