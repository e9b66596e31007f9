"""Decoder blocks of 8-bit integers: exact products, and sound near that of float32."""

import pickle

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from codec import api, audio
from codec.cli import main
from codec.errors import UserError
from codec.model.decoder_precision import set_decoder_dtype
from codec.model.int8_blocks import _Int8Linear
from tests.helpers.models import FSQ, RVQ, make_codec
from tests.helpers.speech import read_speaker


@pytest.fixture(scope="module")
def int8() -> api.AudioCodec:
    return api.load(dtype="int8")


@pytest.mark.parametrize("inputs", [16, 384, 1152])
def test_products_are_exact(inputs):
    """Also where all summands are as large as they can be, which saturate if they are added in 16 bits."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randint(-63, 64, (32, inputs), generator=generator).float()
    weight[0], weight[1] = 63, -63
    levels = torch.randint(0, 256, (5, inputs), generator=generator).to(torch.uint8)
    levels[0] = 255
    bias = torch.randn(32, generator=generator)
    weight[:, 0] = 63  # the scale of each output is one
    expected = (levels.double() - 128) @ weight.double().T + bias.double()
    torch.testing.assert_close(_Int8Linear(weight, bias, 1.0, 128)(levels).double(), expected, rtol=2e-7, atol=1e-6)


def test_levels_after_the_gelu_are_the_nearest():
    generator = torch.Generator().manual_seed(1)
    weight, bias = torch.randn(64, 48, generator=generator), torch.randn(64, generator=generator)
    levels = torch.randint(0, 256, (200, 48), generator=generator).to(torch.uint8)
    layer = _Int8Linear(weight, bias, 0.01, 128, quantized=(0.02, 9))
    values = F.gelu((levels.double() - 128) * 0.01 @ (layer.weight * layer.weight_steps[:, None]).double().T + bias)
    expected = (values / 0.02 + 9).clamp(0, 255)
    assert (layer(levels) - expected).abs().max() <= 0.51


def test_speech_sounds_as_in_float32(int8):
    wave = read_speaker("bdl")
    exact = api.load()
    encoded = exact.encode(wave, 16000)
    expected, decoded = exact.decode(encoded), int8.decode(encoded)
    difference = decoded - expected
    assert 10 * np.log10((expected**2).sum() / (difference**2).sum()) > 20  # that of the codec itself is 12 dB
    assert difference.any() and int8.fingerprint == exact.fingerprint


@pytest.mark.parametrize("config", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_streams_and_batches_decode_alike(config):
    codec = make_codec(config)
    codes = torch.randint(min(config.codebook_size, 8), (3, 2, 300), generator=torch.Generator().manual_seed(1))
    before = codec.decode(codes)
    set_decoder_dtype(codec, "int8")
    together = codec.decode(codes)
    torch.testing.assert_close(together, before, rtol=0, atol=0.1 * float(before.abs().max()))
    apart = torch.cat([pickle.loads(pickle.dumps(codec)).decode(one) for one in codes.split(1)])
    torch.testing.assert_close(together, apart, rtol=0, atol=1e-4 * float(before.abs().max()))


def test_only_the_cpu_computes_with_integers():
    codec = make_codec(RVQ).to("meta")
    with pytest.raises(UserError, match="int8"):
        set_decoder_dtype(codec, "int8")


def test_the_command_decodes_with_integers(int8, tmp_path):
    int8.save(tmp_path / "a.nac", read_speaker("slt"), 16000)
    found = {}
    for dtype in ("float32", "int8"):
        with pytest.raises(SystemExit) as ended:
            main(["decode", str(tmp_path / "a.nac"), "--dtype", dtype, "--out", str(tmp_path / f"{dtype}.wav")])
        assert ended.value.code == 0
        found[dtype] = audio.read(tmp_path / f"{dtype}.wav").samples
    difference = found["int8"] - found["float32"]
    assert 10 * np.log10((found["float32"] ** 2).sum() / (difference**2).sum()) > 20 and difference.any()
