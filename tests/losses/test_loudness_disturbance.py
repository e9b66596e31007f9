"""The loudness disturbance against Zwicker's law, PESQ itself, and its asymmetry."""

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


def float_loss(output: Tensor, target: Tensor, rate: int = 16000) -> float:
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
def test_loudness_follows_zwickers_law_above_the_threshold(rate):
    bands = loudness_bands(rate, CPU)
    levels_db = torch.tensor([60.0, 70.0, 80.0])[:, None].expand(3, len(bands.quiet))
    loud = specific_loudness(10 ** (levels_db / 10) * bands.quiet / bands.quiet.min(), bands)
    torch.testing.assert_close(loud[2] / loud[1], torch.full_like(loud[0], 10**0.23), rtol=0.02, atol=0)
    assert (specific_loudness(bands.quiet * 0.9, bands) == 0).all() and (
        specific_loudness(bands.quiet * 2, bands) > 0
    ).all()
    assert bands.width.sum() == pytest.approx(24 if rate == 44100 else 22, abs=1.5)


def test_identical_waveforms_are_not_disturbed(speech):
    assert float_loss(speech, speech) < 0.02
    gradient = speech.clone().requires_grad_()
    loudness_loss(SpectrogramPair(gradient, speech), 16000).backward()
    assert gradient.grad.isfinite().all()


def test_the_loss_does_not_depend_on_the_level(speech):
    noisy = speech + 0.01 * torch.randn(speech.shape, generator=torch.Generator().manual_seed(0))
    assert float_loss(noisy / 4, speech / 4) == pytest.approx(float_loss(noisy, speech), rel=0.01)


@pytest.mark.parametrize("band_hz", [(300, 1000), (1000, 2000), (1500, 3000), (3000, 5000)])
@pytest.mark.parametrize("share", [0.4, 0.5, 0.65])
def test_added_audio_is_worse_than_missing_audio(speech, band_hz, share):
    """A band of the speech gains or loses the same share of its loudness, which grows as power ** 0.23; the share is
    above the quarter that is masked."""
    band = sosfiltfilt(butter(4, band_hz, "bandpass", fs=16000, output="sos"), speech).copy()
    more, less = ((1 + sign * share) ** (0.5 / 0.23) - 1 for sign in (1, -1))
    added, missing = (float_loss(speech + change * torch.from_numpy(band).float(), speech) for change in (more, less))
    assert added > 1.1 * missing > 0.01


@pytest.mark.parametrize("seed", range(3))
def test_audio_in_a_silent_target_is_worse_than_silence_for_audio(speech, seed):
    """The same two waveforms, each once the target: noise between words is added, then left out."""
    noise = 0.02 * torch.randn(speech.shape, generator=torch.Generator().manual_seed(seed))
    assert float_loss(speech + noise, speech) > 1.5 * float_loss(speech, speech + noise)


def test_the_ranking_is_that_of_pesq(speech):
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
    found = [float_loss(torch.from_numpy(output.astype(np.float32))[None, None], speech) for output in outputs]
    assert spearmanr(scores, found).statistic < -0.8
