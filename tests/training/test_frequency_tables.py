"""Frequency tables fitted to the training split: exact counts, contexts, and no loss with little data.

On other clips, tables that were fitted to little data must cost no more than codes of fixed width, nor than the tables
before."""

import copy

import numpy as np
import pytest
import torch

from codec.bitstream.codes import NO_CODE
from codec.bitstream.range_coder import RangeCoder
from codec.dataset.clips import ClipTable
from codec.dataset.location import open_split
from codec.dataset.packed_split import PackedSplit
from codec.model.codec import Codec
from codec.model.frequency_tables import FrequencyTables, to_frequencies
from codec.pretrained.checkpoint import load_codec, save_model
from codec.pretrained.model_folder import read_training_info
from codec.pretrained.registry import find_model
from codec.recipe import read_recipe
from codec.training import fit_frequency_tables
from codec.training.fit_frequency_tables import CodedPackets, fit_tables
from codec.training.frequency_smoothing import UNIFORM_PRIORS, Counts, adapt, coding_cost, smooth
from codec.training.trainer import train
from tests.helpers.runs import tiny_recipe
from tests.helpers.tiny import TINY


def part_of(split: PackedSplit, first: int, stop: int) -> PackedSplit:
    rows = ((split.clips[index], split.clips.location(index)) for index in range(len(split))[first:stop])
    return PackedSplit(split.arrays, ClipTable(rows), 16000, 1)


def bits_per_frame(codec: Codec, split: PackedSplit) -> float:
    """Return the cost in packets of two seconds under the tables of the codec."""
    coder, bits, frames = RangeCoder(codec.tables.to_numpy()), 0.0, 0
    for i in range(len(split)):
        wave = torch.from_numpy(split.waveform(i))
        codes = codec.encode(wave[None]).numpy()
        bits += sum(coder.bits(codes[:, :, at : at + 100], False) for at in range(0, codes.shape[2], 100))
        frames += codes.shape[2]
    return bits / frames


@pytest.fixture(scope="module")
def large(prepared) -> Codec:
    """A model with codes of 10 bits, of which few occur in a minute, initialised from the data."""
    torch.manual_seed(0)
    made = Codec(read_recipe("speech_16k", [*TINY, "--codec.quantizer.codebook_size=1024"]).codec)
    split = open_split(prepared, "train", 16000, 1)
    first_seconds = torch.cat([torch.from_numpy(split.waveform(i, 0, 16000))[None] for i in range(8)])
    made.initialise(first_seconds, torch.Generator().manual_seed(0))
    return made.eval().requires_grad_(False)


@pytest.mark.parametrize("classes", [1, 32])
@pytest.mark.parametrize("clips", [1, 12])
def test_tables_fitted_to_few_clips_cost_no_more_than_fixed_width_on_others(large, prepared, classes, clips):
    codec = copy.copy(large)
    codec.tables = FrequencyTables(3, 1024, classes)
    train, val = (open_split(prepared, split, 16000, 1) for split in ("train", "val"))
    fit_tables(codec, part_of(train, 0, clips), part_of(train, 18, 22), quiet=True)
    codec.tables.to_numpy()
    unseen = bits_per_frame(codec, val)
    assert unseen <= 1.01 * 30.0


@pytest.mark.parametrize("start", [pytest.param("parent", marks=pytest.mark.long), "uniform"])
def test_tables_of_many_large_codebooks_fitted_to_half_a_minute(prepared, start):
    """The built-in model's, whose own tables were fitted to an hour of speech. Fitted without looking at what is held
    out, they take 1.18 times the fixed width here."""
    codec = load_codec(find_model("speech_16k_v2"))
    train, unseen = (open_split(prepared, split, 16000, 1) for split in ("train", "val"))
    parent = bits_per_frame(codec, unseen)
    if start == "uniform":
        codec.tables = FrequencyTables(24, 1024, 32)
    fit_tables(codec, part_of(train, 0, 12), part_of(train, 18, 22), quiet=True)
    assert bits_per_frame(codec, unseen) <= 1.02 * (min(parent, 240.0) if start == "parent" else 240.0)


