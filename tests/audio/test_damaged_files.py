"""Files that are cut off, damaged or empty are refused, with the class of the failure."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio import chirps, encode_with_ffmpeg, find_ogg_pages, make_flac, noise
from tests.helpers.audio_formats import LOSSLESS_CUT, LOSSY_CUT, RATES, write_format

RATE = 44100


def halve(path: Path) -> Path:
    short = path.with_name(f"half_{path.name}")
    short.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    return short


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff", ".w64", ".rf64", ".caf", ".au"])
def test_a_file_cut_in_half_is_refused(tmp_path: Path, suffix: str) -> None:
    audio.write(tmp_path / f"a{suffix}", noise(1, 160000, level=0.2), 16000)
    with pytest.raises(AudioError) as error:
        audio.read(halve(tmp_path / f"a{suffix}"))
    assert "half_a" in str(error.value) and "\n" not in str(error.value)


def test_blocks_before_the_damage_are_correct(tmp_path: Path) -> None:
    wave = noise(1, 100000, level=0.2)
    audio.write(tmp_path / "a.wav", wave, 16000)
    got = []
    with pytest.raises(AudioError) as error:
        for block in audio.blocks(halve(tmp_path / "a.wav"), 1000):
            got.append(block)
    assert error.value.kind == "cut off or damaged"
    samples = np.concatenate(got, axis=1)
    np.testing.assert_allclose(samples, wave[:, : samples.shape[1]], atol=2**-16)
    assert samples.shape[1] > 49000


def test_a_flipped_bit_in_ogg_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    audio.write(path, noise(1, 160000, level=0.2), 16000)
    audio.read(path)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    # libsndfile reads on as if nothing were wrong.
    assert len(soundfile.read(path)[0]) > 0
    with pytest.raises(AudioError) as error:
        audio.read(path)
    assert error.value.kind == "cut off or damaged"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_nan_and_infinity_are_refused(tmp_path: Path, bad: float) -> None:
    wave = noise(1, 16000, level=0.2)
    wave[0, 12000] = bad
    soundfile.write(tmp_path / "a.wav", wave.T, 16000, subtype="FLOAT")
    with pytest.raises(AudioError, match="12000") as error:
        audio.read(tmp_path / "a.wav")
    assert error.value.kind == "NaN or infinity"


def test_kinds_of_unreadable_files(tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("this is not audio")
    (tmp_path / "empty.wav").touch()
    soundfile.write(tmp_path / "none.wav", np.zeros((0, 1)), 16000)
    kinds = []
    for name in ("text.wav", "empty.wav", "none.wav", "absent.wav", "."):
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / name)
        kinds.append(error.value.kind)
    assert kinds == ["unreadable", "empty", "empty", "unreadable", "unreadable"]


@pytest.mark.parametrize("name", [*LOSSY_CUT, *LOSSLESS_CUT, "WAV", "AIFF", "W64", "CAF", "AU", "RF64"])
@pytest.mark.parametrize("share", [0.4, 0.97])
def test_cut_off_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    rate = RATES.get(name, (RATE,))[-1]
    channels = 1 if name in ("GSM", "G.722") else 2
    data = write_format(tmp_path / "a", name, chirps(60_000, rate, channels), rate).read_bytes()
    (tmp_path / "b").write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioError) as error:
        audio.read(tmp_path / "b")
    assert "\n" not in str(error.value)


def test_ogg_without_its_last_page_is_cut_off(tmp_path: Path) -> None:
    data = write_format(tmp_path / "a", "Opus", chirps(150_000, 48000), 48000).read_bytes()
    *_, (start, _) = find_ogg_pages(data)
    (tmp_path / "b").write_bytes(data[:start])
    with pytest.raises(AudioError) as error:
        audio.read(tmp_path / "b")
    assert error.value.kind == "cut off or damaged"


def test_missing_pages_and_stray_bytes_in_ogg_are_damage(tmp_path: Path) -> None:
    data = write_format(tmp_path / "a", "Opus", chirps(200_000, 48000), 48000).read_bytes()
    places = list(find_ogg_pages(data))
    start, length = places[len(places) // 2]
    (tmp_path / "b").write_bytes(data[:start] + data[start + length :])
    (tmp_path / "c").write_bytes(data[:start] + b"stray bytes" + data[start:])
    for path in ("b", "c"):
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / path)
        assert error.value.kind == "cut off or damaged"


@pytest.mark.parametrize("name", ["FLAC", "Ogg FLAC", "WavPack", "TTA", "Opus", "Vorbis"])
def test_a_flipped_bit_is_found_in_formats_with_checksums(tmp_path: Path, name: str) -> None:
    rate = 48000 if name == "Opus" else RATE
    data = write_format(tmp_path / "a", name, chirps(60_000, rate, 2), rate).read_bytes()
    for place in (0.55, 0.7, 0.9):
        damaged = bytearray(data)
        damaged[int(place * len(data))] ^= 4
        (tmp_path / "b").write_bytes(damaged)
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / "b")
        assert error.value.kind == "cut off or damaged"


def test_missing_frames_in_the_middle_are_damage(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-(2**19), 2**19, (1, 9_000))
    data = make_flac(values, 20)
    frame = (len(data) - 42) // 9
    (tmp_path / "a").write_bytes(data[: 42 + 4 * frame] + data[42 + 5 * frame :])
    mp3 = encode_with_ffmpeg(
        tmp_path / "m", chirps(50_000, RATE), RATE, "libmp3lame", "mp3", bit_rate=64_000
    ).read_bytes()
    (tmp_path / "b").write_bytes(mp3[:5_000] + b"\x55" * 300 + mp3[5_000:])
    for name in ("a", "b"):
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / name)
        assert error.value.kind == "cut off or damaged"


@pytest.mark.parametrize("format", ["W64", "NIST", "WAV", "RF64", "AIFF", "AU", "CAF"])
def test_stated_lengths_of_pcm_are_compared_with_real_ones(tmp_path: Path, format: str) -> None:
    """libsndfile reads W64 and NIST to the end of the file, whatever they state."""
    wave = chirps(5_001, RATE, 2)
    path = tmp_path / "a"
    soundfile.write(path, wave.T, RATE, format=format, subtype="PCM_16")
    data = path.read_bytes()
    for changed in (data[:-100], data + data):
        path.write_bytes(changed)
        with pytest.raises(AudioError) as caught:
            audio.read(path)
        assert caught.value.kind in ("cut off or damaged", "unreadable")
    if format not in ("NIST", "AU"):  # more than is stated may be samples there
        path.write_bytes(data + b"\x01" * 1_000)
        assert audio.read(path).samples.shape == wave.shape


@pytest.mark.parametrize("codec, container", [("pcm_s16le", "avi"), ("wmav2", "asf")])
def test_cut_off_avi_and_joined_asf_are_refused(tmp_path: Path, codec: str, container: str) -> None:
    data = encode_with_ffmpeg(
        tmp_path / "a", chirps(40_000, 44100, 2), 44100, codec, container, bit_rate=128_000
    ).read_bytes()
    assert audio.read(tmp_path / "a").samples.shape[1] >= 40_000
    (tmp_path / "a").write_bytes(data[: len(data) * 2 // 3] if container == "avi" else data + data)
    with pytest.raises(AudioError):
        audio.read(tmp_path / "a")


def test_joined_files_of_formats_that_cannot_be_joined_are_refused(tmp_path: Path) -> None:
    for name in ("WAV", "AAC", "AAC in Matroska", "TTA"):
        data = write_format(tmp_path / "a", name, chirps(9_000, RATE), RATE).read_bytes()
        (tmp_path / "b").write_bytes(data + data)
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / "b")
        assert error.value.kind == "unreadable"
