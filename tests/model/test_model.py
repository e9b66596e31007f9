"""The model: exact transform, exact streaming, promised latency and reach, right gradients, sound storage."""

import json
import resource
from dataclasses import replace

import numpy as np
import pytest
import scipy.fft
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.config import CodecConfig, NetworkConfig, QuantizerConfig
from codec.errors import UserError
from codec.model.codec import Codec, compress, expand
from codec.model.frequency_tables import FrequencyTables
from codec.model.mdct import MDCT
from codec.model.quantizers import (
    LEVEL_EXPONENT,
    CodesWithImportance,
    ResidualFSQ,
    ResidualVQ,
    half_square,
    importance_thresholds,
    nearest,
)
from codec.model.streaming import BLOCK
from codec.pretrained.checkpoint import checksum, fingerprint, load_model, read_fingerprints, read_info, save_model

RVQ = QuantizerConfig(codebooks=4, latent_dim=12, codebook_size=32, codebook_dim=4)
NARROW = replace(RVQ, latent_dim=6)
FSQ = QuantizerConfig(kind="fsq", codebooks=6, levels=(8, 5, 5), groups=2)


def make_codec(quantizer: QuantizerConfig, seed: int = 0) -> Codec:
    """A random model with 8 samples per MDCT frame and two frames per latent."""
    torch.manual_seed(seed)
    network = NetworkConfig(width=16, depth=2, kernel=3, expansion=2)
    config = CodecConfig(hop=8, frames_per_latent=2, encoder=network, decoder=network, quantizer=quantizer)
    return Codec(config).eval()


@pytest.fixture(scope="module", params=[RVQ, FSQ], ids=["rvq", "fsq"])
def codec(request) -> Codec:
    return make_codec(request.param)


def noise(*shape: int, seed: int = 0) -> Tensor:
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# --- transform ----------------------------------------------------------------------------------


@pytest.mark.parametrize("hop", [2, 16, 160])
def test_mdct_is_a_folded_dct_iv(hop):
    """(a, b, c, d) to DCT-IV of (-c_r - d, a - b_r), for the windowed halves ab and cd of a frame."""
    wave = noise(1, 5 * hop)
    frames = np.stack([np.pad(wave[0].double().numpy(), (hop, 0))[i * hop : (i + 2) * hop] for i in range(5)])
    windowed = frames * np.sin(np.pi * (np.arange(2 * hop) + 0.5) / (2 * hop))
    a, b, c, d = np.split(windowed, 4, axis=1)
    folded = np.concatenate([-c[:, ::-1] - d, a - b[:, ::-1]], axis=1)
    expected = scipy.fft.dct(folded, type=4, norm="ortho", axis=1)
    np.testing.assert_allclose(MDCT(hop).analysis(wave)[0].numpy(), expected, atol=2e-6)


@pytest.mark.parametrize("hop", [2, 16, 160, 441])
def test_mdct_reconstructs_perfectly_and_keeps_energy(hop):
    mdct = MDCT(hop)
    wave = F.pad(noise(3, 20 * hop), (0, hop))
    coefficients = mdct.analysis(wave)
    back, _ = mdct.synthesis(coefficients)
    torch.testing.assert_close(back[:, hop:], wave[:, :-hop], atol=2e-6, rtol=0)
    torch.testing.assert_close(coefficients.square().sum(), wave.square().sum(), rtol=1e-5, atol=0)


