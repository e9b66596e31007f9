"""Metrics against formulas and known values, and their guards."""

from dataclasses import replace

import numpy as np
import pytest

from codec.losses.noise_baseline import matched_noise
from eval.metrics.registry import METRICS, Score, metric

RATE = 16000
WITHOUT_TEXT = [entry.name for entry in METRICS if entry.weigh_text is None and not entry.absent]
"""Metrics of a pair of waveforms alone."""


def voice(seconds: float = 4.0, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """A buzz with moving pitch and syllables, and a little hiss."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate)) / rate
    phase = 2 * np.pi * np.cumsum(120 + 30 * np.sin(2 * np.pi * 0.7 * t)) / rate
    buzz = sum(np.sin(k * phase) / k for k in range(1, 40))
    wave = 0.1 * buzz * np.clip(np.sin(2 * np.pi * 2 * t), 0.02, None) + 1e-3 * rng.standard_normal(len(t))
    return wave[None].astype(np.float32)


def noisy(wave: np.ndarray, level: float, seed: int = 1) -> np.ndarray:
    return (wave + level * np.random.default_rng(seed).standard_normal(wave.shape)).astype(np.float32)


def test_identity_has_the_known_best_values():
    wave = voice()
    meant = [entry for entry in METRICS if entry.applies("speech", RATE) and not entry.absent]
    best = {entry.name: entry.score(wave, wave, RATE).value for entry in meant}
    assert best["mel"] == best["l1"] == best["l2"] == 0
    assert best["stft"] == pytest.approx(0, abs=1e-5)
    assert best["pesq"] == pytest.approx(4.644, abs=1e-3)
    assert best["stoi"] == pytest.approx(1, abs=1e-6) and best["estoi"] == pytest.approx(1, abs=1e-6)
    assert best["visqol_speech"] == pytest.approx(5, abs=0.01)
    assert best["si_sdr"] > 100 and best["loudness"] == 0
    assert best.get("speaker_similarity", 1) == pytest.approx(1, abs=1e-6)


def test_loudness_and_bandwidth_of_known_changes():
    wave = np.random.default_rng(0).standard_normal((1, 4 * RATE)).astype(np.float32) * 0.05
    assert metric("loudness").score(wave, wave / 2, RATE).value == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert metric("bandwidth").score(wave, wave, RATE).value == pytest.approx(RATE / 2000, rel=0.01)
    spectrum = np.fft.rfft(wave)
    spectrum[:, np.fft.rfftfreq(wave.shape[1], 1 / RATE) > 4000] = 0
    low = np.fft.irfft(spectrum, wave.shape[1]).astype(np.float32)
    assert metric("bandwidth").score(wave, low, RATE).value == pytest.approx(4.0, rel=0.02)


def test_every_metric_prefers_less_noise():
    wave = voice(3.0)
    for entry in map(metric, WITHOUT_TEXT):
        if entry.name == "bandwidth":  # which noise fills
            continue
        slight, strong = (entry.score(wave, noisy(wave, level), RATE).value for level in (0.003, 0.1))
        assert slight is not None and strong is not None, entry.name
        assert slight < strong if entry.better == "lower" else slight > strong, entry.name


def test_si_sdr_is_the_ratio_of_orthogonal_parts():
    rng = np.random.default_rng(3)
    target, error = (x - x.mean() for x in rng.standard_normal((2, RATE)))
    error -= error @ target / (target @ target) * target
    for ratio_db in (-5.0, 0.0, 20.0):
        scaled = error * np.sqrt(target @ target / (error @ error) / 10 ** (ratio_db / 10))
        decoded = (0.3 * (target + scaled))[None].astype(np.float32)
        found = metric("si_sdr").score(target[None].astype(np.float32), decoded, RATE).value
        assert found == pytest.approx(ratio_db, abs=1e-3)


def test_si_sdr_is_that_of_the_formula():
    rng = np.random.default_rng(4)
    target = rng.standard_normal((2, 4000)).astype(np.float32)
    decoded = (0.7 * target + 0.2 * rng.standard_normal((2, 4000)) + 0.1).astype(np.float32)
    one, other = ((wave - wave.mean(1, keepdims=True)).astype(np.float64).ravel() for wave in (target, decoded))
    projection = (other @ one) / (one @ one) * one
    wanted = 10 * np.log10((projection @ projection) / ((other - projection) @ (other - projection)))
    assert metric("si_sdr").score(target, decoded, RATE).value == pytest.approx(wanted, abs=1e-6)
    assert metric("si_sdr").score(target, np.float32(0.5) * target, RATE).value > 120


def test_l1_and_l2_of_a_constant_error():
    wave = voice(1.0)
    assert metric("l1").score(wave, wave + np.float32(0.25), RATE).value == pytest.approx(0.25, rel=1e-4)
    assert metric("l2").score(wave, wave + np.float32(0.25), RATE).value == pytest.approx(0.0625, rel=1e-4)


def test_speech_metrics_at_24_khz_see_the_16_khz_resample():
    wave = voice(4.0, 24000)
    decoded = noisy(wave, 0.01)
    beyond = np.cos(np.pi * 0.9 * np.arange(wave.shape[1])).astype(np.float32)  # 10.8 kHz, which 16 kHz cannot hold
    for name in ("pesq", "estoi"):
        plain = metric(name).score(wave, decoded, 24000).value
        same = metric(name).score(wave, decoded + 0.01 * beyond, 24000).value
        assert plain == pytest.approx(same, abs=0.02)


WITHOUT_SILENCE = ["pesq", "stoi", "estoi", "visqol_speech", "visqol_audio", "si_sdr", "loudness", "bandwidth"]


@pytest.mark.parametrize("name", WITHOUT_TEXT)
def test_a_reference_that_cannot_be_judged_leaves_the_clip_out_whatever_the_decode(name):
    wave = voice()
    broken = wave.copy()
    broken[0, 1000] = np.nan
    assert metric(name).score(wave[:, :0], wave[:, :0], RATE) == Score(None, "empty")
    for decoded in (wave, broken, np.zeros_like(wave), wave[:, :-1]):
        found = metric(name).score(broken, decoded, RATE)
        assert found.undefined and not found.failed and "NaN" in found.reason


@pytest.mark.parametrize("name", WITHOUT_TEXT)
def test_a_decode_that_cannot_be_judged_is_as_bad_as_it_gets(name):
    wave = voice()
    broken = wave.copy()
    broken[0, 1000] = np.inf
    silence = metric(name).score(wave, np.zeros_like(wave), RATE).value
    poor = metric(name).score(wave, noisy(wave, 0.1), RATE).value
    for decoded, word in ((broken, "NaN"), (wave[:, :-1], "lengths"), (wave[:, :0], "lengths")):
        found = metric(name).score(wave, decoded, RATE)
        assert found.failed and not found.undefined and word in found.reason
        assert found.value == silence
        if metric(name).worst is not None:
            assert found.value >= poor if metric(name).better == "lower" else found.value <= poor


@pytest.mark.parametrize("name", WITHOUT_SILENCE)
def test_silence_fails_as_a_decode_and_is_left_out_as_a_reference(name):
    wave, silence = voice(), np.zeros((1, 4 * RATE), np.float32)
    assert metric(name).score(silence, wave, RATE) == Score(None, "silent reference")
    assert metric(name).score(silence, silence, RATE) == Score(None, "silent reference")
    assert metric(name).score(wave, silence, RATE) == Score(metric(name).worst, "silent decode")


@pytest.mark.parametrize("name", ["pesq", "estoi", "stoi", "visqol_speech", "si_sdr", "mel", "l1"])
def test_silencing_hard_clips_does_not_raise_the_mean(name):
    """One coder keeps a quiet clip badly, the other makes silence of it, and all else is equal."""
    wave = voice()
    quiet = wave * np.float32(0.002 / np.sqrt(np.mean(np.square(wave))))
    badly = noisy(quiet, 0.001)
    kept = metric(name).score(quiet, badly, RATE)
    silenced = metric(name).score(quiet, np.zeros_like(quiet), RATE)
    assert kept.value is not None and silenced.value is not None and not kept.failed
    assert silenced.value > kept.value if metric(name).better == "lower" else silenced.value < kept.value


def test_an_error_of_a_package_counts_against_the_decode_only_if_the_reference_can_be_judged():
    wave = voice()
    half = wave.copy()
    half[:, : 2 * RATE] = 0

    def strict(reference, decoded, rate):
        if not decoded[:, :RATE].any():
            raise ValueError("nothing at the beginning")
        return 3.0

    strange = replace(metric("mel"), function=strict, worst=7.0)
    assert strange.score(wave, wave, RATE) == Score(3.0)
    assert strange.score(wave, half, RATE) == Score(7.0, "ValueError: nothing at the beginning")
    assert strange.score(half, half, RATE).undefined


def test_pesq_judges_long_clips_in_equal_parts_so_that_the_end_weighs_no_more_than_the_beginning():
    wave = np.tile(voice(5.0), 6)
    pesq, fault = metric("pesq"), slice(0, 5 * RATE)
    scores = []
    for part in (fault, slice(25 * RATE, 30 * RATE)):
        decoded = noisy(wave, 1e-3)
        decoded[:, part] = noisy(decoded[:, part], 0.02)
        scores.append(pesq.score(wave, decoded, RATE).value)
        halves = [(wave[:, i : i + 15 * RATE], decoded[:, i : i + 15 * RATE]) for i in (0, 15 * RATE)]
        assert scores[-1] == pytest.approx(np.mean([pesq.function(*half, RATE) for half in halves]))
    assert scores[0] == pytest.approx(scores[1], abs=0.05)
    silent_half, silent_decode = wave.copy(), wave.copy()
    silent_half[:, 15 * RATE :] = silent_decode[:, 15 * RATE :] = 0
    assert pesq.score(silent_half, silent_decode, RATE).value == pytest.approx(4.644, abs=0.01)
    failed = pesq.score(wave, silent_decode, RATE)
    assert failed.failed and failed.value == pytest.approx((4.644 + pesq.worst) / 2, abs=0.01)


def test_pesq_is_the_edition_that_is_named():
    """P.862.2 without Corrigendum 2: with it, in the package pesqc2 0.0.4, the same pair has 3.46."""
    found = metric("pesq").score(voice(), noisy(voice(), 0.003), RATE).value
    assert found == pytest.approx(2.772, abs=0.01)
    assert "without Corrigendum 2" in metric("pesq").edition and "without Corrigendum 2" in metric("pesq").about


@pytest.mark.parametrize("name", ["mel", "stft", "nmr", "l1", "l2"])
def test_a_silent_decode_is_bad_but_judged(name):
    wave = voice()
    silent = metric(name).score(wave, np.zeros_like(wave), RATE).value
    assert silent is not None and silent > metric(name).score(wave, noisy(wave, 1e-3), RATE).value


@pytest.mark.parametrize("name", ["pesq", "stoi", "estoi", "visqol_speech", "visqol_audio"])
def test_clips_under_three_seconds_are_too_short(name):
    wave = voice(2.9)
    score = metric(name).score(wave, noisy(wave, 0.01), RATE)
    assert score.undefined and "too short" in score.reason
    assert metric("mel").score(wave, noisy(wave, 0.01), RATE).value > 0


def test_mostly_silent_speech_fails_stoi_rather_than_scoring_1e_5():
    wave = np.zeros((1, 4 * RATE), np.float32)
    wave[:, :4000] = voice(0.25)
    score = metric("stoi").score(wave, noisy(wave, 1e-4), RATE)
    assert score.value is None and score.reason


def test_which_metrics_are_meant_for_which_clips():
    def names(domain, rate):
        return {entry.name for entry in METRICS if entry.applies(domain, rate)}

    speech = {"pesq", "stoi", "estoi", "visqol_speech"}
    assert speech <= names("speech", 16000) and "visqol_audio" not in names("speech", 16000)
    assert speech | {"visqol_audio"} <= names("speech", 24000)
    assert not speech & names("music", 44100) and "visqol_audio" in names("music", 44100)
    assert not speech & names("speech", 8000)
    assert speech | {"visqol_audio"} <= names("audio", 16000)  # not stated: judged both ways


def test_a_missing_package_is_the_reason_for_no_score():
    wave = voice(3.0)
    here = metric("estoi")
    gone = replace(here, package="no_such_package_here")
    assert not here.absent and gone.absent
    assert gone.score(wave, wave, RATE) == Score(None, gone.missing)
    assert "pip install 'lathe-codec[eval]'" in gone.missing
    assert metric("wer").missing.endswith("pip install 'lathe-codec[speech-metrics]'")
    assert metric("speaker_similarity").missing.endswith("pip install --no-deps resemblyzer")


def test_baseline_has_spectrum_and_envelope_of_the_clip_and_nothing_else():
    wave = voice(6.0)
    noise = matched_noise(wave, RATE, seed=0)
    assert noise.shape == wave.shape and np.isfinite(noise).all()

    def levels(x):
        frames = x[0, : x.shape[1] // 512 * 512].reshape(-1, 512) * np.hanning(512)
        return 20 * np.log10(np.abs(np.fft.rfft(frames)) + 1e-7)

    original, imitation = levels(wave), levels(noise)
    assert np.abs(original.mean(0) - imitation.mean(0)).mean() < 2.0
    assert np.corrcoef(original.mean(1), imitation.mean(1))[0, 1] > 0.95
    assert metric("estoi").score(wave, noise, RATE).value < 0.4
    assert metric("mel").score(wave, noise, RATE).value > 1.5
    assert not np.allclose(noise, matched_noise(wave, RATE, seed=1))


def test_baseline_of_silence_is_silent():
    noise = matched_noise(np.zeros((2, RATE), np.float32), RATE)
    assert np.abs(noise).max() < 1e-4


def test_the_whole_of_a_long_clip_is_judged():
    """Damage late in a clip counts by its share: 70 s are three windows, of which the last is damaged."""
    rate = 8000
    wave = voice(70, rate)
    damaged = wave.copy()
    damaged[:, 2 * wave.shape[1] // 3 + 2 :] *= 0.5
    for name in ("l1", "l2"):
        long, last = metric(name), slice(2 * wave.shape[1] // 3 + 2, None)
        assert long.score(wave, wave, rate).value == 0
        alone = long.score(wave[:, last], damaged[:, last], rate).value
        assert long.score(wave, damaged, rate).value == pytest.approx(alone / 3, rel=1e-2)
