"""The table of quality over the mean number of codes per frame."""

import numpy as np
import pytest
import torch

from codec.errors import UserError
from codec.model.codec import Codec
from codec.recipe import read_recipe
from eval.benchmarks.codes_per_frame import measure_quality_over_codes
from eval.evaluation.clip_selection import Excerpt
from eval.metrics.registry import metric
from tests.helpers.packed_data import RATE, float_waveform, tones
from tests.helpers.tiny import WITHOUT_CONTEXTS


def test_all_codes_are_what_the_codec_decodes_and_fewer_are_worse():
    codec = Codec(read_recipe("speech_16k", WITHOUT_CONTEXTS).codec).eval()
    waves = [float_waveform(tones(seed, 3.1)) for seed in (0, 1)]
    codec.initialise(torch.from_numpy(np.stack(waves)), torch.Generator().manual_seed(0))
    clips = [Excerpt(str(i), str(i), "speech", wave, RATE) for i, wave in enumerate(waves)]
    table = measure_quality_over_codes(codec, clips, (0.5, 1.5, 3))
    assert [row[0] for row in table.rows] == ["0.5", "1.5", "3", "without quantizer", "KLT alone"]
    mel = [float(row[table.header.index("Mel distance")].split()[0]) for row in table.rows]
    decoded = [codec.round_trip(torch.from_numpy(wave[None]), 3)[0][0].numpy() for wave in waves]
    expected = np.mean([metric("mel").score(wave, output, RATE).value for wave, output in zip(waves, decoded)])
    assert mel[2] == pytest.approx(expected, abs=6e-3)
    assert mel[0] > mel[1] > mel[2] > mel[3]
    with pytest.raises(UserError, match="3"):
        measure_quality_over_codes(codec, clips, (4,))
