"""The noise-to-mask ratio against published curves and tables, and what the ear is known to prefer."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec import audio
from codec.losses import noise_to_mask_ratio
from codec.losses.bark import hz_to_bark, threshold_in_quiet_db_spl
from codec.losses.noise_baseline import matched_noise
from codec.losses.noise_to_mask import masking_bands, masking_threshold, masking_window
from codec.losses.spectrograms import complex_spectrogram
from tests.helpers.tensors import noise_tensor, sine_tensor

RATES = (16000, 24000, 44100)
CPU = torch.device("cpu")
ZWICKER_HZ = [100, 200, 300, 400, 510, 630, 770, 920, 1080, 1270, 1480, 1720]
ZWICKER_HZ += [2000, 2320, 2700, 3150, 3700, 4400, 5300, 6400, 7700, 9500, 12000, 15500]


def frames(wave: Tensor, rate: int) -> Tensor:
    """Magnitudes away from the reflected edges."""
    return complex_spectrogram(wave, masking_window(rate)).magnitude()[:, 4:-4]


def band_and_its_hz(rate: int, near_bark: float) -> tuple[int, float]:
    """The band whose centre is nearest, and the frequency of the bin nearest to that centre."""
    centres = masking_bands(rate, CPU).bark
    band = int((centres - near_bark).abs().argmin())
    bins_hz = torch.arange(masking_window(rate) // 2 + 1) * rate / masking_window(rate)
    return band, float(bins_hz[(hz_to_bark(bins_hz) - centres[band]).abs().argmin()])


# --- scales and thresholds ----------------------------------------------------------------------------------


def test_bark_scale_has_zwickers_critical_bands():
    found = hz_to_bark(torch.tensor(ZWICKER_HZ).float())
    torch.testing.assert_close(found, torch.arange(1.0, 25.0), atol=0.25, rtol=0)


def test_threshold_in_quiet_is_near_the_standard():
    """ISO 226:2003, threshold of hearing."""
    hz, level_db = zip((125, 22.1), (250, 11.4), (500, 4.4), (1000, 2.4), (2000, -1.3), (4000, -5.4))
    found_db = threshold_in_quiet_db_spl(torch.tensor(hz).float())
    torch.testing.assert_close(found_db, torch.tensor(level_db), atol=3.0, rtol=0)


@pytest.mark.parametrize("rate", RATES)
def test_bands_cover_all_bins_in_order_and_half_a_bark_each(rate):
    bands = masking_bands(rate, CPU)
    assert (bands.assignment.sum(1) == 1).all() and (bands.assignment.sum(0) > 0).all()
    assert (bands.assignment.argmax(1).diff() >= 0).all()
    width = bands.bark.diff()
    assert (width > 0).all() and width[8:-1].sub(0.5).abs().max() < 0.1


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("hz", [200.0, 1234.5, 6000.0])
def test_powers_of_a_full_scale_sine_add_up_to_its_mean_square(rate, hz):
    bands = masking_bands(rate, CPU)
    powers = frames(sine_tensor(hz, rate, rate)[None], rate).square() @ bands.assignment * bands.scale
    torch.testing.assert_close(powers.sum(-1), torch.full_like(powers[..., 0], 0.5), rtol=0.01, atol=0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("place", [9.0, 13.0, 17.0])
def test_masking_by_a_tone_follows_schroeder_and_johnston(rate, place):
    bands = masking_bands(rate, CPU)
    band, hz = band_and_its_hz(rate, place)
    found_db = 10 * masking_threshold(frames(sine_tensor(hz, rate, rate)[None], rate), bands).log10()[0]
    x = (bands.bark - bands.bark[band] + 0.474).numpy()
    tonal_offset_db = 14.5 + bands.bark.numpy()
    expected_db = 10 * np.log10(0.5) + 15.81 + 7.5 * x - 17.5 * np.hypot(1, x) - tonal_offset_db
    heard = expected_db > 10 * bands.quiet.log10().numpy() + 10
    assert heard.sum() > 10
    assert np.abs(found_db.numpy() - expected_db)[:, heard].max() < 1.0


@pytest.mark.parametrize("rate", RATES)
def test_noise_masks_more_than_tones(rate):
    """Johnston's offsets: 14.5 + z below a tone, 5.5 below noise. Log periodograms of noise lie 2.507 dB
    (Euler's constant) below the mean, which makes it 2.507 / 60 tonal."""
    bands = masking_bands(rate, CPU)

    def offset_db(wave: Tensor) -> Tensor:
        spectrum = frames(wave, rate)
        spread = spectrum.square() * bands.scale @ bands.assignment @ bands.spreading
        return 10 * (spread / masking_threshold(spectrum, bands)).log10().mean((0, 1))

    tonal = torch.full_like(bands.bark, 2.507 / 60)
    expected_db = tonal * (14.5 + bands.bark) + (1 - tonal) * 5.5
    loud = (bands.bark > 2) & (bands.bark < 22)  # beyond, the threshold in quiet is above
    torch.testing.assert_close(offset_db(noise_tensor(1, rate))[loud], expected_db[loud], atol=0.2, rtol=0)
    band, hz = band_and_its_hz(rate, 10.0)
    assert offset_db(sine_tensor(hz, rate, rate)[None])[band].item() == pytest.approx(14.5 + 10.0, abs=0.5)


@pytest.mark.parametrize("rate", RATES)
def test_silence_has_the_threshold_in_quiet(rate):
    """And nothing masks less."""
    bands = masking_bands(rate, CPU)
    khz = torch.tensor([band_and_its_hz(rate, place)[1] for place in bands.bark.tolist()]) / 1000
    full_scale_db_spl = 96 + 20 * np.log10(2) / 2  # of mean square 1
    quiet_db = 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2) + khz**4 / 1000 - full_scale_db_spl
    threshold = masking_threshold(frames(torch.zeros(1, rate), rate), bands)
    found_db = 10 * threshold.log10()[0, 0]
    # in the lowest bands the nearest bin is not near
    torch.testing.assert_close(found_db[4:], quiet_db[4:], atol=1.0, rtol=0)
    for wave in (sine_tensor(1000.0, rate, rate)[None], noise_tensor(1, rate), noise_tensor(1, rate, level=1e-5)):
        assert (masking_threshold(frames(wave, rate), bands) >= threshold[:, :1]).all()


