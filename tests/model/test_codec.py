"""The codec: training path, latency, receptive field, and its start as a transform codec."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from codec.bitstream.codes import NO_CODE, CodesWithImportance
from codec.model.codec import Codec
from codec.model.quantizers.importance import importance_thresholds
from tests.helpers.models import FSQ, RVQ, make_codec, noise_tensor


@pytest.fixture(scope="module", params=[RVQ, FSQ], ids=["rvq", "fsq"])
def codec(request) -> Codec:
    return make_codec(request.param)


def test_training_path_is_the_coding_path(codec):
    """One block with gradients, and any mix of numbers of codebooks in the batch."""
    wave = noise_tensor(codec.config.quantizer.codebooks, 1, 999)
    counts = torch.arange(1, len(wave) + 1)
    out = codec(wave, counts)
    stream = codec.stream_encoder(len(wave))
    coded = CodesWithImportance.join([stream.push(wave.numpy()), stream.flush()])
    codes, importances = torch.from_numpy(coded.codes), torch.from_numpy(coded.importances)
    assert torch.equal(out.quantized.codes, codes)
    codes = torch.where(importances >= importance_thresholds(importances, counts), codes, NO_CODE)
    assert ((codes != NO_CODE).sum((1, 2)).diff() > 0).all() and (codes[-1] != NO_CODE).all()
    torch.testing.assert_close(out.waveform, codec.decode(codes, 999), atol=1e-5, rtol=1e-4)


def test_latency(codec):
    """No output sample depends on input from ``latency`` samples ahead, and some do from one sample less."""
    latency = round(codec.config.latency_ms * codec.config.sample_rate / 1000)
    assert latency == (codec.config.frames_per_latent + 1) * codec.config.hop

    def transmit(wave: Tensor) -> Tensor:  # all of the codec but the quantizer
        latent, _ = codec.analyse(wave, codec.mdct.initial_state(1), codec.encoder.initial_state(1))
        out, _, _ = codec.synthesise(latent, codec.mdct.initial_state(1), codec.decoder.initial_state(1))
        return out[:, codec.config.hop :]

    wave, leads = noise_tensor(1, 20 * codec.config.latent_hop), []
    undisturbed = transmit(wave)
    for place in range(160, 160 + codec.config.latent_hop):
        disturbed = wave.clone()
        disturbed[0, place] += 0.5
        first = (transmit(disturbed) != undisturbed)[0].nonzero()[0, 0].item()
        leads.append(place - first)
    assert max(leads) == latency - 1


def test_receptive_field(codec):
    """A wrong code changes the waveform for as long as ``receptive_field`` states, and no longer."""
    codes = torch.randint(RVQ.codebook_size, (1, 4, 60), generator=torch.Generator().manual_seed(1))
    wrong = codes.clone()
    wrong[..., :20] = (wrong[..., :20] + 7) % RVQ.codebook_size
    differs = (codec.decode(codes) != codec.decode(wrong))[0, 0]
    hop, latent_hop = codec.config.hop, codec.config.latent_hop
    clean = (20 + codec.receptive_field) * latent_hop - hop  # frame i starts at i * latent_hop - hop
    assert not differs[clean:].any()
    assert differs[clean - latent_hop : clean].any()


def test_untrained_codec_is_a_transform_codec(codec):
    """The linear skip paths are orthogonal up to scale, and invert each other where the latent is large enough."""
    quantizer = replace(codec.config.quantizer, latent_dim=16, levels=(5,) * 8, contexts=1)
    codec = make_codec(quantizer)
    wave = noise_tensor(2, 1, 4000).cumsum(2) / 20
    codec.initialise(wave, torch.Generator().manual_seed(0))
    there, back = codec.encoder.direct / codec.spread, codec.decoder.direct * codec.spread[:, None]
    torch.testing.assert_close(back @ there, torch.eye(16), atol=1e-4, rtol=0)
    gram = there @ there.T
    torch.testing.assert_close(gram, gram.diagonal().diag(), atol=1e-4 * gram.max().item(), rtol=0)
    if quantizer.kind == "fsq":
        assert (gram.diagonal().diff() > 0).all()  # the strongest direction first, all made equally strong
    else:
        torch.testing.assert_close(gram, gram[0, 0] * torch.eye(16), atol=1e-4 * gram.max().item(), rtol=0)


def test_initialised_codebooks_are_in_use(codec):
    codec = make_codec(codec.config.quantizer)
    wave = noise_tensor(8, 1, 4000).cumsum(2) / 20
    codec.initialise(wave, torch.Generator().manual_seed(0))
    for codes in codec.encode(wave).transpose(0, 1):
        assert len(codes.unique()) > 0.5 * codec.config.quantizer.size
