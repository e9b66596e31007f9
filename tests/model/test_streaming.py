"""Streams cut anywhere give the codes and waveforms of the whole, bit for bit."""

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


def test_codes_cover_every_sample(codec):
    for length in range(0, 100):
        codes = codec.encode(noise_tensor(1, 1, length))
        assert codes.shape[2] == codec.config.frames_for(length)
        assert codec.decode(codes, length).shape == (1, 1, length)
