"""Frames that public test files have and encoders at hand do not write: made here byte by byte."""

from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio_inputs import encode, tones

RATE = 44100
SIZES = (192, 1024, 576, 4096, 300)
"""Samples of the frames of a FLAC file."""


def crc(data: bytes, polynomial: int, bits: int) -> bytes:
    """Return the checksum of RFC 9639, computed bit by bit."""
    value = 0
    for byte in data:
        value ^= byte << (bits - 8)
        for _ in range(8):
            value = (value << 1 ^ polynomial if value >> (bits - 1) else value << 1) & (1 << bits) - 1
    return value.to_bytes(bits // 8, "big")


def flac_with_frames_of_various_sizes(values: np.ndarray, total: int, lost: int | None = None) -> bytes:
    """Return 16-bit FLAC of one channel, verbatim, whose frames are counted one by one as before FLAC 1.2."""
    info = min(SIZES).to_bytes(2, "big") + max(SIZES).to_bytes(2, "big") + bytes(6)
    info += ((RATE << 44) | (15 << 36) | total).to_bytes(8, "big") + bytes(16)
    data, start = b"fLaC\x80\x00\x00\x22" + info, 0
    for number, size in enumerate(SIZES):
        head = b"\xff\xf8\x70\x08" + bytes([number]) + (size - 1).to_bytes(2, "big")
        frame = head + crc(head, 0x07, 8) + b"\x02" + values[start : start + size].astype(">i2").tobytes()
        data += b"" if number == lost else frame + crc(frame, 0x8005, 16)
        start += size
    return data


def test_flac_whose_frames_are_numbered_but_of_various_sizes(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-30000, 30000, sum(SIZES))
    (tmp_path / "a.flac").write_bytes(flac_with_frames_of_various_sizes(values, len(values)))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.flac").samples[0] * 32768, values)


def test_such_flac_with_a_frame_missing_is_damaged(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-30000, 30000, sum(SIZES))
    (tmp_path / "a.flac").write_bytes(flac_with_frames_of_various_sizes(values, len(values), lost=2))
    with pytest.raises(AudioError) as raised:
        audio.read(tmp_path / "a.flac")
    assert raised.value.kind == "cut off or damaged"


def test_the_first_bytes_of_flac_alone(tmp_path: Path) -> None:
    (tmp_path / "a.flac").write_bytes(b"fLaC")
    with pytest.raises(AudioError):
        audio.info(tmp_path / "a.flac")


def mp3_frames(data: bytes, size: int) -> list[int]:
    """Return where the frames of a constant bit rate without padding begin."""
    first = data.find(b"\xff\xfb")
    return list(range(first, len(data) - size + 1, size))


def test_mp3_whatever_emphasis_its_frames_state(tmp_path: Path) -> None:
    """The reserved value stands in the streams by which decoders are tested."""
    path = encode(tmp_path / "a.mp3", tones(20_000, 48000, 1, 0), 48000, "libmp3lame", "mp3", bit_rate=64_000)
    data = bytearray(path.read_bytes())
    for at in mp3_frames(data, 192):
        assert data[at : at + 2] == b"\xff\xfb"
        data[at + 3] |= 2
    (tmp_path / "b.mp3").write_bytes(data)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.mp3").samples, audio.read(path).samples)


def test_mp3_with_a_gap_behind_its_first_frames_is_damaged(tmp_path: Path) -> None:
    """Its header says how many frames there were; a start found behind the gap would not know."""
    path = encode(tmp_path / "a.mp3", tones(60_000, 48000, 1, 0), 48000, "libmp3lame", "mp3", bit_rate=64_000)
    data = path.read_bytes()
    cut = mp3_frames(data, 192)[2]
    (tmp_path / "b.mp3").write_bytes(data[:cut] + data[cut + 900 :])
    with pytest.raises(AudioError) as raised:
        audio.read(tmp_path / "b.mp3")
    assert raised.value.kind == "cut off or damaged"


@pytest.mark.parametrize("missing", [0, 4096])
def test_dsd_ends_within_its_last_block(tmp_path: Path, missing: int) -> None:
    """DSF counts bits, and fills its last block."""
    samples, blocks = 5000, 2
    head = b"DSD " + (28).to_bytes(8, "little") + (28 + 52 + 12 + 4096 * blocks).to_bytes(8, "little") + bytes(8)
    fields = (1, 0, 1, 1, 2822400, 1)
    form = b"fmt " + (52).to_bytes(8, "little") + b"".join(value.to_bytes(4, "little") for value in fields)
    form += (8 * samples).to_bytes(8, "little") + (4096).to_bytes(4, "little") + bytes(4)
    data = b"data" + (12 + 4096 * blocks).to_bytes(8, "little") + bytes([0x69]) * (4096 * blocks - missing)
    (tmp_path / "a.dsf").write_bytes(head + form + data)
    assert audio.info(tmp_path / "a.dsf").frames == samples
    if missing:
        with pytest.raises(AudioError):
            audio.read(tmp_path / "a.dsf")
    else:
        assert audio.read(tmp_path / "a.dsf").samples.shape == (1, samples)
