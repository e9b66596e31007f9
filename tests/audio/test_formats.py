"""Which decoder is right for which format: a test for each row of the table in docs/formats.md.

What is exact is compared with the encoder's input. What is lossy is compared with it by its count and its lag, and with
the reference decoder where soundfile carries it: mpg123 (MP3), libvorbis and libopus, read at once.
"""

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec import audio
from codec.audio import AudioError
from codec.audio.file_format import FileFormat
from codec.audio.format_detection import detect_format
from tests.helpers.audio_inputs import edit_ogg, encode, flac, lag, tones

RATE = 44100


def integers(samples: int, channels: int, bits: int, seed: int = 0) -> np.ndarray:
    top = 1 << bits - 1
    values = np.random.default_rng(seed).integers(-top, top, (channels, samples))
    values[:, :2] = -top, top - 1
    return values


def reference(path: Path) -> np.ndarray:
    """What libsndfile's own decoders give when nothing is sought."""
    return soundfile.read(path, dtype="float32", always_2d=True)[0].T


@pytest.mark.parametrize("codec, container, name", [
    ("flac", "flac", "a.flac"), ("flac", "ogg", "a.ogg"), ("wavpack", "wv", "a.wv"), ("tta", "tta", "a.tta"),
    ("alac", "mp4", "a.m4a"), ("alac", "caf", "a.caf"), ("flac", "matroska", "a.mka"), ("pcm_s16le", "mov", "a.mov"),
    ("pcm_s16be", "aiff", "a.aiff"), ("pcm_s16le", "w64", "a.w64"), ("pcm_s16be", "caf", "b.caf"),
    ("pcm_s16be", "au", "a.au"), ("pcm_s16le", "avi", "a.avi"),
])  # fmt: skip
def test_without_loss_what_was_written_is_read(tmp_path: Path, codec: str, container: str, name: str) -> None:
    wave = (integers(20_002, 2, 16) / 2**15).astype(np.float32)
    path = encode(tmp_path / name, wave, RATE, codec, container)
    read = audio.read(path)
    assert read.sample_rate == RATE
    np.testing.assert_array_equal(read.samples, wave)
    assert audio.info(path).frames in (20_002, None)


@pytest.mark.parametrize("subtype", ["ALAC_16", "ALAC_20", "PCM_24", "FLOAT"])
def test_caf_of_libsndfile(tmp_path: Path, subtype: str) -> None:
    """FFmpeg loses the end of ALAC that libsndfile wrote, or cannot open it."""
    soundfile.write(tmp_path / "a.caf", tones(12_345, RATE, 2).T, RATE, subtype=subtype)
    np.testing.assert_array_equal(audio.read(tmp_path / "a.caf").samples, reference(tmp_path / "a.caf"))


@pytest.mark.parametrize("samples", [100, 5_000, 20_000])
def test_loud_alac_of_32_bits_is_no_noise(tmp_path: Path, samples: int) -> None:
    """libsndfile decodes it to something else; FFmpeg knows one channel, and refuses two."""
    values = np.random.default_rng(0).integers(-(2**31), 2**31, samples)
    soundfile.write(tmp_path / "a.caf", values.astype(np.int32), RATE, subtype="ALAC_32")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.caf").samples[0], (values / 2**31).astype(np.float32))
    values = np.random.default_rng(1).integers(-(2**31), 2**31, (samples, 2))
    soundfile.write(tmp_path / "b.caf", values.astype(np.int32), RATE, subtype="ALAC_32")
    with pytest.raises(audio.AudioError):
        audio.read(tmp_path / "b.caf")


@pytest.mark.parametrize("bits", [8, 12, 15, 16, 20, 24, 32])
@pytest.mark.parametrize("total", [None, 0])
def test_flac_of_any_number_of_bits(tmp_path: Path, bits: int, total: int | None) -> None:
    """libsndfile refuses 12, 15, 20 and 32 bits, and loses the last block where the total is 0."""
    values = integers(2_500, 2, bits)
    path = tmp_path / "a.flac"
    path.write_bytes(flac(values, bits, total=total))
    np.testing.assert_array_equal(audio.read(path).samples, (values / 2.0 ** (bits - 1)).astype(np.float32))
    assert audio.info(path).frames == (2_500 if total is None else None)
    path.write_bytes(path.read_bytes()[:-1500])
    with pytest.raises(AudioError) as error:
        audio.read(path)
    assert error.value.kind == "cut off or damaged"


