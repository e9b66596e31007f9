"""Conventional codecs: length, alignment and bits of their decodes."""

import re

import av
import numpy as np
import pytest
from scipy.signal import correlate

from codec import audio
from codec.audio import FloatArray
from eval.metrics.alignment import advance, find_delay
from eval.metrics.registry import metric
from eval.systems.conventional import (
    AAC,
    MP3,
    OPUS,
    ConventionalCodec,
    ConventionalDecode,
    UnavailableError,
    round_trip,
)


@pytest.fixture(scope="module")
def voice(corpus) -> np.ndarray:
    path = max(corpus.rglob("*.flac"), key=lambda path: audio.info(path).frames)
    clip = audio.read(path)
    return audio.resample(clip.samples[:1], clip.sample_rate, 16000)


def shift(found: np.ndarray, wave: np.ndarray) -> int:
    """Samples by which ``found`` comes late: where the cross-correlation peaks."""
    return int(np.argmax(correlate(found, wave, method="fft"))) - (len(wave) - 1)


def code(codec: ConventionalCodec, wave: FloatArray, rate: int, kbps: float) -> ConventionalDecode:
    return round_trip(codec, wave, rate, kbps, speech=False)


@pytest.mark.parametrize(
    ("codec", "kbps"), [(OPUS, 8.0), (OPUS, 24.0), (OPUS, 64.0), (MP3, 16.0), (MP3, 64.0), (AAC, 24.0), (AAC, 64.0)]
)
def test_bits_are_about_those_asked_for(voice, codec, kbps):
    found = code(codec, voice, 16000, kbps)
    assert found.bits / (voice.shape[1] / 16) == pytest.approx(kbps, rel=0.25)
    assert 0 < found.container_bits < found.bits


@pytest.mark.parametrize("codec", (OPUS, MP3, AAC), ids=lambda codec: codec.name)
@pytest.mark.parametrize("rate", [16000, 24000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_decodes_have_the_length_of_the_clip_and_no_delay(codec, rate, channels):
    for samples in (1, 479, 8000, 30011):
        wave = 0.1 * np.random.default_rng(0).standard_normal((channels, samples), dtype=np.float32)
        found = code(codec, wave, rate, 96.0).waveform
        assert found.shape == wave.shape and found.dtype == np.float32
        if samples >= 8000:
            assert [shift(one, other) for one, other in zip(found, wave)] == [0] * channels


def delay_ms(found: np.ndarray, wave: np.ndarray, rate: int) -> float:
    """Of the correlation's peak, by brute force: both brought to 32 times the rate."""
    size, fine = 2 * len(wave), 32
    cross = np.fft.rfft(found, size) * np.conj(np.fft.rfft(wave, size))
    values = np.fft.irfft(cross, fine * size)
    lag = int(values.argmax())
    return 1000 * (lag - len(values) if lag > len(values) // 2 else lag) / (fine * rate)


@pytest.fixture(scope="module")
def syllables(corpus) -> np.ndarray:
    path = max((corpus / "voice").rglob("*.flac"), key=lambda path: audio.info(path).frames)
    clip = audio.read(path)
    return audio.resample(clip.samples[:1, :60000], clip.sample_rate, 16000)


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize(
    ("codec", "kbps", "speech"),
    [
        *((OPUS, kbps, speech) for kbps in (6.0, 9.0, 12.0, 24.0) for speech in (True, False)),
        *((codec, kbps, False) for codec in (MP3, AAC) for kbps in (32.0, 48.0)),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_decodes_are_aligned_to_a_hundredth_of_a_millisecond(syllables, codec, kbps, speech, rate):
    wave = audio.resample(syllables, 16000, rate)
    found = round_trip(codec, wave, rate, kbps, speech=speech).waveform
    assert found.shape == wave.shape and abs(delay_ms(found[0], wave[0], rate)) < 0.01


def test_delays_of_a_fraction_of_a_sample_are_found_and_undone(syllables):
    wave = syllables[:, 8000:24000]
    for late in (-3.25, 0.0, 0.5, 7.75):
        moved = advance(wave, -late)
        assert find_delay(moved, wave, 16, 0.3) == pytest.approx(late, abs=0.02)
        assert advance(moved, late)[:, 200:-200] == pytest.approx(wave[:, 200:-200], abs=2e-3)
    stranger = np.random.default_rng(0).standard_normal(wave.shape).astype(np.float32)
    for unlike in (stranger, 0 * wave, advance(wave, 40.0)):
        assert find_delay(unlike, wave, 16, 0.3) == 0


@pytest.mark.parametrize("kbps", [8.0, 24.0])
def test_mp3_at_24_khz_of_full_band_audio_is_aligned(voice, kbps):
    wave = audio.resample(voice[:, :40000], 16000, 44100)
    found = code(MP3, wave, 44100, kbps)
    assert found.bits / (wave.shape[1] / 44.1) == pytest.approx(kbps, rel=0.1)
    assert shift(found.waveform[0], wave[0]) == 0


@pytest.mark.parametrize(("codec", "rates"), [(OPUS, (6.0, 16.0, 64.0)), (MP3, (8.0, 24.0, 64.0)), (AAC, (12, 24, 64))])
def test_more_bits_are_better(voice, codec, rates):
    distances = [metric("mel").score(voice, code(codec, voice, 16000, kbps).waveform, 16000).value for kbps in rates]
    assert distances[0] > distances[1] > distances[2]


def test_mp3_takes_the_nearest_bit_rate_that_is_legal(voice):
    assert [MP3.setting(kbps, 16000, 1).kbps for kbps in (8, 13, 27, 160)] == [8, 16, 24, 160]
    assert MP3.setting(31, 44100, 1).rate_hz == 24000 and MP3.setting(32, 44100, 1).rate_hz == 44100
    assert code(MP3, voice, 16000, 13).bits == code(MP3, voice, 16000, 16).bits


def test_opus_names_its_encoder_and_is_decoded_without_the_networks_of_libopus():
    """They are in libopus' own decoder, from 1.5 on, which FFmpeg uses only on request."""
    assert re.fullmatch(r"libopus \d+\.\d+\S*, without ML enhancement", OPUS.edition())
    assert av.Codec("opus", "r").name == "opus" and MP3.edition() == ""


@pytest.mark.parametrize(
    ("codec", "kbps", "channels", "words"),
    [
        (OPUS, 3.0, 1, "6 to 256"),
        (OPUS, 300.0, 1, "6 to 256"),
        (OPUS, 511.0, 2, "6 to 510"),
        (MP3, 6.0, 1, "8 to 160 kbps at 16 kHz"),
        (AAC, 100.0, 1, "at most 96 kbps at 16 kHz"),
        (OPUS, 64.0, 3, "one or two channels"),
        (ConventionalCodec("Nothing", "libnothing", "ogg", "flt", OPUS.setting), 24.0, 1, "libnothing"),
    ],
)
def test_codecs_and_bit_rates_that_are_unavailable_are_refused(codec, kbps, channels, words):
    with pytest.raises(UnavailableError, match=words):
        code(codec, np.zeros((channels, 16000), np.float32), 16000, kbps)
