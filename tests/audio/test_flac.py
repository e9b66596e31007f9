"""FLAC files that public encoders do not write: any number of bits, wrong totals, frames of various sizes."""

from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio import crc, make_flac, random_integers

RATE = 44100


@pytest.mark.parametrize("bits", [8, 12, 15, 16, 20, 24, 32])
@pytest.mark.parametrize("total", [None, 0])
def test_flac_of_any_number_of_bits(tmp_path: Path, bits: int, total: int | None) -> None:
    """libsndfile refuses 12, 15, 20 and 32 bits, and loses the last block where the total is 0."""
    values = random_integers(2_500, 2, bits)
    path = tmp_path / "a.flac"
    path.write_bytes(make_flac(values, bits, total=total))
    np.testing.assert_array_equal(audio.read(path).samples, (values / 2.0 ** (bits - 1)).astype(np.float32))
    assert audio.info(path).frames == (2_500 if total is None else None)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(AudioError) as error:
        audio.read(path)
    assert error.value.kind == "cut off or damaged"


@pytest.mark.parametrize("bits, stated", [(16, 1_000), (16, 2_400), (20, 1_000)])
def test_flac_with_more_samples_than_stated_is_read_to_its_end(tmp_path: Path, bits: int, stated: int) -> None:
    values = random_integers(2_500, 1, bits)
    (tmp_path / "a.flac").write_bytes(make_flac(values, bits, total=stated))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.flac").samples, (values / 2 ** (bits - 1)).astype("f4"))


FRAME_SIZES = (192, 1024, 576, 4096, 300)


def make_flac_with_various_frame_sizes(values: np.ndarray, total: int, lost: int | None = None) -> bytes:
    """Return 16-bit FLAC of one channel, verbatim, whose frames are numbered as before FLAC 1.2."""
    info = min(FRAME_SIZES).to_bytes(2, "big") + max(FRAME_SIZES).to_bytes(2, "big") + bytes(6)
    info += ((RATE << 44) | (15 << 36) | total).to_bytes(8, "big") + bytes(16)
    data, start = b"fLaC\x80\x00\x00\x22" + info, 0
    for number, size in enumerate(FRAME_SIZES):
        head = b"\xff\xf8\x70\x08" + bytes([number]) + (size - 1).to_bytes(2, "big")
        frame = head + bytes([crc(head, 0x07, 8)]) + b"\x02" + values[start : start + size].astype(">i2").tobytes()
        data += b"" if number == lost else frame + crc(frame, 0x8005, 16).to_bytes(2, "big")
        start += size
    return data


def test_numbered_frames_of_various_sizes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-30000, 30000, sum(FRAME_SIZES))
    (tmp_path / "a.flac").write_bytes(make_flac_with_various_frame_sizes(values, len(values)))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.flac").samples[0] * 32768, values)


def test_a_missing_frame_of_various_sizes_is_damage(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-30000, 30000, sum(FRAME_SIZES))
    (tmp_path / "a.flac").write_bytes(make_flac_with_various_frame_sizes(values, len(values), lost=2))
    with pytest.raises(AudioError) as raised:
        audio.read(tmp_path / "a.flac")
    assert raised.value.kind == "cut off or damaged"


def test_a_file_of_four_bytes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(AudioError):
        audio.info(tmp_path / "a.flac")
