"""Signal-to-noise ratio and level by frequency band."""

import numpy as np
import pytest
import scipy.signal
import torch

from codec.model.codec import Codec
from codec.recipe import read_recipe
from eval.benchmarks.frequency_bands import bands, measure_bands, tabulate_bands
from eval.evaluation.clip_selection import Excerpt
from tests.helpers.packed_data import RATE, float_waveform, tones
from tests.helpers.tiny import WITHOUT_CONTEXTS


def test_a_halved_band_has_6_db_less_and_is_in_error_by_6_db():
    noise = np.random.default_rng(0).standard_normal(3 * RATE)
    low = scipy.signal.firwin(801, 2800, fs=RATE)
    below = scipy.signal.filtfilt(low, 1, noise)
    snr, level = measure_bands(noise, below + 0.5 * (noise - below), RATE)
    edges = bands(RATE)
    above = [low >= 4000 for low in edges[:-1]]
    assert snr[above] == pytest.approx(6.02, abs=0.1) and level[above] == pytest.approx(-6.02, abs=0.1)
    kept = [high <= 2000 for high in edges[1:]]
    assert (snr[kept] > 30).all() and level[kept] == pytest.approx(0, abs=0.1)


def test_more_codes_give_less_noise_in_the_band_of_the_sound():
    codec = Codec(read_recipe("speech_16k", WITHOUT_CONTEXTS).codec).eval()
    waves = [float_waveform(tones(seed, 3.1)) for seed in (0, 1)]
    codec.initialise(torch.from_numpy(np.stack(waves)), torch.Generator().manual_seed(0))
    table = tabulate_bands(
        codec, [Excerpt(str(i), str(i), "speech", wave, RATE) for i, wave in enumerate(waves)], (1, 3)
    )
    assert [row[0] for row in table.rows] == ["1", "3", "without quantizer"]
    assert len(table.header) == len(bands(RATE))
    spectrum = np.abs(np.fft.rfft(waves[0][0]))
    peak = np.fft.rfftfreq(waves[0].shape[-1], 1 / RATE)[spectrum.argmax()]
    column = 1 + int(np.digitize(peak, bands(RATE))) - 1
    ratios = [float(row[column].split(" / ")[0]) for row in table.rows]
    assert ratios[0] < ratios[1] < ratios[2]
