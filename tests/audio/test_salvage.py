"""What is read behind damage in Ogg and MPEG audio, against the undamaged file."""

import re

import numpy as np
import pytest

from codec import audio
from tests.helpers.audio import encode_with_ffmpeg, noise

RATE = 16000
FORMATS = {
    "mp3": ("libmp3lame", "mp3"),
    "mp2": ("mp2", "mp2"),
    "vorbis": None,
    "flac": ("flac", "ogg"),
    "opus": ("libopus", "ogg"),
}


@pytest.fixture(params=FORMATS)
def source(request, tmp_path):
    wave = noise(1, RATE * 12, level=0.2) * np.linspace(0.1, 1, RATE * 12, dtype=np.float32)
    if FORMATS[request.param] is None:  # FFmpeg's wheel cannot encode it
        audio.write(tmp_path / "a.ogg", wave, RATE)
        return tmp_path / "a.ogg"
    return encode_with_ffmpeg(tmp_path / "a.audio", wave, RATE, *FORMATS[request.param])


def salvaged(path):
    """What is read of a file, its lost spans, and whether the samples lie in one."""
    lost: list[tuple[int, int]] = []
    found = np.concatenate(list(audio.info(path).salvaged_blocks(lost, 5000)), axis=1)
    inside = np.zeros(found.shape[1], bool)
    for start, stop in lost:
        inside[start:stop] = True
    return found, lost, inside


def test_what_is_behind_damage_keeps_its_time(source):
    whole, rate, data = audio.read(source).samples, audio.info(source).sample_rate, bytearray(source.read_bytes())
    opus = audio.info(source).subtype == "OPUS"
    for place in (len(data) // 3, 2 * len(data) // 3):
        data[place : place + 1500] = np.random.default_rng(place).bytes(1500)
    source.write_bytes(data)
    with pytest.raises(audio.AudioError):
        audio.read(source)
    found, lost, inside = salvaged(source)
    assert found.shape == whole.shape and len(lost) == 2
    assert all(0.02 < (stop - start) / rate < 2.5 for start, stop in lost)
    assert not found[:, inside].any()
    difference = np.abs(found - whole)[:, ~inside]
    if opus:  # its decoder predicts over some time, to which no bits are bound
        assert np.sqrt(np.mean(difference**2)) < 0.05 * np.sqrt(np.mean(whole**2))
    else:
        assert difference.max() < 1e-4


def test_a_truncated_file_is_read_to_its_end_and_said_to_have_none(source):
    whole, data = audio.read(source).samples, source.read_bytes()
    source.write_bytes(data[: len(data) * 2 // 3])
    try:
        audio.read(source)
    except audio.AudioError:
        found, lost, _ = salvaged(source)
        assert len(lost) == 1 and lost[0][0] == found.shape[1] < lost[0][1] + 1
    else:  # MP2 states no length, and a recording of a stream may end anywhere
        found = audio.read(source).samples
        assert audio.info(source).subtype == "MPEG_LAYER_II"
    assert 0.5 * whole.shape[1] < found.shape[1] < 0.75 * whole.shape[1]
    assert np.abs(found - whole[:, : found.shape[1]]).max() < 1e-4


def test_tags_between_frames_are_no_gap(tmp_path):
    """Frames with an ID3 tag between them, damaged behind it: the count of the header does not hold for the file."""
    path = encode_with_ffmpeg(tmp_path / "a.mp3", noise(1, RATE * 6, level=0.2), RATE, "libmp3lame", "mp3")
    whole, data = audio.read(path).samples, path.read_bytes()
    frame = data.index(b"\xff\xf3", len(data) // 4)
    tag = b"ID3\x04\0\0\0\0\x07\x68" + bytes(1000)
    hole = len(data) * 2 // 3
    path.write_bytes(data[:frame] + tag + data[frame:hole] + b"\1" * 300 + data[hole + 300 :])
    found, lost, inside = salvaged(path)
    assert len(lost) == 1 and abs(found.shape[1] - whole.shape[1]) < 1200
    length = whole.shape[1]
    assert np.abs(found[:, :length] - whole)[:, ~inside[:length]].max() < 1e-4


def test_of_other_formats_all_up_to_the_damage_is_read(tmp_path):
    path = encode_with_ffmpeg(tmp_path / "a.m4a", noise(1, RATE * 6, level=0.2), RATE, "aac", "ipod")
    whole, data = audio.read(path).samples, bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 900] = np.random.default_rng(0).bytes(900)
    path.write_bytes(data)
    with pytest.raises(audio.AudioError) as damage:
        audio.read(path)
    found, lost, _ = salvaged(path)
    stated = float(re.search(r"damaged at (\d+\.\d\d) s", damage.value.reason)[1])
    assert lost == [(found.shape[1], max(found.shape[1], audio.info(path).frames or 0))]
    assert 0 <= stated - found.shape[1] / RATE < 0.1 and 0.3 < found.shape[1] / whole.shape[1] < 0.6
