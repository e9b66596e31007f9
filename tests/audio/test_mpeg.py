"""MPEG audio: tags, encoder headers, gaps between frames."""

import struct
from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.audio import AudioError
from tests.helpers.audio import chirps, encode_with_ffmpeg, lag

RATE = 44100


def mp3_frame_positions(data: bytes, size: int) -> list[int]:
    """Return the positions of frames of constant bit rate without padding."""
    first = data.find(b"\xff\xfb")
    return list(range(first, len(data) - size + 1, size))


def test_tags_after_the_frames_add_no_samples(tmp_path: Path) -> None:
    """FFmpeg returns 875 samples more if an APEv2 tag follows a short file."""
    wave = chirps(20_000, RATE)
    data = encode_with_ffmpeg(tmp_path / "a.mp3", wave, RATE, "libmp3lame", "mp3", bit_rate=64_000).read_bytes()
    item = struct.pack("<II", 100_000, 0) + b"Comment\0" + b"x" * 100_000
    ends = [
        b"APETAGEX" + struct.pack("<IIII", 2000, len(item) + 32, 1, flags) + bytes(8)
        for flags in (0xA0 << 24, 0x80 << 24)
    ]
    id3v1 = b"TAG" + bytes(125)
    for tail in (b"", id3v1, ends[0] + item + ends[1], ends[0] + item + ends[1] + id3v1):
        (tmp_path / "a.mp3").write_bytes(data + tail)
        assert audio.read(tmp_path / "a.mp3").samples.shape == (1, 20_000)
        assert audio.info(tmp_path / "a.mp3").frames == 20_000


@pytest.mark.parametrize("title", ["Info Session 3", "Xing", "VBRI"])
def test_mp3_without_an_encoder_header(tmp_path: Path, title: str) -> None:
    """Signatures in tags are text. The file has 39 frames with the audio and the encoder's delay."""
    wave = chirps(44_100, RATE)
    path = encode_with_ffmpeg(
        tmp_path / "a.mp3", wave, RATE, "libmp3lame", "mp3", container_options={"write_xing": "0"},
        metadata={"title": title}, options={"compression_level": "5"},
    )  # fmt: skip
    read, info = audio.read(path).samples, audio.info(path)
    assert read.shape[1] % 1152 == 0 and 0 <= read.shape[1] - 44_100 - 1105 <= 2 * 1152
    assert info.frames is None and info.tags["title"] == title
    assert lag(read[0], wave[0]) == 1105


def test_reserved_emphasis_is_ignored(tmp_path: Path) -> None:
    """The ISO test streams have the reserved value."""
    path = encode_with_ffmpeg(
        tmp_path / "a.mp3", chirps(20_000, 48000, 1, 0), 48000, "libmp3lame", "mp3", bit_rate=64_000
    )
    data = bytearray(path.read_bytes())
    for at in mp3_frame_positions(data, 192):
        assert data[at : at + 2] == b"\xff\xfb"
        data[at + 3] |= 2
    (tmp_path / "b.mp3").write_bytes(data)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.mp3").samples, audio.read(path).samples)


def test_a_gap_after_the_first_frames_is_damage(tmp_path: Path) -> None:
    """The encoder header states the number of frames, which a decoder that starts after the gap does not see."""
    path = encode_with_ffmpeg(
        tmp_path / "a.mp3", chirps(60_000, 48000, 1, 0), 48000, "libmp3lame", "mp3", bit_rate=64_000
    )
    data = path.read_bytes()
    cut = mp3_frame_positions(data, 192)[2]
    (tmp_path / "b.mp3").write_bytes(data[:cut] + data[cut + 900 :])
    with pytest.raises(AudioError) as raised:
        audio.read(tmp_path / "b.mp3")
    assert raised.value.kind == "cut off or damaged"