@pytest.mark.parametrize("bits, stated", [(16, 1_000), (16, 2_400), (20, 1_000)])
def test_flac_with_more_samples_than_stated_is_read_to_its_end(tmp_path: Path, bits: int, stated: int) -> None:
    values = integers(2_500, 1, bits)
    (tmp_path / "a.flac").write_bytes(flac(values, bits, total=stated))
    np.testing.assert_array_equal(audio.read(tmp_path / "a.flac").samples, (values / 2 ** (bits - 1)).astype("f4"))


@pytest.mark.parametrize("tag, bits", [(b"RIFF", 24), (b"BW64", 24), (b"RF64", 24)])
def test_24_valid_bits_in_32_are_integers(tmp_path: Path, tag: bytes, bits: int) -> None:
    """FFmpeg takes them for floating-point numbers."""
    values = integers(999, 2, bits)
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


@pytest.mark.parametrize("container, name", [
    ("aiff", "a.aiff"), ("w64", "a.w64"), ("caf", "a.caf"), ("au", "a.au"), ("wav", "a.wav"), ("flac", "a.flac"),
])  # fmt: skip
def test_headers_from_a_pipe_state_no_length(tmp_path: Path, container: str, name: str) -> None:
    """FFmpeg cannot read its own AIFF and W64 of this kind, libsndfile not CAF."""
    wave = (integers(10_000, 1, 16) / 2**15).astype(np.float32)
    codec = {"flac": "flac", "w64": "pcm_s16le", "wav": "pcm_s16le"}.get(container, "pcm_s16be")

    class Pipe:
        """What cannot be sought in."""

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
def test_the_byte_that_makes_a_chunk_even_is_no_sample(tmp_path: Path, subtype: str, name: str) -> None:
    path = tmp_path / name
    soundfile.write(path, tones(2_000, 8000)[0], 8000, subtype=subtype)
    data = path.read_bytes()
    if name.endswith(".aiff"):  # libsndfile itself counts the byte, other writers do not
        at = data.index(b"COMM") + 10
        data = data[:at] + struct.pack(">I", 1_999) + data[at + 4 :]
        at = data.index(b"SSND") + 4
        data = data[:at] + struct.pack(">I", 1_999 + 8) + data[at + 4 :]
        path.write_bytes(data)
    assert audio.read(path).samples.shape == (1, 1_999 if name.endswith(".aiff") else 2_000)


@pytest.mark.parametrize("subtype, block", [("GSM610", 320), ("MS_ADPCM", 500), ("IMA_ADPCM", 505)])
@pytest.mark.parametrize("stated", [19_999, 20_000, 20_101])
def test_block_codings_end_where_the_fact_chunk_says(tmp_path: Path, subtype: str, block: int, stated: int) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tones(20_159, 8000)[0], 8000, subtype=subtype)
    data = bytearray(path.read_bytes())
    at = data.index(b"fact") + 8
    data[at : at + 4] = struct.pack("<I", stated)
    path.write_bytes(data)
    assert audio.read(path).samples.shape[1] == stated


LOSSY = [
    # codec, container, rate, channels, late by, samples more, options
    ("libopus", "ogg", 48000, 1, 0, 0),
    ("libopus", "ogg", 16000, 2, 0, 0),
    ("libopus", "webm", 48000, 2, 0, 0),
    ("libopus", "mp4", 48000, 2, 0, 0),
    ("libmp3lame", "mp3", 44100, 2, 0, 0),
    ("libmp3lame", "mp3", 16000, 1, 0, 0),
    ("aac", "mp4", 44100, 2, 0, 0),
    ("aac", "mov", 16000, 1, 0, 0),
    ("wmav2", "asf", 44100, 2, 0, 2047),
    ("wmav2", "asf", 16000, 1, 0, 2047),
    # These containers and codings do not say where the encoder's delay ends.
    ("aac", "adts", 44100, 2, 1024, 2047),
    ("mp2", "mp2", 44100, 1, 481, 1151),
    ("ac3", "ac3", 48000, 6, 256, 1535),
    ("libopencore_amrnb", "amr", 8000, 1, 40, 159),
]


@pytest.mark.parametrize("codec, container, rate, channels, late, more", LOSSY)
def test_lossy_files_begin_and_end_where_the_input_did(
    tmp_path: Path, codec: str, container: str, rate: int, channels: int, late: int, more: int
) -> None:
    wave = tones(30_011, rate, channels)
    bits = {"libopencore_amrnb": 12_200, "wmav2": 96_000, "aac": 64_000}.get(codec, 128_000 if rate > 16000 else 64_000)
    options = {"aac_pns": "0"} if codec == "aac" else {}
    path = encode(tmp_path / "a", wave, rate, codec, container, bit_rate=bits, options=options)
    read = audio.read(path)
    wanted = audio.resample(wave, rate, read.sample_rate)
    assert read.samples.shape[0] == channels
    assert 0 <= read.samples.shape[1] - wanted.shape[1] <= more
    assert read.sample_rate == (48000 if codec == "libopus" else rate)
    for channel in range(channels):
        if not (channels == 6 and channel == 3):  # AC-3 codes the LFE to 120 Hz
            assert abs(lag(read.samples[channel], wanted[channel]) - late) <= 1


