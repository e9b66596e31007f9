"""Detection of formats from bytes, sizes that mean unknown, and files that are not audio."""

import os
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.audio import AudioError
from codec.audio.chunk_sizes import is_unknown_size
from codec.audio.file_format import FileFormat
from codec.audio.format_detection import detect_format
from tests.helpers.audio import chirps, encode_with_ffmpeg, noise, random_integers
from tests.helpers.audio_formats import write_format

RATE = 44100


def test_the_format_follows_from_the_bytes(tmp_path: Path) -> None:
    """Suffixes and marks somewhere near the front do not count."""
    wave = chirps(9_000, RATE, 2)
    for name in ("WAV", "FLAC", "MP3", "AAC", "Opus", "WavPack"):
        rate = 48000 if name == "Opus" else RATE
        path = write_format(tmp_path / "a.wav", name, wave, rate)
        expected = audio.read(path).samples
        for suffix in (".mp3", ".txt", ""):
            other = shutil.copy(path, tmp_path / f"b{suffix}")
            np.testing.assert_array_equal(audio.read(Path(other)).samples, expected)
    soundfile.write(tmp_path / "marks.wav", np.frombuffer(b"fLaCOggSID3\x04RIFFXingInfo" * 40, np.int16), 8000)
    assert audio.read(tmp_path / "marks.wav").samples.shape == (1, 480)


def test_files_that_are_not_audio_are_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    contents = {
        "noise.mp3": rng.bytes(2_000), "much.mp3": rng.bytes(300_000), "zeros.wav": bytes(5_000),
        "page.mp3": b"<html>" * 99,
        "list.m3u8": b"#EXTM3U\n#EXTINF:1,\n/etc/hostname\n",
        "concat.txt": b"ffconcat version 1.0\nfile /etc/hostname\n",
        "half.m4a": b"\x00\x00\x00\x18ftypM4A \x00\x00\x00\x00M4A mp42\x00\x00\x01\x00mdat" + bytes(248),
        "short": b"\xff", "riff.wav": b"RIFF\x04\x00\x00\x00WAVE", "ogg.ogg": b"OggS" + bytes(60),
        "mkv.mka": b"\x1aE\xdf\xa3" + bytes(60),
        "asf.wma": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c") + bytes(60),
        "flac.flac": b"fLaC" + bytes(60), "caf.caf": b"caff\x00\x01\x00\x00", "aiff.aiff": b"FORM\x00\x00\x00\x04AIFF",
        "w64.w64": b"riff" + bytes(20) + b"wave" + bytes(20), "au.au": b".snd",
        "id3.mp3": b"ID3\x04\x00\x00\x00\x00\x00\x10" + bytes(16),
    }  # fmt: skip
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AudioError) as error:
            audio.info(tmp_path / name)
            audio.read(tmp_path / name)
        assert error.value.kind in ("unreadable", "cut off or damaged"), name
        assert "exist" not in error.value.reason and "Errno" not in error.value.reason


def test_broken_links_pipes_and_folders_have_reasons_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to("nowhere.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    reasons = set()
    for name in ("link.wav", "pipe.wav", "missing.wav", "."):
        with pytest.raises(AudioError) as caught:
            audio.info(tmp_path / name)
        reasons.add(caught.value.reason)
    assert len(reasons) == 4


def test_apple_double_files_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "._x.mp3"
    path.write_bytes(b"\x00\x05\x16\x07" + bytes(4_092))
    with pytest.raises(AudioError, match="AppleDouble") as error:
        audio.info(path)
    assert error.value.kind == "unreadable"


def test_an_id3_tag_before_mp4(tmp_path: Path) -> None:
    """Zeros may follow a tag, and are also the first bytes of a box."""
    data = encode_with_ffmpeg(
        tmp_path / "a", chirps(20_000, RATE), RATE, "libmp3lame", "mp4", bit_rate=64_000
    ).read_bytes()
    (tmp_path / "b").write_bytes(b"ID3\3\0\0\0\0\0\x64" + bytes(100) + data)
    assert audio.info(tmp_path / "b").format == "MP4"
    np.testing.assert_array_equal(audio.read(tmp_path / "b").samples, audio.read(tmp_path / "a").samples)


@pytest.mark.parametrize("size, unknown", [
    (0xFFFFFFFF, True), (0xFFFFFFFF - 100, True), (0x7FFFF000, True), (0x7FFF0000, True), (0x7FFEFFFF, False),
    (96_000, False),
])  # fmt: skip
def test_sizes_that_mean_unknown(size: int, unknown: bool) -> None:
    assert is_unknown_size(size) == unknown
    assert is_unknown_size(0, b"\x01\x00\x02\x00\x03\x00\x04\x00")
    assert not is_unknown_size(0, b"LIST\x10\x00\x00\x00") and not is_unknown_size(0)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 100, 0x7FFFF000])
