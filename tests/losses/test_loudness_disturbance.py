"""The loudness disturbance: against Zwicker's law, PESQ itself, and what the ear is known to prefer."""

import numpy as np
import pytest
import torch
from scipy.signal import butter, sosfiltfilt
from scipy.stats import spearmanr
from torch import Tensor

from codec.losses.loudness_disturbance import loudness_bands, loudness_loss, specific_loudness
from codec.losses.spectrograms import SpectrogramPair
from data_prep.synthetic_corpus import synthesise_corpus

CPU = torch.device("cpu")


def judged(output: Tensor, target: Tensor, rate: int = 16000) -> float:
    return float(loudness_loss(SpectrogramPair(output, target), rate))


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> Tensor:
    """A few seconds of a made voice, ``[1, 1, samples]``."""
    import soundfile

    folder = synthesise_corpus(tmp_path_factory.mktemp("speech"), minutes=0.5)
    path = sorted(folder.glob("voice/**/*.flac"))[0]
    wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == 16000
    return torch.from_numpy(wave[: 16000 * 6, 0])[None, None]


@pytest.mark.parametrize("rate", [16000, 24000, 44100])
def test_ten_decibels_are_a_factor_and_the_threshold_is_silence(rate):
    bands = loudness_bands(rate, CPU)
    levels_db = torch.tensor([60.0, 70.0, 80.0])[:, None].expand(3, len(bands.quiet))
    loud = specific_loudness(10 ** (levels_db / 10) * bands.quiet / bands.quiet.min(), bands)
    torch.testing.assert_close(loud[2] / loud[1], torch.full_like(loud[0], 10**0.23), rtol=0.02, atol=0)
    assert (specific_loudness(bands.quiet * 0.9, bands) == 0).all() and (
        specific_loudness(bands.quiet * 2, bands) > 0
    ).all()
    assert bands.width.sum() == pytest.approx(24 if rate == 44100 else 22, abs=1.5)


def test_nothing_disturbs_what_is_the_same(speech):
    assert judged(speech, speech) < 0.02
    gradient = speech.clone().requires_grad_()
    loudness_loss(SpectrogramPair(gradient, speech), 16000).backward()
    assert gradient.grad.isfinite().all()


def test_level_does_not_matter(speech):
    noisy = speech + 0.01 * torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    assert judged(noisy / 4, speech / 4) == pytest.approx(judged(noisy, speech), rel=0.01)


def test_what_is_added_is_worse_than_what_is_missing(speech):
    """A band of the speech, more of it or less."""
    band = torch.from_numpy(sosfiltfilt(butter(4, (1500, 3000), "bandpass", fs=16000, output="sos"), speech).copy())
    more, less = speech + 0.9 * band.float(), speech - 0.9 * band.float()
    assert judged(more, speech) > 0.1 and judged(less, speech) > 0.1
    added, missing = torch.zeros_like(speech), speech
    noise = 0.02 * torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    assert judged(added + noise + speech, speech) > judged(missing, speech + noise)


def test_it_ranks_as_pesq_does(speech):
    pesq = pytest.importorskip("pesq").pesq
    reference = speech[0, 0].numpy()
    rng = np.random.default_rng(0)
    spectrum = np.fft.rfft(reference)
    outputs = []
    for snr_db in (0, 5, 10, 15, 20, 25, 30, 35, 40):
        noise = rng.standard_normal(len(reference))
        coloured = np.fft.irfft(np.fft.rfft(noise) * np.abs(spectrum) ** 0.5, len(reference))
        for kind in (noise, coloured):
            outputs.append(reference + kind * reference.std() / kind.std() * 10 ** (-snr_db / 20))
    for edge_hz in (1000, 2000, 3000, 4000, 6000):
        outputs.append(sosfiltfilt(butter(6, edge_hz, fs=16000, output="sos"), reference))
    scores = [pesq(16000, reference, output.astype(np.float32), "wb") for output in outputs]
    found = [judged(torch.from_numpy(output.astype(np.float32))[None, None], speech) for output in outputs]
    assert spearmanr(scores, found).statistic < -0.8