@given(st.floats(-50, 50), st.floats(0.2, 1))
def test_power_law_has_its_inverse_and_finite_slope(value, power):
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    y = compress(x, power)
    y.backward()
    assert torch.isfinite(x.grad)
    if abs(y) < 32:
        torch.testing.assert_close(expand(y, power), x, atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("power", [0.3, 1.0])
def test_expanded_coefficients_are_finite(power):
    extremes = torch.tensor([float("inf"), 1e30, -1e30, 0.0], requires_grad=True)
    out = expand(extremes, power)
    out.sum().backward()
    assert torch.isfinite(out).all() and torch.isfinite(extremes.grad).all() and out[3] == 0


# --- one path -----------------------------------------------------------------------------------

PER_BLOCK = BLOCK * 16
cuts = st.lists(st.integers(0, PER_BLOCK * 3), max_size=8)


@given(length=st.integers(0, PER_BLOCK * 3) | st.sampled_from([1, 7, 8, 9, PER_BLOCK - 8, PER_BLOCK]), cuts=cuts)
@settings(deadline=None, max_examples=60)
def test_streamed_encoding_is_whole_encoding(codec, length, cuts):
    wave = noise(2, 1, length, seed=length)
    stream = codec.stream_encoder(batch=2, codebooks=3)
    parts = torch.tensor_split(wave, sorted(cuts), dim=2)
    streamed = CodesWithImportance.join([*(stream.push(part) for part in parts), stream.flush()])
    assert streamed.codes.shape == streamed.importances.shape == (2, 3, codec.config.frames_for(length))
    whole = codec.stream_encoder(batch=2, codebooks=3)
    whole = CodesWithImportance.join([whole.push(wave), whole.flush()])
    assert torch.equal(streamed.codes, whole.codes) and torch.equal(streamed.importances, whole.importances)
    assert torch.equal(streamed.codes, codec.encode(wave, codebooks=3))


@given(frames=st.integers(0, 3 * BLOCK), cuts=st.lists(st.integers(0, 3 * BLOCK), max_size=8))
@settings(deadline=None, max_examples=60)
def test_streamed_decoding_is_whole_decoding(codec, frames, cuts):
    codes = torch.randint(RVQ.codebook_size, (2, 3, frames), generator=torch.Generator().manual_seed(frames))
    stream = codec.stream_decoder(batch=2)
    parts = torch.tensor_split(codes, sorted(cuts), dim=2)
    streamed = torch.cat([*(stream.push(part) for part in parts), stream.flush()], 2)
    assert streamed.shape == (2, 1, max(0, frames * 16 - 8))
    assert torch.equal(streamed, codec.decode(codes))


@pytest.mark.parametrize("size", ["tiny", "default"])
def test_batch_is_single(codec, size):
    codec = codec if size == "tiny" else Codec(CodecConfig(quantizer=codec.config.quantizer)).eval()
    wave = noise(3, 1, 70 * codec.config.latent_hop)
    codes = codec.encode(wave)
    assert torch.equal(codes, torch.cat([codec.encode(one[None]) for one in wave]))
    assert torch.equal(codec.decode(codes), torch.cat([codec.decode(one[None]) for one in codes]))


def test_codes_cover_every_sample(codec):
    for length in range(0, 100):
        codes = codec.encode(noise(1, 1, length))
        assert codes.shape[2] == codec.config.frames_for(length)
        assert codec.decode(codes, length).shape == (1, 1, length)


def test_training_path_is_the_coding_path(codec):
    """One block with gradients, and any mix of numbers of codebooks in the batch."""
    wave = noise(codec.config.quantizer.codebooks, 1, 999)
    counts = torch.arange(1, len(wave) + 1)
    out = codec(wave, counts)
    stream = codec.stream_encoder(len(wave))
    coded = CodesWithImportance.join([stream.push(wave), stream.flush()])
    assert torch.equal(out.quantized.codes, coded.codes)
    codes = coded.keep_above(importance_thresholds(coded.importances, counts))
    assert ((codes != NO_CODE).sum((1, 2)).diff() > 0).all() and (codes[-1] != NO_CODE).all()
    torch.testing.assert_close(out.wave, codec.decode(codes, 999), atol=1e-5, rtol=1e-4)


# --- latency and reach --------------------------------------------------------------------------


def test_latency_is_what_is_promised(codec):
    """No output sample depends on input from ``latency`` samples ahead, and some do from one sample less."""
    latency = round(codec.config.latency_ms * codec.config.sample_rate / 1000)
    assert latency == (codec.config.frames_per_latent + 1) * codec.config.hop

    def transmit(wave: Tensor) -> Tensor:  # all of the codec but the quantizer
        latent, _ = codec.analyse(wave, codec.mdct.start(1), codec.encoder.start(1))
        out, _, _ = codec.synthesise(latent, codec.mdct.start(1), codec.decoder.start(1))
        return out[:, codec.config.hop :]

    wave, leads = noise(1, 20 * codec.config.latent_hop), []
    undisturbed = transmit(wave)
    for place in range(160, 160 + codec.config.latent_hop):
        disturbed = wave.clone()
        disturbed[0, place] += 0.5
        first = (transmit(disturbed) != undisturbed)[0].nonzero()[0, 0].item()
        leads.append(place - first)
    assert max(leads) == latency - 1


def test_decoder_forgets(codec):
    """A wrong code is heard for as long as ``receptive_field`` says, and no longer."""
    codes = torch.randint(RVQ.codebook_size, (1, 4, 60), generator=torch.Generator().manual_seed(1))
    wrong = codes.clone()
    wrong[..., :20] = (wrong[..., :20] + 7) % RVQ.codebook_size
    differs = (codec.decode(codes) != codec.decode(wrong))[0, 0]
    hop, latent_hop = codec.config.hop, codec.config.latent_hop
    clean = (20 + codec.receptive_field) * latent_hop - hop  # frame i starts at i * latent_hop - hop
    assert not differs[clean:].any()
    assert differs[clean - latent_hop : clean].any()


# --- quantizers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("used", [1, 2, 4])
def test_gradient_goes_straight_through_however_many_stages_there_are(used):
    """Residuals that carry gradients would add one identity for each stage, or cancel it."""
    torch.manual_seed(3)
    quantizer = ResidualVQ(NARROW).double()
    latent = torch.randn(1, 1, 6, dtype=torch.float64)
    count = torch.tensor([used])
    measured = torch.autograd.functional.jacobian(lambda x: quantizer(x, count).latent[0, 0], latent)[:, 0, 0]
    torch.testing.assert_close(measured, torch.eye(6, dtype=torch.float64))


@pytest.mark.parametrize("used", [1, 2, 4])
def test_commitment_pulls_the_latent_towards_what_each_number_of_stages_makes_of_it(used):
    torch.manual_seed(5)
    quantizer = ResidualVQ(NARROW).double()
    latent = torch.randn(2, 3, 6, dtype=torch.float64, requires_grad=True)
    out = quantizer(latent, torch.full((2,), used))
    coded = quantizer.fused().encode(latent, 4)
    present = coded.importances >= importance_thresholds(coded.importances, torch.full((2,), used))
    assert present.sum() == 2 * 3 * used
    decoded = [quantizer.fused().decode(out.codes[:, : stage + 1]) for stage in range(4)]
    errors = [(latent - d) * there[..., None] for d, there in zip(decoded, present.unbind(1))]
    torch.testing.assert_close(out.commitment, sum(error.square().mean() for error in errors))
    (gradient,) = torch.autograd.grad(out.commitment, latent)
    torch.testing.assert_close(gradient, sum(2 * error for error in errors).detach() / latent.numel())


def test_vq_chooses_the_nearest_entry():
    torch.manual_seed(6)
    quantizer = ResidualVQ(NARROW)
    latent = torch.randn(2, 50, 6)
    residual = latent
    for stage, codes in zip(quantizer.stages, quantizer.fused().encode(latent, 4).codes.unbind(1)):
        entries = stage.codebook @ stage.basis
        distances = (residual[:, :, None] - entries).norm(dim=-1)
        torch.testing.assert_close(distances.gather(2, codes[..., None])[..., 0], distances.amin(-1))
        residual = residual - entries[codes]


@pytest.mark.parametrize("size", [2, 31, 48, 1024])
def test_nearest_is_the_nearest_whatever_the_number_of_entries(size):
    torch.manual_seed(6)
    entries = torch.randn(size, 5)
    for points in torch.randn(120, 5), torch.randn(1, 5):
        indices, gains = nearest(points, entries.T, half_square(entries))
        assert torch.equal(indices, torch.cdist(points, entries).argmin(-1))
        torch.testing.assert_close(points.square().sum(-1) - 2 * gains, torch.cdist(points, entries).amin(-1) ** 2)


def clusters() -> tuple[ResidualVQ, Tensor]:
    """A quantizer whose eight entries are the centres of clusters, and the centres."""
    torch.manual_seed(7)
    quantizer = ResidualVQ(QuantizerConfig(codebooks=1, latent_dim=4, codebook_size=8, codebook_dim=4)).train()
    centres = torch.randn(8, 4) * 3
    stage = quantizer.stages[0]
    stage.codebook.copy_(centres @ stage.basis.T)
    return quantizer, centres


def test_codebooks_follow_the_means_of_what_they_stand_for():
    quantizer, centres = clusters()
    moved = centres + 0.2 * torch.randn(8, 4)
    for _ in range(100):
        quantizer(moved.repeat(20, 1)[None] + 0.01 * torch.randn(1, 160, 4), torch.tensor([1]))
        assert quantizer.update_codebooks(torch.Generator(), decay=0.9) == 0
    torch.testing.assert_close(quantizer.stages[0].codebook @ quantizer.stages[0].basis, moved, atol=0.01, rtol=0)


def test_entries_that_nothing_is_near_to_are_put_where_something_is():
    quantizer, centres = clusters()
    stage = quantizer.stages[0]
    stage.codebook[2:5] += 100
    replaced = 0
    for _ in range(60):
        quantizer(centres.repeat(20, 1)[None] + 0.01 * torch.randn(1, 160, 4), torch.tensor([1]))
        replaced += quantizer.update_codebooks(torch.Generator().manual_seed(0), decay=0.9)
    assert replaced == 3 and stage.codebook.abs().max() < 20


def test_folded_tables_are_kept_until_a_codebook_changes():
    torch.manual_seed(9)
    quantizer, latent = ResidualVQ(NARROW), torch.randn(1, 30, 6)
    before = quantizer.fused()
    codes = before.encode(latent, 4).codes
    assert quantizer.fused() is before
    quantizer.stages[2].codebook.mul_(-1)
    after = quantizer.fused().encode(latent, 4).codes
    assert torch.equal(after[:, :2], codes[:, :2]) and not torch.equal(after[:, 2], codes[:, 2])


def test_subspaces_are_the_strongest_directions_of_what_is_left():
    torch.manual_seed(8)
    config = QuantizerConfig(codebooks=2, latent_dim=6, codebook_size=16, codebook_dim=2)
    quantizer = ResidualVQ(config)
    latent = torch.randn(1, 4000, 6) * torch.tensor([9.0, 8.0, 4.0, 3.0, 0.1, 0.1])
    quantizer.initialise(latent, torch.Generator().manual_seed(0))
    first, second = (stage.basis.abs() for stage in quantizer.stages)
    assert first[:, 2:].max() < 0.1 and second[:, [0, 1, 4, 5]].max() < 0.5
    residual = latent[0] - quantizer.fused().decode(quantizer.fused().encode(latent, 1).codes)[0]
    power = residual.square().sum()
    assert (residual @ quantizer.stages[1].basis.T).square().sum() > 0.6 * power


def make_fsq(levels: tuple[int, ...], groups: int, depth: int) -> ResidualFSQ:
    return ResidualFSQ(QuantizerConfig(kind="fsq", codebooks=groups * depth, levels=levels, groups=groups))


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3,), (4, 7)])
@pytest.mark.parametrize("groups", [1, 3])
def test_fsq_error_shrinks_with_every_stage(levels, groups):
    depth = 3
    quantizer = make_fsq(levels, groups, depth)
    values = torch.rand(2, 200, groups * len(levels), generator=torch.Generator().manual_seed(0)) * 2 - 1
    spacing = torch.tensor(levels * groups) - 1.0
    for stage in range(1, depth + 1):
        codes = quantizer.encode(values.atanh(), stage * groups).codes
        assert 0 <= codes.min() and codes.max() < quantizer.levels.prod()
        error = (quantizer.decode(codes) - values).abs()
        assert (error <= spacing**-stage + 1e-5).all()
        assert (error.amax((0, 1)) > 0.8 * spacing**-stage).all()  # and not better than the grid can be


