"""Ogg and Opus: delays, gains, granule positions, files of one page."""

import struct
from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio import chirps, edit_ogg_pages, encode_with_ffmpeg, find_ogg_pages, read_by_libsndfile
from tests.helpers.audio_formats import write_format


@pytest.mark.parametrize("suffix, rate", [(".ogg", 44100), (".ogg", 8000), (".opus", 48000)])
@pytest.mark.parametrize("samples", [1, 200, 24_000])
def test_ogg_of_one_page_and_of_several(tmp_path: Path, suffix: str, rate: int, samples: int) -> None:
    """FFmpeg's demuxer loses 128 samples of Vorbis files of one page."""
    path = tmp_path / f"a{suffix}"
    audio.write(path, chirps(samples, rate, 2), rate)
    np.testing.assert_allclose(audio.read(path).samples, read_by_libsndfile(path), atol=2e-5)
    assert audio.info(path).frames == samples


@pytest.mark.parametrize("stated_hz", [0, 8000, 44100])
def test_opus_is_decoded_at_48_khz_whatever_its_header_states(tmp_path: Path, stated_hz: int) -> None:
    wave = chirps(48_000, 48000)
    data = encode_with_ffmpeg(tmp_path / "a.opus", wave, 48000, "libopus", "ogg", bit_rate=64_000).read_bytes()

    def change(number: int, page: bytearray) -> None:
        if number == 0:
            page[28 + 12 : 28 + 16] = struct.pack("<I", stated_hz)

    expected = audio.read(tmp_path / "a.opus").samples
    (tmp_path / "a.opus").write_bytes(edit_ogg_pages(data, change))
    read = audio.read(tmp_path / "a.opus")
    assert (read.sample_rate, audio.info(tmp_path / "a.opus").sample_rate) == (48000, 48000)
    np.testing.assert_array_equal(read.samples, expected)


@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_the_gain_in_the_header_of_opus_is_applied(tmp_path: Path, gain_db: float) -> None:
    data = encode_with_ffmpeg(tmp_path / "a.opus", chirps(24_000, 48000), 48000, "libopus", "ogg").read_bytes()

    def change(number: int, page: bytearray) -> None:
        if number == 0:
            page[28 + 16 : 28 + 18] = struct.pack("<h", round(256 * gain_db))

    expected = audio.read(tmp_path / "a.opus").samples * 10 ** (gain_db / 20)
    (tmp_path / "a.opus").write_bytes(edit_ogg_pages(data, change))
    np.testing.assert_allclose(audio.read(tmp_path / "a.opus").samples, expected, atol=1e-4)


def test_granule_positions_that_do_not_begin_at_zero(tmp_path: Path) -> None:
    """All positions are later by 104 samples, as in a part that was cut out of a stream."""
    wave = chirps(150_000, 48000)
    data = encode_with_ffmpeg(tmp_path / "a.opus", wave, 48000, "libopus", "ogg").read_bytes()
    before = audio.read(tmp_path / "a.opus").samples

    def change(number: int, page: bytearray) -> None:
        if number == 0:
            page[28 + 10 : 28 + 12] = struct.pack("<H", 104)
        if number > 1:
            page[6:14] = struct.pack("<Q", int.from_bytes(page[6:14], "little") + 104)

    (tmp_path / "a.opus").write_bytes(edit_ogg_pages(data, change))
    after = audio.read(tmp_path / "a.opus").samples
    shift = 312 - 104
    assert after.shape[1] == before.shape[1] + shift
    np.testing.assert_allclose(after[:, shift:], before, atol=1e-6)


def test_the_granule_position_of_the_last_page_trims_the_end(tmp_path: Path) -> None:
    """End trimming, RFC 7845, section 4.4."""
    data = write_format(tmp_path / "a", "Opus", chirps(150_000, 48000), 48000).read_bytes()
    before, count = audio.read(tmp_path / "a").samples, len(list(find_ogg_pages(data)))

    def change(number: int, page: bytearray) -> None:
        if number == count - 1:
            page[6:14] = struct.pack("<Q", int.from_bytes(page[6:14], "little") - 100)

    (tmp_path / "a").write_bytes(edit_ogg_pages(data, change))
    np.testing.assert_array_equal(audio.read(tmp_path / "a").samples, before[:, :-100])


def test_opus_in_mpeg_ts_is_refused(tmp_path: Path) -> None:
    """It states neither its start nor its end, and FFmpeg decodes it 6 dB too loud."""
    path = encode_with_ffmpeg(tmp_path / "a.ts", chirps(48_000, 48000, 2), 48000, "libopus", "mpegts")
    with pytest.raises(AudioError, match="MPEG-TS") as error:
        audio.info(path)
    assert error.value.kind == "unreadable"


def test_an_understated_delay_of_opus_in_webm_is_corrected(tmp_path: Path) -> None:
    """FFmpeg before version 6 counts the delay at the rate of the input: 104 of 312 samples for 16 kHz."""
    path = encode_with_ffmpeg(tmp_path / "a.webm", chirps(20_000, 48000), 48000, "libopus", "webm", bit_rate=64_000)
    data, right = path.read_bytes(), b"\x56\xaa\x83" + (6_500_000).to_bytes(3, "big")
    assert data.count(right) == 1
    wrong = data.replace(right, b"\x56\xaa\x83" + (2_166_667).to_bytes(3, "big"))
    (tmp_path / "b.webm").write_bytes(wrong)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.webm").samples, audio.read(path).samples)
