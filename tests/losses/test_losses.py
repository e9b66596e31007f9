"""Loss terms against other implementations; sums, gradients and types of the composite loss."""

import warnings
from collections import Counter

import librosa
import numpy as np
import pytest
import torch
from auraloss.freq import MultiResolutionSTFTLoss
from torch import Tensor

from codec import losses
from codec.errors import UserError
from codec.losses import LOSS_TERMS, CompositeLoss
from codec.losses.spectral import a_weights
from codec.losses.spectrograms import ALL_MEL_SCALES, SpectrogramPair, complex_spectrogram
from tests.helpers.tensors import noise_tensor, sine_tensor

RATE, HOP = 16000, 160
WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
EVERY = dict.fromkeys(LOSS_TERMS, 1.0)


def term(name: str, output: Tensor, target: Tensor, rate: int = RATE) -> Tensor:
    return CompositeLoss({name: 1.0}, rate, HOP)(output, target).total


def gradient(loss, output: Tensor) -> Tensor:
    output = output.clone().requires_grad_()
    return torch.autograd.grad(loss(output), output)[0]


# --- each term ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", WINDOWS)
def test_spectrograms_agree_with_torch_stft(window):
    wave = noise_tensor(2, 5000)
    theirs = torch.stft(wave, window, window // 4, window=torch.hann_window(window), return_complex=True).mT
    ours = complex_spectrogram(wave, window)
    torch.testing.assert_close(torch.complex(ours.real, ours.imaginary), theirs, atol=3e-6, rtol=1e-5)
    torch.testing.assert_close(ours.magnitude(), theirs.abs(), atol=3e-6, rtol=1e-5)


def librosa_mel(output: Tensor, target: Tensor, rate: int) -> float:
    total = 0.0
    for window, bands in zip(WINDOWS, (5, 10, 20, 40, 80, 160, 320)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of empty bands
            bank = librosa.filters.mel(sr=rate, n_fft=window, n_mels=bands)
        waves = np.stack([output[:, 0].numpy(), target[:, 0].numpy()])
        spectra = librosa.stft(waves, n_fft=window, hop_length=window // 4, center=True, pad_mode="reflect")
        a, b = np.log10(np.maximum(bank @ np.abs(spectra), 1e-5))
        total += np.abs(a - b).mean()
    return total


@pytest.mark.parametrize("rate", [16000, 44100])
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.1])
def test_mel_agrees_with_librosa(rate, level):
    output, target = noise_tensor(2, 1, 8000, level=level, seed=1), noise_tensor(2, 1, 8000)
    expected = librosa_mel(output, target, rate)
    assert term("mel", output, target, rate).item() == pytest.approx(expected, rel=1e-4)


def test_estimates_from_some_mel_scales_are_unbiased():
    bank, output, target = (
        CompositeLoss({"mel": 1.0}, RATE, HOP),
        noise_tensor(1, 1, 8000, seed=1),
        noise_tensor(1, 1, 8000),
    )
    whole = bank(output, target).total
    for scales in ([[scale] for scale in ALL_MEL_SCALES], [[i, (i + 3) % 7] for i in range(7)]):
        estimates = torch.stack([bank(output, target, mel_scales=some).total for some in scales])
        torch.testing.assert_close(estimates.mean(), whole)
        assert estimates.std() > 0.01


def auraloss_stft(**options) -> MultiResolutionSTFTLoss:
    sizes = [512, 1024, 2048]
    return MultiResolutionSTFTLoss(sizes, [size // 4 for size in sizes], sizes, eps=1e-12, **options)


def test_stft_and_its_gradient_agree_with_auraloss():
    output, target = noise_tensor(2, 1, 8000, level=0.07, seed=1), noise_tensor(2, 1, 8000)
    torch.testing.assert_close(term("stft", output, target), auraloss_stft()(output, target))
    ours = gradient(lambda wave: term("stft", wave, target), output)
    theirs = gradient(lambda wave: auraloss_stft()(wave, target), output)
    assert (ours - theirs).norm() < 1e-3 * theirs.norm()


def test_silent_targets_count_in_the_logarithmic_part_of_stft_alone():
    output, sound = noise_tensor(2, 1, 8000, level=0.07, seed=1), noise_tensor(1, 1, 8000)
    silence = torch.zeros_like(sound)
    logarithmic = auraloss_stft(w_sc=0.0)
    expected = logarithmic(output[:1], silence)
    torch.testing.assert_close(term("stft", output[:1], silence), expected, rtol=1e-4, atol=0)
    both = term("stft", output, torch.cat([silence, sound]))
    convergence = auraloss_stft(w_log_mag=0.0)(output[1:], sound)
    expected = logarithmic(output, torch.cat([silence, sound])) + convergence
    torch.testing.assert_close(both, expected, rtol=1e-4, atol=0)


def test_complex_stft_agrees_with_librosa():
    """Magnitudes to the power of 0.3, at the phases; relative to a sine of full scale, whose magnitude is a quarter of
    the window.
    """
    output, target = noise_tensor(2, 1, 8000, level=0.07, seed=1), noise_tensor(2, 1, 8000)
    errors = []
    for window in (512, 1024, 2048):
        waves = np.stack([output[:, 0].numpy(), target[:, 0].numpy()])
        spectra = librosa.stft(waves, n_fft=window, hop_length=window // 4, center=True, pad_mode="reflect")
        first, second = (np.abs(spectra) * 4 / window) ** 0.3 * np.exp(1j * np.angle(spectra))
        errors.append((np.abs(first - second) ** 2).mean())
    assert term("complex_stft", output, target).item() == pytest.approx(np.mean(errors), rel=1e-4)


def test_complex_stft_hears_phase_and_does_not_depend_on_the_scale_of_windows():
    wave = noise_tensor(1, 1, 8000)
    assert term("complex_stft", -wave, wave) > term("complex_stft", 0 * wave, wave) > 0
    assert term("stft", -wave, wave) < 1e-6
    sine = sine_tensor(1000, RATE, RATE)[None, None]
    loud, soft = (term("complex_stft", level * sine, 0 * sine) for level in (1.0, 0.1))
    assert loud / soft == pytest.approx(10**0.6, rel=0.05)


def test_l1_and_l2_are_means_of_the_error():
    output, target = noise_tensor(3, 1, 1600, seed=1), noise_tensor(3, 1, 1600)
    error = output.double().numpy() - target.double().numpy()
    assert term("l1", output, target).item() == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert term("l2", output, target).item() == pytest.approx((error**2).mean(), rel=1e-5)


@pytest.mark.parametrize("hop", [16, 160])
def test_mdct_l1_is_the_mean_difference_of_coefficients(hop):
    def mdct(wave: Tensor) -> np.ndarray:
        padded = np.pad(wave[:, 0].double().numpy(), [(0, 0), (hop, 0)])
        frames = np.lib.stride_tricks.sliding_window_view(padded, 2 * hop, axis=1)[:, ::hop]
        n, k = np.arange(2 * hop) + 0.5, np.arange(hop) + 0.5
        waves = np.sin(np.pi / 2 / hop * n)[:, None] * np.cos(np.pi / hop * np.outer(n + hop / 2, k))
        return np.sqrt(2 / hop) * frames @ waves

    output, target = noise_tensor(2, 1, 10 * hop, seed=1), noise_tensor(2, 1, 10 * hop)
    expected = np.abs(mdct(output) - mdct(target)).mean()
    found = CompositeLoss({"mdct_l1": 1.0}, RATE, hop)(output, target).total
    assert found.item() == pytest.approx(expected, rel=1e-5)


def test_the_a_curve_is_that_of_the_standard():
    """IEC 61672-1, table 3, at its exact frequencies, which are powers of 10^0.1; one bin per hertz."""
    table = {18: -26.2, 21: -16.1, 24: -8.6, 27: -3.2, 30: 0.0, 33: 1.2, 36: 1.0, 39: -1.1, 42: -6.6}
    gains_db = 20 * a_weights(48000, 48000, torch.device("cpu")).log10()
    for tenth_decade, level_db in table.items():
        assert gains_db[round(10 ** (tenth_decade / 10))].item() == pytest.approx(level_db, abs=0.15)


def test_a_weighted_is_relative_to_the_target_and_follows_the_a_curve():
    target = noise_tensor(2, 1, RATE)
    for change in (0.5, 0.9, 1.3):
        assert term("a_weighted", change * target, target).item() == pytest.approx(abs(change - 1), rel=1e-4)
    low, high = 0.1 * sine_tensor(125.9, RATE, RATE)[None, None], 0.1 * sine_tensor(1995, RATE, RATE)[None, None]
    both = low + high
    ratio = term("a_weighted", both + 0.1 * low, both) / term("a_weighted", both + 0.1 * high, both)
    assert 20 * ratio.log10().item() == pytest.approx(-16.1 - 1.2, abs=1.0)


def test_a_silent_target_is_weighted_by_a_fixed_level():
    silence = torch.zeros(1, 1, RATE)
    assert 0 < term("a_weighted", noise_tensor(1, 1, RATE, level=1e-5), silence) < 0.5
    soft, loud = (term("a_weighted", noise_tensor(1, 1, RATE, level=level), silence) for level in (1e-3, 1e-2))
    assert loud.item() == pytest.approx(10 * soft.item(), rel=1e-3)  # of a fixed level, not of nothing


def test_metrics_are_the_terms_without_gradients():
    output, target = noise_tensor(2, 1, 8000, seed=1).requires_grad_(), noise_tensor(2, 1, 8000)
    for name, metric in [
        ("mel", losses.mel_distance),
        ("stft", lambda output, target, rate: losses.stft_distance(output, target)),
        ("nmr", losses.noise_to_mask_ratio),
    ]:
        value = metric(output, target, RATE)
        assert not value.requires_grad
        torch.testing.assert_close(value, term(name, output.detach(), target))


@pytest.mark.parametrize("name", LOSS_TERMS)
def test_identical_waves_are_at_zero_distance(name):
    for wave in (noise_tensor(2, 1, 8000), torch.zeros(2, 1, 8000), sine_tensor(440, RATE, RATE)[None, None]):
        assert abs(term(name, wave, wave.clone()).item()) < 1e-6


# --- gradients ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in LOSS_TERMS if name != "stft"])  # see the test of its gradient
def test_gradient_along_a_path_adds_up_to_the_change_of_the_loss(name):
    target = noise_tensor(1, 1, 1600, level=0.3)
    start, way = target + noise_tensor(1, 1, 1600, seed=1), noise_tensor(1, 1, 1600, level=0.2, seed=2)
    slopes = [
        (gradient(lambda wave: term(name, wave, target), start + (step + 0.5) / 32 * way) * way).sum()
        for step in range(32)
    ]
    change = term(name, start + way, target) - term(name, start, target)
    torch.testing.assert_close(torch.stack(slopes).mean(), change, rtol=0.01, atol=0)


SQUARE = sine_tensor(441, RATE, RATE)[None, None].sign()
HAZARDS = {
    "silence": (torch.zeros(1, 1, RATE), torch.zeros(1, 1, RATE)),
    "silent target": (noise_tensor(1, 1, RATE), torch.zeros(1, 1, RATE)),
    "silent output": (torch.zeros(1, 1, RATE), noise_tensor(1, 1, RATE)),
    "identical": (noise_tensor(1, 1, RATE), noise_tensor(1, 1, RATE)),
    "one silent item": (
        noise_tensor(2, 1, RATE),
        torch.cat([torch.zeros(1, 1, RATE), noise_tensor(1, 1, RATE, seed=1)]),
    ),
    "400 samples": (noise_tensor(2, 1, 400), noise_tensor(2, 1, 400, seed=1)),
    "400 silent samples": (torch.zeros(2, 1, 400), torch.zeros(2, 1, 400)),
    "square wave": (SQUARE, noise_tensor(1, 1, RATE)),
    "opposite square waves": (-SQUARE, SQUARE),
    "constant": (torch.ones(1, 1, RATE), -torch.ones(1, 1, RATE)),
}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_values_and_gradients_are_finite(hazard):
    output, target = HAZARDS[hazard]
    output = output.clone().requires_grad_()
    report = CompositeLoss(EVERY, RATE, HOP)(output, target)
    report.total.backward()
    assert all(value.isfinite() for value in report.terms.values()), report.terms
    assert output.grad.isfinite().all()


def test_no_gradient_reaches_the_target():
    output, target = noise_tensor(1, 1, 4000, seed=1).requires_grad_(), noise_tensor(1, 1, 4000).requires_grad_()
    CompositeLoss(EVERY, RATE, HOP)(output, target).total.backward()
    assert output.grad.abs().sum() > 0 and target.grad is None


@pytest.mark.parametrize(
    "distance",
    [  # of sizes and rates that nothing else has filled the caches for
        lambda wave: complex_spectrogram(wave[:, 0], 16).magnitude().sum(),
        lambda wave: complex_spectrogram(wave[:, 0], 4096).magnitude().sum(),
        lambda wave: term("mel", wave, noise_tensor(1, 1, 4000), 22050),
        lambda wave: term("nmr", wave, noise_tensor(1, 1, 4000), 22050),
        lambda wave: term("a_weighted", wave, noise_tensor(1, 1, 4000), 22050),
    ],
    ids=["matrix", "window", "mel", "nmr", "a_weighted"],
)
def test_gradients_after_a_call_in_inference_mode(distance):
    with torch.inference_mode():
        distance(noise_tensor(1, 1, 4000))
    assert gradient(distance, noise_tensor(1, 1, 4000, seed=1)).isfinite().all()


# --- the bank -----------------------------------------------------------------------------------------------


def test_the_total_is_the_weighted_sum_and_terms_of_weight_0_are_only_logged():
    output, target = noise_tensor(2, 1, 4000, seed=1), noise_tensor(2, 1, 4000)
    weights = {"l1": 3.0, "mel": 0.5, "nmr": 0.0, "stft": 0.25}
    bank = CompositeLoss(weights, RATE, HOP)
    report, logged = bank(output, target), bank(output, target, log_all=True)
    assert set(report.terms) == {"l1", "mel", "stft"} and set(logged.terms) == set(LOSS_TERMS)
    assert torch.equal(report.total, logged.total)
    alone = {name: term(name, output, target) for name in LOSS_TERMS}
    torch.testing.assert_close(logged.terms, alone)
    torch.testing.assert_close(report.total, sum(weights[name] * alone[name] for name in report.terms))


def test_terms_that_are_only_logged_keep_no_tensors_for_gradients():
    output, target = noise_tensor(1, 1, 4000, seed=1).requires_grad_(), noise_tensor(1, 1, 4000)
    bank = CompositeLoss({"stft": 1.0, "l1": 1.0}, RATE, HOP)

    def kept(log_all: bool) -> list[torch.Size]:
        shapes = []
        with torch.autograd.graph.saved_tensors_hooks(lambda x: shapes.append(x.shape), lambda x: x):
            report = bank(output, target, log_all)
        assert not any(value.requires_grad for value in report.terms.values())
        return shapes

    assert kept(False) == kept(True) != []


def test_a_spectrogram_computed_without_gradients_is_computed_again_with_them():
    pair = SpectrogramPair(noise_tensor(1, 1, 4000).requires_grad_(), noise_tensor(1, 1, 4000, seed=1))
    with torch.no_grad():
        assert not pair.output_spectrogram(512).requires_grad
    assert pair.output_spectrogram(512).requires_grad and not pair.target_spectrogram(512).requires_grad
    with torch.no_grad():
        assert pair.output_spectrogram(1024) is not None and pair.output_stft(512).real.requires_grad
    assert pair.output_stft(1024).real.requires_grad and not pair.target_stft(1024).real.requires_grad


@pytest.mark.parametrize("weights", [{}, {"l1": 0.0}])
def test_no_terms_sum_to_zero(weights):
    report = CompositeLoss(weights, RATE, HOP)(noise_tensor(1, 1, 4000), noise_tensor(1, 1, 4000, seed=1), log_all=True)
    assert report.total == 0 and report.terms["l1"] > 0


def test_unknown_terms_are_an_error_with_their_names():
    with pytest.raises(UserError, match=r"mell, zzz; .*\bmel\b"):
        CompositeLoss({"zzz": 1.0, "l1": 1.0, "mell": 0.0}, RATE, HOP)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_everything_is_computed_in_float32(dtype):
    bank = CompositeLoss(EVERY, RATE, HOP)
    output, target = noise_tensor(1, 1, 4000, seed=1).to(dtype), noise_tensor(1, 1, 4000).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = bank(output, target)
    single = bank(output.float(), target.float())
    assert half.total.dtype == torch.float32 and torch.equal(half.total, single.total)
    assert half.terms == single.terms


@pytest.mark.parametrize("weights", [EVERY, {"mel": 1.0}, {"l1": 1.0, "stft": 1.0}])
def test_each_spectrogram_is_computed_once(weights, monkeypatch):
    computed, rfft = Counter(), torch.fft.rfft

    def counted(frames: Tensor) -> Tensor:
        computed[frames.shape[-1]] += 1
        return rfft(frames)

    monkeypatch.setattr(torch.fft, "rfft", counted)
    output = noise_tensor(1, 1, 4000, seed=1).requires_grad_()
    CompositeLoss(weights, RATE, HOP)(output, noise_tensor(1, 1, 4000), log_all=True)
    assert computed == {256: 2, 512: 2, 1024: 2, 2048: 2}  # shorter ones are matrix products


def test_the_loss_has_no_entries_in_a_checkpoint():
    assert not CompositeLoss(EVERY, RATE, HOP).state_dict()
