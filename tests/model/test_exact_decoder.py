"""The exact decoder: the same samples from integers in NumPy, from ONNX Runtime, and in every way to compute them."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from codec import api
from codec.bitstream.codes import NO_CODE
from codec.errors import UserError
from codec.model import exact_decoder
from codec.model.codec import Codec
from codec.model.decoder_precision import set_decoder_dtype
from codec.model.exact_decoder import ACTIVATION_BITS, COEFFICIENT_BITS
from codec.pretrained.checkpoint import save_model
from codec.pretrained.export import GraphOptions, export_graphs
from codec.pretrained.onnx_backend import DECODER, with_graphs
from codec.runtime.torch_threads import torch_threads
from tests.helpers import exact_reference
from tests.helpers.models import FSQ, RVQ, make_codec
from tests.helpers.node import decode_with_graph

STORED = Path(__file__).parents[1] / "pins/speech_16k_v2.npz"
VECTORS = {
    "all": "361b8a657472bfbe76ba5af3067e79030003a11457febf3d74848fb8abf4d927",
    "six": "587ac513e0965557d1923f50d4c522adaca46d77a7831cbb8f424c0574b0784e",
    "varying": "62aa342a033c1205fb5365aa6b1ed4f0c2620aeb147adcfb9a4f498ce9a19fba",
}
"""SHA-256 of the samples (float32, little-endian) of the stored codes: with all codebooks, with six, and with a number
that changes from frame to frame."""


def lively() -> Codec:
    """Return a random model all of whose parts matter."""
    codec = make_codec(RVQ)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weight in codec.decoder.named_parameters():
            if name.endswith(("norm.weight", "norm.bias", "depthwise.bias")):
                weight.add_(0.3 * torch.randn(weight.shape, generator=generator))
        codec.spread.uniform_(0.05, 0.4, generator=generator)
    return codec.requires_grad_(False)


@pytest.fixture(scope="module")
def exact() -> Codec:
    codec = lively()
    set_decoder_dtype(codec, "exact")
    return codec


@pytest.fixture(scope="module")
def codes() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    codes = torch.randint(RVQ.codebook_size, (5, 4, 70), generator=generator)
    absent = torch.arange(4)[:, None] >= torch.randint(0, 5, (5, 1, 70), generator=generator)
    return codes.masked_fill(absent, NO_CODE)


def stored_codes() -> dict[str, np.ndarray]:
    codes = np.load(STORED)["codes"].astype(np.int64)
    varying = np.where(np.arange(24)[:, None] < np.arange(codes.shape[1]) % 25, codes, NO_CODE)
    return {"all": codes, "six": np.where(np.arange(24)[:, None] < 6, codes, NO_CODE), "varying": varying}


def digest(samples: np.ndarray) -> str:
    return hashlib.sha256(samples.astype("<f4").tobytes()).hexdigest()


def test_integers_in_numpy_give_the_same_samples(exact, codes):
    weights = {name: value.numpy() for name, value in exact.state_dict().items()}
    found = exact.decode(codes)[:, 0].numpy()
    hop, power = exact.config.hop, exact.config.power
    for one, samples in zip(codes.numpy(), found):
        expected = exact_reference.decode(weights, one, hop, power)[hop:]
        assert np.abs(expected).max() > 0.1 and np.array_equal(expected[: len(samples)], samples)


def test_it_follows_the_decoder_in_float32(exact, codes):
    expected = lively().decode(codes)
    error = (exact.decode(codes) - expected).square().sum()
    assert 10 * torch.log10(expected.square().sum() / error) > 50


def test_batches_blocks_and_threads_make_no_difference(exact, codes):
    expected = exact.decode(codes)
    for one, samples in zip(codes, expected):
        assert torch.equal(exact.decode(one[None])[0], samples)
    for block in (1, 7, 64):
        stream = exact.stream_decoder(len(codes), block=block)
        parts = [stream.push(part) for part in np.array_split(codes.numpy(), 9, 2)]
        assert np.array_equal(np.concatenate([*parts, stream.flush()], 2), expected.numpy())
    for threads in (2, 4):
        with torch_threads(threads):
            assert torch.equal(exact.decode(codes), expected)


@pytest.mark.parametrize("capability", ["default", "avx2"])
def test_processors_make_no_difference(exact, codes, tmp_path, capability):
    """PyTorch and the libraries of its products are limited to the instructions of older processors."""
    save_model(tmp_path / "model", lively(), {})
    np.save(tmp_path / "codes.npy", codes)
    program = (
        "import sys, numpy as np; from codec import api; model, codes, out = sys.argv[1:]\n"
        "codec = api.load(model, dtype='exact').model.codec\n"
        "import torch; np.save(out, codec.decode(torch.from_numpy(np.load(codes))).numpy())"
    )
    limits = {"ATEN_CPU_CAPABILITY": capability, "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}
    words = [sys.executable, "-c", program, *(tmp_path / name for name in ("model", "codes.npy", "out.npy"))]
    subprocess.run(words, env={**os.environ, **limits}, check=True)
    assert np.array_equal(np.load(tmp_path / "out.npy"), exact.decode(codes).numpy())


@pytest.mark.long
def test_onnx_runtime_gives_the_same_samples(exact, codes, tmp_path):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    codec = lively()
    export_graphs(codec, tmp_path, {}, graphs=GraphOptions(exact=True))
    assert torch.equal(with_graphs(codec, tmp_path).decode(codes), exact.decode(codes))
    assert torch.equal(with_graphs(codec, tmp_path, threads=3).decode(codes[:1]), exact.decode(codes)[:1])


@pytest.mark.parametrize("kind", VECTORS)
def test_the_model_that_ships_gives_the_stored_samples(kind):
    decoded = api.load("speech_16k_v2", dtype="exact").model.codec.decode(torch.from_numpy(stored_codes()[kind])[None])
    assert digest(decoded.numpy()) == VECTORS[kind]


@pytest.mark.long
def test_webassembly_gives_the_stored_samples(tmp_path):
    pytest.importorskip("onnxscript")
    model = api.load("speech_16k_v2").model.codec
    export_graphs(model, tmp_path, {}, graphs=GraphOptions(exact=True))
    for kind, codes in stored_codes().items():
        codes.astype("<i8").tofile(tmp_path / kind)
    decode_with_graph(tmp_path / DECODER, model.config.quantizer.codebooks, [tmp_path / kind for kind in VECTORS])
    for kind, expected in VECTORS.items():
        samples = np.fromfile(tmp_path / f"{kind}.samples", "<f4")
        assert digest(samples[model.config.hop :]) == expected


def test_no_entry_of_a_table_depends_on_the_mathematical_library():
    """Each is further from the middle of two steps than functions err, which is 1e-15 of the value."""

    def margins(values, bits):
        steps = np.abs(np.asarray(values)) * 2.0**bits
        return np.abs(steps - np.floor(steps) - 0.5).min()

    numbers = np.arange(8 << ACTIVATION_BITS) / 2**ACTIVATION_BITS
    gelu = [exact_decoder.gelu(x) for x in (*-numbers, *numbers)]
    assert margins(gelu, ACTIVATION_BITS) > 1e-9
    numbers = np.arange((32 << ACTIVATION_BITS) + 1) / 2**ACTIVATION_BITS
    assert margins([exact_decoder.expanded(x, 0.6) for x in numbers], COEFFICIENT_BITS) > 1e-7
    for hop in (320, 480):
        assert margins(exact_decoder.mdct_basis(hop), COEFFICIENT_BITS) > 1e-9


def test_models_that_cannot_be_exact_are_refused():
    with pytest.raises(UserError, match="rvq"):
        set_decoder_dtype(make_codec(FSQ), "exact")
    codec = lively()
    codec.decoder.last.weight[0, 0] = 17
    with pytest.raises(UserError, match="at most 16"):
        set_decoder_dtype(codec, "exact")
