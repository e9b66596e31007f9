"""Agreement of codes and sound: what the contract promises is exact, and what is said is what can be counted."""

import math

import numpy as np
import pytest

from codec import api, audio
from codec.pretrained.registry import DEFAULT_MODEL
from eval.benchmarks.numerical_agreement import Way, agreements, first_seconds, table, usual_ways


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> list[audio.Audio]:
    folder = tmp_path_factory.mktemp("sounds")
    paths = [folder / "a.wav", folder / "b.wav", folder / "c.wav"]
    for path, channels, rate in zip(paths, (1, 2, 1), (16000, 22050, 16000)):
        noise = np.random.default_rng(channels).standard_normal((channels, 2 * rate))
        audio.write(path, (0.1 * noise).astype(np.float32), rate)
    return first_seconds(paths, 3.0)


def test_so_many_seconds_are_taken(sounds):
    assert [sound.samples.shape for sound in sounds] == [(1, 32000), (2, 22050)]


def test_pieces_of_sound_make_no_difference_and_precision_does(sounds):
    model, sounds = DEFAULT_MODEL, sounds[:1]  # the codebooks of a tiny model are too coarse
    exact, rough = agreements(model, sounds, [Way(block=256), Way(dtype="bfloat16")])
    assert (exact.codes, exact.first_codes, exact.max_difference, exact.snr_db) == (1, 1, 0, math.inf)
    assert (rough.codes, rough.first_codes) == (1, 1)
    c, less = api.load(model), api.load(model, dtype="bfloat16")
    codes = [c.encode(sound.samples, sound.sample_rate).codes for sound in sounds]
    waves = np.concatenate([np.stack([c.decode(one), less.decode(one)]).reshape(2, -1) for one in codes], 1)
    assert rough.max_difference == pytest.approx(np.abs(waves[0] - waves[1]).max(), rel=1e-5)
    ratio = np.square(waves[0]).mean() / np.square(waves[0] - waves[1]).mean()
    assert rough.snr_db == pytest.approx(10 * math.log10(ratio), abs=0.01)


def test_the_table_has_a_line_for_each_way(sounds, model):
    ways = usual_ways("cuda")[:2]
    lines = table(agreements(model, sounds[:1], ways)).splitlines()
    assert len(lines) == 2 + len(ways) and {line.count("|") for line in lines} == {6}
    assert [way.device for way in usual_ways("cuda")].count("cuda") == 3