@pytest.mark.parametrize("levels", [(8, 5, 5, 5), (3,), (4, 7)])
def test_fsq_codes_are_all_used_and_come_back(levels):
    quantizer = make_fsq(levels, 1, 1)
    every = torch.arange(int(np.prod(levels)))[None, None]
    values = quantizer.decode(every)
    assert len(values[0].unique(dim=0)) == every.numel()
    assert torch.equal(quantizer.encode(values.clamp(-1 + 1e-6, 1 - 1e-6).atanh(), 1).codes, every)


def test_fsq_passes_the_gradient_of_its_bounded_values():
    torch.manual_seed(7)
    latent = torch.randn(3, 4, 6, dtype=torch.float64, requires_grad=True)
    wanted = torch.randn(3, 4, 6, dtype=torch.float64)
    quantizer, codebooks = ResidualFSQ(FSQ).double(), torch.tensor([6, 2, 1])
    out = quantizer(latent, codebooks).latent
    measured = torch.autograd.grad((out * wanted).sum(), latent)[0]
    need = quantizer.encode(latent.detach(), 2).importances
    lost = need < importance_thresholds(quantizer.encode(latent.detach(), 6).importances, codebooks)
    assert lost[:, 1].any() and not lost[0].any()
    expected = wanted / latent.detach().cosh() ** 2
    # without a code the values of a group went nowhere
    expected = expected * ~lost.transpose(1, 2).repeat_interleave(3, 2)
    torch.testing.assert_close(measured, expected)