# --- the ratio ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", RATES)
def test_noise_at_the_threshold_counts_log10_of_2(rate):
    _, hz = band_and_its_hz(rate, 12.0)
    amplitude = 10 ** ((threshold_in_quiet_db_spl(torch.tensor(hz)).item() - 96) / 20)
    value = noise_to_mask_ratio(sine_tensor(hz, rate, rate, amplitude)[None][None], torch.zeros(1, 1, rate), rate)
    assert value.item() * len(masking_bands(rate, CPU).bark) == pytest.approx(np.log10(2), rel=0.05)


@pytest.mark.parametrize("rate", RATES)
def test_identical_waveforms_have_ratio_0(rate):
    for wave in (noise_tensor(1, rate), sine_tensor(440.0, rate, rate)[None], torch.zeros(1, rate)):
        assert noise_to_mask_ratio(wave[None], wave[None].clone(), rate) == 0
    assert (
        noise_to_mask_ratio(noise_tensor(1, rate, level=1e-6)[None], torch.zeros(1, 1, rate), rate) < 0.02
    )  # inaudible


def with_noise(wave: np.ndarray, noise: np.ndarray, snr_db: float) -> np.ndarray:
    return wave + noise * np.sqrt(np.square(wave).mean() / np.square(noise).mean() / 10 ** (snr_db / 10))


def ratio(decoded: np.ndarray, wave: np.ndarray, rate: int) -> float:
    return noise_to_mask_ratio(torch.from_numpy(decoded)[None], torch.from_numpy(wave)[None], rate).item()


def complex_tone(rate: int, seed: int) -> np.ndarray:
    """A voice-like buzz with vibrato, louder and softer."""
    rng = np.random.default_rng(seed)
    t = np.arange(rate) / rate
    phase = 2 * np.pi * np.cumsum(rng.uniform(90, 250) * (1 + 0.02 * np.sin(2 * np.pi * 5 * t))) / rate
    buzz = sum(np.sin(k * phase + rng.uniform(0, 6)) / k for k in range(1, 25))
    return (0.1 * buzz * (1.2 + np.sin(2 * np.pi * 3 * t)))[None].astype(np.float32)


def white_like(wave: np.ndarray, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(wave.shape).astype(np.float32)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seed", range(3))
def test_matched_noise_has_a_lower_ratio_than_white_noise(rate, seed):
    wave = complex_tone(rate, seed)
    for snr_db in (10.0, 26.0):
        shaped = ratio(with_noise(wave, matched_noise(wave, rate, seed), snr_db), wave, rate)
        assert shaped < 0.5 * ratio(with_noise(wave, white_like(wave, seed), snr_db), wave, rate)


@pytest.mark.parametrize("kind", ["voice", "strings"])
def test_matched_noise_has_a_lower_ratio_in_speech_and_music(corpus, kind):
    for path in sorted(corpus.rglob(f"{kind}*.flac"))[:4]:
        clip = audio.read(path)
        wave, rate = clip.samples, clip.sample_rate
        shaped = ratio(with_noise(wave, matched_noise(wave, rate), 26.0), wave, rate)
        assert shaped < 0.5 * ratio(with_noise(wave, white_like(wave, 0), 26.0), wave, rate)


@pytest.mark.parametrize("rate", RATES)
def test_the_ratio_falls_with_the_noise(rate):
    wave = complex_tone(rate, 0)
    for noise in (white_like(wave, 0), matched_noise(wave, rate)):
        heard = [ratio(with_noise(wave, noise, snr_db), wave, rate) for snr_db in range(0, 90, 10)]
        assert (np.diff(heard) < 0).all() and heard[-1] < 0.01 < heard[0]