def test_smoothing_becomes_weaker_with_more_data():
    generator = torch.Generator().manual_seed(0)
    shares = torch.rand(1, 4, 64, generator=generator).double() ** 4 + 1e-3
    shares = shares / shares.sum(2, keepdim=True)

    def drawn(number: int) -> torch.Tensor:
        symbols = torch.multinomial(shares[0], number, replacement=True, generator=generator)
        return torch.stack([torch.bincount(row, minlength=64) for row in symbols])[None].double()

    fresh = drawn(20_000)
    entropy = float(-(fresh * shares.log2()).sum())
    excess = []
    for number in (5, 50, 5000):
        found = smooth(Counts(drawn(number), drawn(max(5, number // 8))))
        excess.append(float(coding_cost(fresh, found)) / entropy)
        assert excess[-1] < float(coding_cost(fresh, to_frequencies(torch.zeros_like(shares)))) / entropy + 0.02
    assert excess[0] > excess[1] > excess[2] and excess[2] < 1.01


def test_a_parents_tables_are_drawn_towards_the_data_by_as_much_as_there_is():
    """A parent of another distribution is left behind with much data, and kept with little if it is the right one."""
    generator = torch.Generator().manual_seed(0)
    right, other = (torch.rand(1, 4, 64, generator=generator).double() ** 4 + 1e-3 for _ in range(2))
    right, other = (to_frequencies(one) for one in (right, other))

    def drawn(number: int) -> torch.Tensor:
        symbols = torch.multinomial(right[0].double(), number, replacement=True, generator=generator)
        return torch.stack([torch.bincount(row, minlength=64) for row in symbols])[None].double()

    fresh = drawn(20_000)
    best = float(coding_cost(fresh, right))
    few, many = Counts(drawn(5), drawn(5)), Counts(drawn(5000), drawn(600))
    assert float(coding_cost(fresh, adapt(few, right))) < 1.02 * best
    assert best < float(coding_cost(fresh, adapt(many, other))) < 1.02 * best
    assert float(coding_cost(fresh, adapt(few, other))) < float(coding_cost(fresh, other))


def test_tables_are_the_smoothed_frequencies_of_the_training_codes(tmp_path, prepared):
    """Fitted when training is over, whether or not it was cut short in between."""
    plan = tiny_recipe()
    train(plan, prepared, tmp_path, quiet=True)
    codec, info = load_codec(tmp_path), read_training_info(tmp_path)
    split = open_split(prepared, "train", 16000, 1)
    counts = np.zeros((3, 16), np.int64)
    for i, clip in enumerate(split.clips):
        wave = torch.from_numpy(split.waveform(i))[None]
        assert clip.seconds < 30
        for row, codes in zip(counts, codec.encode(wave)[0]):
            row += np.bincount(codes, minlength=16)
    assert info["tables"] == {"seconds": pytest.approx(sum(c.seconds for c in split.clips)), "frames": counts[0].sum()}
    for row, found in zip(counts, codec.tables.frequencies.double() / 2**24):
        spread = [max(np.sqrt(row.sum()), share * 16) for share in UNIFORM_PRIORS]
        expected = [(row + extra / 16) / (row.sum() + extra) for extra in spread]
        assert any(np.allclose(found, one, atol=2e-6, rtol=0) for one in expected)

    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    codec.tables.fit(torch.zeros(3, 16))  # as the run is between the last step and the fit
    save_model(tmp_path / "model", codec, {name: known for name, known in info.items() if name != "tables"})
    (tmp_path / "run.json").unlink()
    train(plan, prepared, tmp_path, quiet=True)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before and read_training_info(tmp_path) == info
    train(tiny_recipe("--train.steps=16"), prepared, tmp_path, quiet=True)
    assert "tables" in read_training_info(tmp_path)


def test_contexts_find_the_dependence_of_codes():
    """The first code mostly follows from the one before, the second mostly from the first, the third is random."""
    rng, size, packets, frames = np.random.default_rng(0), 8, 400, 50
    sure = rng.random((2, packets, frames)) < 0.9
    codes = rng.integers(size, size=(packets, 3, frames))
    for t in range(1, frames):
        codes[:, 0, t] = np.where(sure[0][:, t], (codes[:, 0, t - 1] + 1) % size, codes[:, 0, t])
    codes[:, 1] = np.where(sure[1], (3 * codes[:, 0]) % size, codes[:, 1])
    level = np.repeat(rng.random((packets, 1, frames // 10)), 10, axis=2)
    need = torch.from_numpy(level - 0.3 * np.arange(3)[:, None]).float()
    fitted = FrequencyTables(3, size, 8)
    entries = torch.randn(3, size + 1, 4, generator=torch.Generator().manual_seed(0))
    fit_frequency_tables.fit_contexts(
        fitted, CodedPackets(torch.from_numpy(codes), need), CodedPackets(torch.from_numpy(codes[:50]), need[:50]),
        torch.arange(packets) % 8 == 0, entries, quiet=True,
    )  # fmt: skip
    coder = RangeCoder(fitted.to_numpy())
    spent = [coder.bits(codes[:, : k + 1], False) / codes[:, 0].size for k in range(3)]
    # 0.9 + 0.1 / 8 for the code that is expected, 0.1 / 8 for each other one: 0.82 bits; without contexts, 3
    steps = np.diff([0, *spent])
    assert (steps[:2] > 0.8).all() and (steps[:2] < 1.6).all() and steps[2] == pytest.approx(3.0, abs=0.02)
    one = torch.from_numpy(codes).masked_fill(need < 0.4, NO_CODE).numpy()
    counts = (one != NO_CODE).sum(1)
    without = RangeCoder(FrequencyTables(3, size, 8).to_numpy()).bits(one, True)
    assert coder.bits(one, True) < 0.8 * without and np.unique(counts).size > 1


def test_tables_are_fitted_to_a_fixed_part_of_much_audio(prepared, monkeypatch):
    split, val = (open_split(prepared, name, 16000, 1) for name in ("train", "val"))
    codec = Codec(tiny_recipe().codec).eval()
    monkeypatch.setattr(fit_frequency_tables, "MAX_FITTED_S", 10.0)
    monkeypatch.setattr(fit_frequency_tables, "PIECE_S", 0.7)
    assert fit_tables(codec, split, val, quiet=True).seconds == 10.0
    first = codec.tables.frequencies.clone()
    codec.tables = FrequencyTables(3, 16)
    fit_tables(codec, split, val, quiet=True)
    assert torch.equal(first, codec.tables.frequencies)
