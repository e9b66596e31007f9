"""Numerical equivalence: exact where the contract promises it, and otherwise what an independent computation finds."""

import math

import numpy as np
import pytest

from codec import api, audio
from codec.pretrained import DEFAULT_MODEL
from eval.benchmarks.numerical_equivalence import (
    RunConfiguration,
    compare_configurations,
    equivalence_table,
    read_first_seconds,
    standard_configurations,
)


@pytest.fixture(scope="module")
def clips(tmp_path_factory) -> list[audio.Audio]:
    folder = tmp_path_factory.mktemp("clips")
    paths = [folder / "a.wav", folder / "b.wav", folder / "c.wav"]
    for path, channels, rate in zip(paths, (1, 2, 1), (16000, 22050, 16000)):
        noise = np.random.default_rng(channels).standard_normal((channels, 2 * rate))
        audio.write(path, (0.1 * noise).astype(np.float32), rate)
    return read_first_seconds(paths, 3.0)


def test_files_are_read_up_to_a_total_duration(clips):
    assert [clip.samples.shape for clip in clips] == [(1, 32000), (2, 22050)]


def test_streams_are_exact_and_a_decoder_in_bfloat16_is_not(clips):
    model, clips = DEFAULT_MODEL, clips[:1]  # the codebooks of a tiny model are too coarse
    configurations = [RunConfiguration(block=256), RunConfiguration(dtype="bfloat16")]
    exact, rough = compare_configurations(model, clips, configurations)
    assert (exact.codes, exact.first_codes, exact.max_difference, exact.snr_db) == (1, 1, 0, math.inf)
    assert (rough.codes, rough.first_codes) == (1, 1)
    full, less = api.load(model), api.load(model, dtype="bfloat16")
    codes = [full.encode(clip.samples, clip.sample_rate).codes for clip in clips]
    waveforms = np.concatenate([np.stack([full.decode(one), less.decode(one)]).reshape(2, -1) for one in codes], 1)
    assert rough.max_difference == pytest.approx(np.abs(waveforms[0] - waveforms[1]).max(), rel=1e-5)
    ratio = np.square(waveforms[0]).mean() / np.square(waveforms[0] - waveforms[1]).mean()
    assert rough.snr_db == pytest.approx(10 * math.log10(ratio), abs=0.01)


def test_the_table_has_the_numbers_of_each_configuration(clips, model):
    configurations = standard_configurations("cuda")[:2]
    found = compare_configurations(model, clips[:1], configurations)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in equivalence_table(found).splitlines()[2:]]
    assert [row[0] for row in rows] == [configuration.name for configuration in configurations]
    for row, one in zip(rows, found):
        assert float(row[1].removesuffix(" %")) == pytest.approx(100 * one.codes, abs=1e-4)
        assert float(row[3]) == pytest.approx(one.max_difference, rel=0.05)
        assert float(row[4]) == pytest.approx(one.snr_db, abs=0.5)


def test_another_device_is_compared_in_every_precision():
    found = [one.dtype for one in standard_configurations("cuda") if one.device == "cuda"]
    assert found == ["float32", "float16", "bfloat16"]
