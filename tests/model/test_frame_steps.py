"""Streams of single frames, which are computed by steps of their own, give what the layers give."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from codec.bitstream.codes import NO_CODE
from codec.model.codec import Codec
from codec.model.decoder_precision import set_decoder_dtype
from codec.model.frame_steps import DecodeFrame, EncodeFrame, has_plain_decoder
from codec.model.streaming import StreamDecoder, StreamEncoder
from codec.model.torch_backend import TorchBackend, TorchStep
from tests.helpers.models import FSQ, RVQ, make_codec, noise_tensor

FRAMES = 40


@pytest.fixture(scope="module", params=["rvq", "learned weights of frames", "fsq", "half precision"])
def codec(request) -> Codec:
    """A model with two MDCT frames per latent frame; one has weights that float16 holds without loss."""
    quantizer = {"fsq": FSQ, "learned weights of frames": replace(RVQ, frame_weights="learned")}
    codec = make_codec(quantizer.get(request.param, RVQ)).requires_grad_(False)
    codec.spread.uniform_(0.5, 2)
    for stack in (codec.encoder, codec.decoder):
        for parameter in stack.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))  # norms, biases and scales, too
    if request.param == "half precision":
        for parameter in codec.parameters():
            parameter.copy_(parameter.half())
    return codec


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("quantize", [True, False])
def test_single_frames_are_those_of_the_layers(codec, streams, quantize):
    wave = noise_tensor(streams, 1, FRAMES * codec.config.latent_hop).numpy()
    wave[0, :, 5 * codec.config.latent_hop : 12 * codec.config.latent_hop] = 0
    frames, layers = codec.stream_encoder(streams, 3, 1, quantize), TorchBackend(codec, quantize).encoding_step(3, 16)
    outputs = frames.push(wave)
    expected = StreamEncoder(codec.config, layers, streams, 1).push(wave)
    assert isinstance(layers, TorchStep) and isinstance(frames._blocks._step, EncodeFrame)
    if quantize:
        assert (outputs.codes == expected.codes).mean() > 0.99
        same = (outputs.codes == expected.codes).all(1, keepdims=True) & np.ones_like(outputs.codes, bool)
        np.testing.assert_allclose(outputs.importances[same], expected.importances[same], rtol=1e-3, atol=1e-5)
        assert not outputs.importances[0, :, 6:12].any() and outputs.importances[0, :, :5].all()
    else:
        np.testing.assert_allclose(outputs.codes, expected.codes, atol=1e-4)
    codes = expected.codes.copy()
    if quantize:
        codes[:, 1:, ::3] = codes[:, :, 7] = NO_CODE
    decoder = codec.stream_decoder(streams, 1, quantize)
    sound = np.concatenate([decoder.push(codes[..., :9]), decoder.push(codes[..., 9:])], 2)
    whole = StreamDecoder(codec.config, TorchBackend(codec, quantize).decoding_step(16), streams, 16)
    whole = np.concatenate([whole.push(codes), whole.flush()], 2)
    assert isinstance(decoder._blocks._step, DecodeFrame)
    np.testing.assert_allclose(sound, whole, atol=1e-5 * np.abs(whole).max())


def test_states_of_streams_are_joined_and_split(codec):
    step, block = TorchBackend(codec).encoding_step(2, 1), noise_tensor(3, 16).numpy()
    _, state = step(block, step.initial_state(3))
    again = step.join_states(step.split_state(state, [1, 2]))
    np.testing.assert_equal(again, state)
    assert step.empty_outputs(3)[0].shape == (3, 2, 0)


@pytest.mark.filterwarnings("error")
def test_weights_in_half_precision_are_read_as_such_without_warnings():
    codec = make_codec(RVQ).requires_grad_(False)
    plain = DecodeFrame(codec, codec.quantizer.fused())._stack._blocks[0]._contract
    for parameter in codec.parameters():
        parameter.copy_(parameter.half())
    half = DecodeFrame(codec, codec.quantizer.fused())._stack._blocks[0]._contract
    assert plain._packed is None
    assert half._packed is not None or "fbgemm" not in torch.backends.quantized.supported_engines


def test_streams_share_weights_until_these_change():
    codec = make_codec(RVQ).requires_grad_(False)
    codes = torch.randint(32, (1, 4, 5), generator=torch.Generator().manual_seed(0)).numpy()
    one, other = codec.stream_decoder(block=1), codec.stream_decoder(block=1)
    assert one._blocks._step._stack is other._blocks._step._stack
    before = one.push(codes)
    codec.decoder.blocks[1].contract.weight.mul_(2)
    after = codec.stream_decoder(block=1).push(codes)
    layers = StreamDecoder(codec.config, TorchBackend(codec).decoding_step(16), 1, 1).push(codes)
    np.testing.assert_allclose(after, layers, atol=1e-5)
    assert np.abs(after - before).max() > 1e-4


@pytest.mark.parametrize("dtype", ["bfloat16", "exact"])
def test_a_decoder_of_another_type_keeps_its_type_in_single_frames(dtype):
    codec = make_codec(RVQ)
    set_decoder_dtype(codec, dtype)
    assert isinstance(codec.stream_decoder(block=1)._blocks._step, TorchStep)
    assert has_plain_decoder(codec) == (dtype == "exact")