def test_wav_of_unknown_size_is_read_to_the_end(tmp_path: Path, size: int) -> None:
    wave = chirps(48_000, 16000)
    audio.write(tmp_path / "a.wav", wave, 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(data)
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav").samples, wave, atol=2**-16)


def test_wav_from_a_pipe_is_not_damaged(tmp_path: Path) -> None:
    """Programs that write WAV to a pipe cannot fill in the sizes and leave the largest ones."""
    path = tmp_path / "a.wav"
    wave = noise(1, 5000, level=0.2)
    audio.write(path, wave, 16000)
    content = bytearray(path.read_bytes())
    at = content.index(b"data") + 4
    content[4:8] = content[at : at + 4] = b"\xff" * 4
    path.write_bytes(content)
    np.testing.assert_allclose(audio.read(path).samples, wave, atol=2**-16)


def test_chunks_after_the_samples_are_not_read_as_samples(tmp_path: Path) -> None:
    wave = chirps(1_000, 16000)
    for name in ("WAV", "RF64"):
        path = tmp_path / name
        soundfile.write(path, wave.T, 16000, format=name, subtype="PCM_16")
        path.write_bytes(path.read_bytes() + b"LIST" + struct.pack("<I", 400) + b"x" * 400)
        assert audio.read(path).samples.shape == (1, 1_000)
    none = tmp_path / "none.wav"
    soundfile.write(none, np.zeros((0, 1)), 16000)
    none.write_bytes(none.read_bytes() + b"LIST" + struct.pack("<I", 40) + b"x" * 40)
    with pytest.raises(AudioError) as error:
        audio.read(none)
    assert error.value.kind == "empty"


def test_rf64_without_its_sizes_is_read_to_the_end(tmp_path: Path) -> None:
    wave = chirps(5_001, RATE)
    soundfile.write(tmp_path / "a", wave.T, RATE, format="RF64", subtype="FLOAT")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes().replace(b"ds64", b"none"))
    assert audio.read(tmp_path / "a").samples.shape == wave.shape


@pytest.mark.parametrize("container, name", [
    ("aiff", "a.aiff"), ("w64", "a.w64"), ("caf", "a.caf"), ("au", "a.au"), ("wav", "a.wav"), ("flac", "a.flac"),
])  # fmt: skip
def test_files_from_a_pipe_without_a_length_are_read_to_the_end(tmp_path: Path, container: str, name: str) -> None:
    """FFmpeg cannot read its own AIFF and W64 of this kind, libsndfile not CAF."""
    wave = (random_integers(10_000, 1, 16) / 2**15).astype(np.float32)
    codec = {"flac": "flac", "w64": "pcm_s16le", "wav": "pcm_s16le"}.get(container, "pcm_s16be")

    class Pipe:
        """A file that cannot be seeked in."""

        def __init__(self, path: Path) -> None:
            self.file = path.open("wb")

        def write(self, data: bytes) -> int:
            return self.file.write(data)

    import av

    pipe = Pipe(tmp_path / name)
    with av.open(pipe, "w", format=container) as output:
        stream = output.add_stream(codec, rate=16000)
        stream.layout, stream.format = "mono", "s16"
        frame = av.AudioFrame.from_ndarray((wave * 2**15).astype(np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        for packet in (*stream.encode(frame), *stream.encode(None)):
            output.mux(packet)
    pipe.file.close()
    np.testing.assert_array_equal(audio.read(tmp_path / name).samples, wave)


@pytest.mark.parametrize("subtype, name", [("PCM_S8", "a.aiff"), ("ULAW", "b.aiff"), ("PCM_S8", "c.caf")])
def test_the_padding_byte_of_a_chunk_is_not_a_sample(tmp_path: Path, subtype: str, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, chirps(2_000, 8000)[0], 8000, subtype=subtype)
    data = path.read_bytes()
    if name.endswith(".aiff"):  # libsndfile itself counts the byte, other writers do not
        at = data.index(b"COMM") + 10
        data = data[:at] + struct.pack(">I", 1_999) + data[at + 4 :]
        at = data.index(b"SSND") + 4
        data = data[:at] + struct.pack(">I", 1_999 + 8) + data[at + 4 :]
        path.write_bytes(data)
    assert audio.read(path).samples.shape == (1, 1_999 if name.endswith(".aiff") else 2_000)


@pytest.mark.parametrize("subtype", ["GSM610", "MS_ADPCM", "IMA_ADPCM"])
@pytest.mark.parametrize("stated", [19_999, 20_000, 20_101])
def test_block_codings_end_at_the_length_in_the_fact_chunk(tmp_path: Path, subtype: str, stated: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, chirps(20_159, 8000)[0], 8000, subtype=subtype)
    data = bytearray(path.read_bytes())
    at = data.index(b"fact") + 8
    data[at : at + 4] = struct.pack("<I", stated)
    path.write_bytes(data)
    assert audio.read(path).samples.shape[1] == stated


@pytest.mark.parametrize("tag, bits", [(b"RIFF", 24), (b"BW64", 24), (b"RF64", 24)])
def test_24_valid_bits_in_32_are_integers(tmp_path: Path, tag: bytes, bits: int) -> None:
    """FFmpeg takes them for floating-point numbers."""
    values = random_integers(999, 2, bits)
    data = (values.T << 8).astype("<i4").tobytes()
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 2, 48000, 384000, 8, 32, 22, bits, 3)
    form += bytes.fromhex("0100000000001000800000aa00389b71")
    wide = tag != b"RIFF"
    ds64 = b"ds64" + struct.pack("<IQQQI", 28, 0, len(data), 999, 0) if wide else b""
    size = 0xFFFFFFFF if wide else len(data)
    body = b"WAVE" + ds64 + b"fmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", size) + data
    path = tmp_path / "a.wav"
    path.write_bytes(tag + struct.pack("<I", 0xFFFFFFFF if wide else len(body)) + body)
    np.testing.assert_array_equal(audio.read(path).samples, (values / 2 ** (bits - 1)).astype(np.float32))