@pytest.mark.parametrize("codec, container, rate", [("libopus", "ogg", 48000), ("libmp3lame", "mp3", 44100)])
@pytest.mark.parametrize("channels", [1, 2])
def test_reference_decoders_agree(tmp_path: Path, codec: str, container: str, rate: int, channels: int) -> None:
    path = encode(tmp_path / "a", tones(70_001, rate, channels), rate, codec, container)
    np.testing.assert_allclose(audio.read(path).samples, reference(path), atol=2e-5)


@pytest.mark.parametrize("suffix, rate", [(".ogg", 44100), (".ogg", 8000), (".opus", 48000)])
@pytest.mark.parametrize("samples", [1, 200, 24_000])
def test_ogg_of_one_page_and_of_several(tmp_path: Path, suffix: str, rate: int, samples: int) -> None:
    """FFmpeg's demuxer loses 128 samples of Vorbis that fits into one page."""
    path = tmp_path / f"a{suffix}"
    audio.write(path, tones(samples, rate, 2), rate)
    np.testing.assert_allclose(audio.read(path).samples, reference(path), atol=2e-5)
    assert audio.info(path).frames == samples


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("channels", [3, 5, 6, 7, 8])
def test_channels_keep_their_places(tmp_path: Path, suffix: str, channels: int) -> None:
    """Vorbis and Opus have an order of their own. FFmpeg's WAV order is the independent witness for what is written."""
    wave = tones(24_000, 48000, channels)
    if channels >= 6:  # the LFE of Opus holds low frequencies alone
        wave[3] = 0.2 * np.sin(2 * np.pi * 40 * np.arange(24_000) / 48000)
    audio.write(tmp_path / f"a{suffix}", wave, 48000)
    encoder, container = ("libopus", "ogg") if suffix == ".opus" else ("flac", "matroska")
    options = {"mapping_family": "1"} if suffix == ".opus" else {}
    paths = [tmp_path / f"a{suffix}", encode(tmp_path / "b", wave, 48000, encoder, container, options=options)]
    for path in paths:
        read = audio.read(path).samples
        assert read.shape == wave.shape
        for one, other in zip(read, wave):
            assert np.corrcoef(one, other)[0, 1] > 0.95


@pytest.mark.parametrize("stated_hz", [0, 8000, 44100])
def test_opus_is_decoded_at_48_khz_whatever_its_header_names(tmp_path: Path, stated_hz: int) -> None:
    wave = tones(48_000, 48000)
    data = encode(tmp_path / "a.opus", wave, 48000, "libopus", "ogg", bit_rate=64_000).read_bytes()

    def change(number: int, page: bytearray) -> None:
        if number == 0:
            page[28 + 12 : 28 + 16] = struct.pack("<I", stated_hz)

    expected = audio.read(tmp_path / "a.opus").samples
    (tmp_path / "a.opus").write_bytes(edit_ogg(data, change))
    read = audio.read(tmp_path / "a.opus")
    assert (read.sample_rate, audio.info(tmp_path / "a.opus").sample_rate) == (48000, 48000)
    np.testing.assert_array_equal(read.samples, expected)


@pytest.mark.parametrize("gain_db", [-6.0, 3.0])
def test_opus_applies_the_gain_of_its_header(tmp_path: Path, gain_db: float) -> None:
    data = encode(tmp_path / "a.opus", tones(24_000, 48000), 48000, "libopus", "ogg").read_bytes()

    def change(number: int, page: bytearray) -> None:
        if number == 0:
            page[28 + 16 : 28 + 18] = struct.pack("<h", round(256 * gain_db))

    expected = audio.read(tmp_path / "a.opus").samples * 10 ** (gain_db / 20)
    (tmp_path / "a.opus").write_bytes(edit_ogg(data, change))
    np.testing.assert_allclose(audio.read(tmp_path / "a.opus").samples, expected, atol=1e-4)