@pytest.mark.parametrize("config", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_quantizing_is_encoding_and_decoding(config):
    quantizer = make_codec(config, seed=8).quantizer
    latent, folded = torch.randn(1, 40, config.dimension), quantizer.fused()
    for count in range(1, config.codebooks + 1):
        out = quantizer(latent, torch.tensor([count]))
        coded = folded.encode(latent, config.codebooks)
        assert torch.equal(out.codes, coded.codes)
        assert torch.equal(out.codes[:, :count], folded.encode(latent, count).codes)
        codes = coded.keep_above(importance_thresholds(coded.importances, torch.tensor([count])))
        assert (codes != NO_CODE).float().sum(1).mean() == pytest.approx(count, abs=0.03)
        torch.testing.assert_close(out.latent, folded.decode(codes), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("config", [RVQ, FSQ], ids=["rvq", "fsq"])
def test_what_a_code_is_needed_for_is_the_error_without_it(config):
    quantizer = make_codec(config, seed=8).quantizer
    latent, folded = torch.randn(2, 40, config.dimension), quantizer.fused()
    coded = folded.encode(latent, config.codebooks)
    value = latent.tanh() if config.kind == "fsq" else latent
    codes = torch.full_like(coded.codes, NO_CODE)
    least = torch.full((2, 40), torch.inf)
    for index, (code, need) in enumerate(zip(coded.codes.unbind(1), coded.importances.unbind(1))):
        error = (folded.decode(codes) - value).square().sum(-1)
        least = torch.minimum(least, error / value.square().sum(-1) ** LEVEL_EXPONENT)
        torch.testing.assert_close(need, least, atol=1e-4, rtol=1e-4)
        codes[:, index] = code


def test_untrained_codec_is_a_transform_codec(codec):
    """The direct paths are orthogonal up to scale, and invert each other where the latent is large enough."""
    quantizer = replace(codec.config.quantizer, latent_dim=16, levels=(5,) * 8, contexts=1)
    codec = make_codec(quantizer)
    wave = noise(2, 1, 4000).cumsum(2) / 20
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
    wave = noise(8, 1, 4000).cumsum(2) / 20
    codec.initialise(wave, torch.Generator().manual_seed(0))
    for codes in codec.encode(wave).transpose(0, 1):
        assert len(codes.unique()) > 0.5 * codec.config.quantizer.size


# --- storage ------------------------------------------------------------------------------------


def test_model_comes_back_from_disk(codec, tmp_path):
    save_model(tmp_path / "run" / "model", codec, {"step": 3})
    for place in (tmp_path / "run", tmp_path / "run" / "model"):
        back = load_model(place)
        assert back.config == codec.config and checksum(back) == checksum(codec) and not back.training
        assert fingerprint(back) == fingerprint(codec) and back.decodes == ()
    wave = noise(1, 1, 500)
    assert torch.equal(back.encode(wave), codec.encode(wave))


@pytest.mark.parametrize("name", [checksum, fingerprint])
def test_names_are_of_weights_and_architecture(name):
    codec, same, other = make_codec(RVQ), make_codec(RVQ), make_codec(RVQ, seed=1)
    assert name(codec) == name(same) != name(other)
    with torch.no_grad():
        weight = same.decoder.last.bias
        weight[3] = torch.nextafter(weight[3], torch.tensor(9.0))
    assert name(codec) != name(same)
    object.__setattr__(codec.config, "power", 0.55)
    assert name(codec) != name(make_codec(RVQ))


def test_fingerprint_names_what_decodes_and_nothing_else(codec):
    """Every tensor in turn: the name changes if and only if a decode, or what it is decoded from, can."""
    config = codec.config.quantizer
    one = make_codec(config)
    before, whole, seen = fingerprint(one), checksum(one), set()
    for name, tensor in one.state_dict().items():
        kept = tensor.clone()
        tensor.flatten()[0] += 1
        matters = not name.startswith("encoder.") and "usage" not in name
        assert (fingerprint(one) != before) == matters and checksum(one) != whole, name
        tensor.copy_(kept)
        seen.add(name.split(".")[0])
    assert seen >= {"encoder", "decoder", "tables"} and fingerprint(one) == before
    decoding = one.decoding_state()
    other = make_codec(config, seed=1)
    other.load_state_dict(decoding, strict=False)
    codes = one.encode(noise(1, 1, 500))
    assert torch.equal(one.decode(codes), other.decode(codes)) and fingerprint(other) == before


def test_what_a_model_decodes_is_stored(tmp_path):
    codec = make_codec(RVQ)
    codec.decodes = ("0123456789abcdef", "00112233445566ff")
    save_model(tmp_path, codec, {})
    assert load_model(tmp_path).decodes == codec.decodes


# --- frequency tables ---------------------------------------------------------------------------


@given(st.integers(2, 3000), st.sampled_from([0, 1, 1000, 10**12]), st.integers(0, 2**32))
@settings(deadline=None)
def test_tables_add_up_and_leave_no_code_out(size, most, seed):
    counts = torch.from_numpy(np.random.default_rng(seed).integers(0, most + 1, (3, size)) // size)
    tables = FrequencyTables(3, size)
    tables.fit(counts)
    tables.to_numpy()
    added = counts.sum(1, keepdim=True).double().sqrt().clamp(min=1) / size
    shares = (counts + added) / (counts + added).sum(1, keepdim=True)
    error = tables.frequencies / 2**24 - shares
    assert error.abs().max() <= (size + 1) * 2**-24


def test_tables_are_uniform_until_fitted():
    for size in (2, 1000, 1024):
        tables = FrequencyTables(2, size)
        tables.to_numpy()
        assert tables.frequencies.max() - tables.frequencies.min() <= 1
        assert tables.expected_bits().numpy() == pytest.approx([np.log2(size)] * 2, rel=1e-6)


def test_costs_are_those_of_the_tables():
    tables = FrequencyTables(1, 4)
    tables.fit(torch.tensor([[50_000_000, 25_000_000, 12_500_000, 12_500_000]]))
    assert tables.bits[0].numpy() == pytest.approx([1, 2, 3, 3], abs=1e-3)
    assert float(tables.expected_bits()) == pytest.approx(1.75, abs=1e-3)
    for wrong in ([[1 << 24, 0, 0, 0]], [[1, 1, 1, 1]]):
        tables.frequencies.copy_(torch.tensor(wrong))
        with pytest.raises(ValueError):
            tables.to_numpy()


@pytest.mark.parametrize(
    "name, damage",
    [
        ("model.safetensors", lambda data: data[: len(data) // 2]),
        ("model.safetensors", lambda data: b""),
        ("model.safetensors", lambda data: b"\x80\x04 not tensors" * 40),
        ("config.json", lambda data: data[:40]),
        ("config.json", lambda data: b"\xff\xfe"),
        ("config.json", lambda data: b"[]"),
        ("config.json", lambda data: data.replace(b'"hop": 8', b'"hop": 16')),
        ("config.json", lambda data: data.replace(b'"hop"', b'"hopp"')),
        ("config.json", lambda data: json.dumps({"info": {}}).encode()),
    ],
)
def test_damaged_model_is_one_line(tmp_path, name, damage):
    save_model(tmp_path, make_codec(RVQ), {})
    file = tmp_path / name
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(UserError) as error:
        load_model(tmp_path)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)


def test_weights_are_read_by_the_configuration_that_they_came_with(tmp_path):
    """As after a kill between the two renames by which another model takes the place of one."""
    models = {seed: make_codec(RVQ, seed=seed) for seed in (0, 1)}
    for seed, codec in models.items():
        save_model(tmp_path / str(seed), codec, {"step": seed})
    (tmp_path / "0/model.safetensors").replace(tmp_path / "1/model.safetensors")
    assert fingerprint(load_model(tmp_path / "1")) == fingerprint(models[0]) == read_fingerprints(tmp_path / "1")[0]
    assert read_info(tmp_path / "1") == {"step": 0}


def test_weights_without_a_configuration_of_their_own_must_be_those_of_config_json(tmp_path):
    """As built-in models are, which are older."""
    for seed in (0, 1):
        save_model(tmp_path / str(seed), make_codec(RVQ, seed=seed), {})
        weights = load_file(tmp_path / f"{seed}/model.safetensors")
        save_file(weights, tmp_path / f"{seed}/model.safetensors")
        assert load_model(tmp_path / str(seed))
    (tmp_path / "0/model.safetensors").replace(tmp_path / "1/model.safetensors")
    with pytest.raises(UserError, match="do not belong together"):
        load_model(tmp_path / "1")


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("encoder", "width", 9000),
        ("encoder", "depth", 1000),
        ("quantizer", "codebooks", 1000),
        ("decoder", "width", "8"),
    ],
)
def test_a_config_that_describes_more_than_the_weights_hold_takes_no_memory(tmp_path, section, name, value):
    save_model(tmp_path, make_codec(RVQ), {})
    content = json.loads((tmp_path / "config.json").read_text())
    content["codec"][section][name] = value
    (tmp_path / "config.json").write_text(json.dumps(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="cannot be read"):
        load_model(tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_what_is_not_a_model_is_one_line(tmp_path):
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(UserError, match=str(path)):
            load_model(path)
