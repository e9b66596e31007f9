"""The table of the quality that each codebook adds, with its bounds."""

import numpy as np
import pytest
import torch

from codec.model.codec import Codec
from codec.recipe import read_recipe
from eval.benchmarks.codebook_gains import measure_codebook_gains
from eval.evaluation.clip_selection import Excerpt
from eval.metrics.registry import metric
from eval.systems.bounds import bounds_of
from tests.helpers.packed_data import RATE, float_waveform, tones
from tests.helpers.tiny import WITHOUT_CONTEXTS


def test_the_bounds_stand_below_the_codebooks_and_have_no_bit_rate():
    codec = Codec(read_recipe("speech_16k", WITHOUT_CONTEXTS).codec).eval()
    waves = [float_waveform(tones(seed, 3.1)) for seed in (0, 1)]
    codec.initialise(torch.from_numpy(np.stack(waves)), torch.Generator().manual_seed(0))
    clips = [Excerpt(str(i), str(i), "speech", wave, RATE) for i, wave in enumerate(waves)]
    table = measure_codebook_gains(codec, clips)
    assert [row[0] for row in table.rows] == ["1", "2", "3", "without quantizer", "KLT alone"]
    assert [float(row[1]) > 0 for row in table.rows[:3]] == [True] * 3 and [row[1] for row in table.rows[3:]] == [
        "",
        "",
    ]
    mel = table.header.index("Mel distance")
    for bound, row in zip(bounds_of(codec), table.rows[3:], strict=True):
        values = [metric("mel").score(wave, bound.decode(codec, wave), RATE).value for wave in waves]
        assert float(row[mel]) == pytest.approx(np.mean(values), abs=6e-4)
    assert float(table.rows[2][mel].split()[0]) > float(table.rows[3][mel])