def test_positions_that_do_not_begin_at_zero(tmp_path: Path) -> None:
    """Case A2: all positions are later by 104, as in a recording that was cut out of a stream."""
    wave = tones(150_000, 48000)
    data = encode(tmp_path / "a.opus", wave, 48000, "libopus", "ogg").read_bytes()
    before = audio.read(tmp_path / "a.opus").samples

    def change(number: int, page: bytearray) -> None:
        if number == 0:
            page[28 + 10 : 28 + 12] = struct.pack("<H", 104)
        if number > 1:
            page[6:14] = struct.pack("<Q", int.from_bytes(page[6:14], "little") + 104)

    (tmp_path / "a.opus").write_bytes(edit_ogg(data, change))
    after = audio.read(tmp_path / "a.opus").samples
    shift = 312 - 104
    assert after.shape[1] == before.shape[1] + shift
    np.testing.assert_allclose(after[:, shift:], before, atol=1e-6)


def test_opus_in_mpeg_ts_is_refused(tmp_path: Path) -> None:
    """It states neither its start nor its end, and FFmpeg gives it 6 dB louder."""
    path = encode(tmp_path / "a.ts", tones(48_000, 48000, 2), 48000, "libopus", "mpegts")
    with pytest.raises(AudioError, match="Opus in MPEG-TS") as error:
        audio.info(path)
    assert error.value.kind == "unreadable"


def test_mp3_whose_tags_follow(tmp_path: Path) -> None:
    """FFmpeg gives 875 samples more where an APEv2 tag follows a short file."""
    wave = tones(20_000, RATE)
    data = encode(tmp_path / "a.mp3", wave, RATE, "libmp3lame", "mp3", bit_rate=64_000).read_bytes()
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
def test_mp3_without_a_count_of_frames(tmp_path: Path, title: str) -> None:
    """Cases B1, D1 and F1: marks in tags are text. 39 frames hold the sound and the encoder's delay."""
    wave = tones(44_100, RATE)
    path = encode(
        tmp_path / "a.mp3", wave, RATE, "libmp3lame", "mp3", container_options={"write_xing": "0"},
        metadata={"title": title}, options={"compression_level": "5"},
    )  # fmt: skip
    read, info = audio.read(path).samples, audio.info(path)
    assert read.shape[1] % 1152 == 0 and 0 <= read.shape[1] - 44_100 - 1105 <= 2 * 1152
    assert info.frames is None and info.tags["title"] == title
    assert lag(read[0], wave[0]) == 1105


def test_opus_whose_container_understates_its_delay(tmp_path: Path) -> None:
    """FFmpeg before version 6 counts the delay at the rate of the input: 104 of 312 samples where that has 16 kHz."""
    path = encode(tmp_path / "a.webm", tones(20_000, 48000), 48000, "libopus", "webm", bit_rate=64_000)
    data, right = path.read_bytes(), b"\x56\xaa\x83" + (6_500_000).to_bytes(3, "big")
    assert data.count(right) == 1
    wrong = data.replace(right, b"\x56\xaa\x83" + (2_166_667).to_bytes(3, "big"))
    (tmp_path / "b.webm").write_bytes(wrong)
    np.testing.assert_array_equal(audio.read(tmp_path / "b.webm").samples, audio.read(path).samples)


@pytest.mark.parametrize("codec, container, names", [
    ("pcm_s16le", "mov", {b"chan"}), ("alac", "ipod", set()), ("pcm_s16be", "caf", {b"chan"}),
])  # fmt: skip
def test_orders_of_channels_are_hidden_from_ffmpeg(
    tmp_path: Path, codec: str, container: str, names: set[bytes]
) -> None:
    """The channels come as they lie in the file."""
    values = integers(5_000, 6, 16)
    path = encode(tmp_path / "a", (values / 2**15).astype(np.float32), 48000, codec, container)
    with path.open("rb") as file:
        found = detect_format(file, path.stat().st_size)
    assert isinstance(found, FileFormat)
    data = path.read_bytes()
    assert {data[offset : offset + 4] for offset in found.patches} == names
    np.testing.assert_array_equal(audio.read(path).samples, (values / 2**15).astype(np.float32))


def test_the_order_of_channels_in_caf_from_a_pipe_is_hidden(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("codec, channels", [("pcm_f32le", 2), ("pcm_f32le", 6), ("pcm_s24le", 6)])
def test_w64_with_an_extensible_format(tmp_path: Path, codec: str, channels: int) -> None:
    """libsndfile takes all of them for integers."""
    wave = tones(8_000, 96000, channels)
    path = encode(tmp_path / "a.w64", wave, 96000, codec, "w64")
    assert path.read_bytes()[64:66] == b"\xfe\xff"
    np.testing.assert_allclose(audio.read(path).samples, wave, atol=2**-22)