@pytest.mark.parametrize("codec, channels", [("pcm_f32le", 2), ("pcm_f32le", 6), ("pcm_s24le", 6)])
def test_w64_with_an_extensible_format(tmp_path: Path, codec: str, channels: int) -> None:
    """libsndfile takes all of them for integers."""
    wave = chirps(8_000, 96000, channels)
    path = encode_with_ffmpeg(tmp_path / "a.w64", wave, 96000, codec, "w64")
    assert path.read_bytes()[64:66] == b"\xfe\xff"
    np.testing.assert_allclose(audio.read(path).samples, wave, atol=2**-22)


@pytest.mark.parametrize("codec, container, names", [
    ("pcm_s16le", "mov", {b"chan"}), ("alac", "ipod", set()), ("pcm_s16be", "caf", {b"chan"}),
])  # fmt: skip
def test_channel_orders_are_hidden_from_ffmpeg(tmp_path: Path, codec: str, container: str, names: set[bytes]) -> None:
    """The channels keep their order in the file."""
    values = random_integers(5_000, 6, 16)
    path = encode_with_ffmpeg(tmp_path / "a", (values / 2**15).astype(np.float32), 48000, codec, container)
    with path.open("rb") as file:
        found = detect_format(file, path.stat().st_size)
    assert isinstance(found, FileFormat)
    data = path.read_bytes()
    assert {data[offset : offset + 4] for offset in found.patches} == names
    np.testing.assert_array_equal(audio.read(path).samples, (values / 2**15).astype(np.float32))


def test_the_channel_order_in_caf_from_a_pipe_is_hidden(tmp_path: Path) -> None:
    values = np.arange(600, dtype=">i2").reshape(100, 6)
    described = struct.pack(">d4sIIIII", 48000, b"lpcm", 0, 12, 1, 6, 16)
    order = struct.pack(">III", 121 << 16 | 6, 0, 0)  # kAudioChannelLayoutTag_MPEG_5_1_A
    head = b"".join(
        name + struct.pack(">Q", len(body)) + body for name, body in ((b"desc", described), (b"chan", order))
    )
    path = tmp_path / "a.caf"
    path.write_bytes(b"caff\0\1\0\0" + head + b"data" + b"\xff" * 8 + bytes(4) + values.tobytes())
    with path.open("rb") as file:
        found = detect_format(file, path.stat().st_size)
    assert isinstance(found, FileFormat)
    assert [path.read_bytes()[offset:][:4] for offset in found.patches] == [b"chan"]
    np.testing.assert_array_equal(audio.read(path).samples, values.T.astype(np.float32) / 2**15)
