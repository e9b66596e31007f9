"""Streams cut anywhere give the codes and waveforms of the whole, bit for bit."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from codec.bitstream.codes import CodesWithImportance
from codec.config import CodecConfig
from codec.model.codec import Codec
from codec.model.streaming import BLOCK
from tests.helpers.models import FSQ, RVQ, make_codec, noise_tensor

PER_BLOCK = BLOCK * 16
cuts = st.lists(st.integers(0, PER_BLOCK * 3), max_size=8)


@pytest.fixture(scope="module", params=[RVQ, FSQ], ids=["rvq", "fsq"])
def codec(request) -> Codec:
    return make_codec(request.param)


@given(length=st.integers(0, PER_BLOCK * 3) | st.sampled_from([1, 7, 8, 9, PER_BLOCK - 8, PER_BLOCK]), cuts=cuts)
@settings(deadline=None, max_examples=60)
def test_streamed_encoding_is_whole_encoding(codec, length, cuts):
    wave = noise_tensor(2, 1, length, seed=length)
    stream = codec.stream_encoder(2, codebooks=3)
    parts = np.split(wave.numpy(), [min(cut, length) for cut in sorted(cuts)], axis=2)
    streamed = CodesWithImportance.join([*(stream.push(part) for part in parts), stream.flush()])
    assert streamed.codes.shape == streamed.importances.shape == (2, 3, codec.config.frames_for(length))
    whole = codec.stream_encoder(2, codebooks=3)
    whole = CodesWithImportance.join([whole.push(wave.numpy()), whole.flush()])
    np.testing.assert_array_equal(streamed.codes, whole.codes)
    np.testing.assert_array_equal(streamed.importances, whole.importances)
    np.testing.assert_array_equal(streamed.codes, codec.encode(wave, codebooks=3).numpy())


@given(frames=st.integers(0, 3 * BLOCK), cuts=st.lists(st.integers(0, 3 * BLOCK), max_size=8))
@settings(deadline=None, max_examples=60)
def test_streamed_decoding_is_whole_decoding(codec, frames, cuts):
    codes = torch.randint(RVQ.codebook_size, (2, 3, frames), generator=torch.Generator().manual_seed(frames))
    stream = codec.stream_decoder(2)
    parts = np.split(codes.numpy(), [min(cut, frames) for cut in sorted(cuts)], axis=2)
    streamed = np.concatenate([*(stream.push(part) for part in parts), stream.flush()], 2)
    assert streamed.shape == (2, 1, max(0, frames * 16 - 8))
    np.testing.assert_array_equal(streamed, codec.decode(codes).numpy())


@pytest.mark.parametrize("size", ["tiny", "default"])
def test_batch_is_single(codec, size):
    codec = codec if size == "tiny" else Codec(CodecConfig(quantizer=codec.config.quantizer)).eval()
    wave = noise_tensor(3, 1, 70 * codec.config.latent_hop)
    codes = codec.encode(wave)
    assert torch.equal(codes, torch.cat([codec.encode(one[None]) for one in wave]))
    assert torch.equal(codec.decode(codes), torch.cat([codec.decode(one[None]) for one in codes]))


def learned_weights(config: CodecConfig) -> Codec:
    """A model of random weights, whose importances of frames depend on the latents."""
    torch.manual_seed(0)
    codec = Codec(replace(config, quantizer=replace(RVQ, frame_weights="learned"))).eval()
    for parameter in codec.quantizer.weights.last.parameters():
        torch.nn.init.normal_(parameter)
    return codec


LEARNED = {"tiny": learned_weights(make_codec(RVQ).config), "default": learned_weights(CodecConfig())}


def encode_stream(codec: Codec, wave: np.ndarray) -> CodesWithImportance:
    stream = codec.stream_encoder(len(wave))
    return CodesWithImportance.join([stream.push(wave), stream.flush()])


@given(frames=st.integers(1, BLOCK + 40), model=st.sampled_from([None, *LEARNED]))
@settings(deadline=None, max_examples=60)
def test_codes_and_waveforms_do_not_depend_on_what_follows(codec, frames, model):
    """The number of frames that are computed at once rounds nothing differently."""
    codec = LEARNED.get(model, codec)
    hop = codec.config.latent_hop
    wave = noise_tensor(2, 1, (frames + 70) * hop, seed=frames).numpy()
    cut, whole = (encode_stream(codec, one) for one in (wave[..., : frames * hop], wave))
    complete = frames - 1  # the frame after the last sample overlaps what follows
    np.testing.assert_array_equal(cut.codes[..., :complete], whole.codes[..., :complete])
    np.testing.assert_array_equal(cut.importances[..., :complete], whole.importances[..., :complete])
    codes = torch.from_numpy(whole.codes)
    start = codec.decode(codes[..., :frames])
    assert torch.equal(start, codec.decode(codes)[..., : start.shape[2]])


def test_codes_cover_every_sample(codec):
    for length in range(0, 100):
        codes = codec.encode(noise_tensor(1, 1, length))
        assert codes.shape[2] == codec.config.frames_for(length)
        assert codec.decode(codes, length).shape == (1, 1, length)
