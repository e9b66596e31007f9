"""What reading promises whatever the format: all of it, in order, or an error that says why not."""

import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codec import audio
from codec.audio import AudioError
from codec.audio.chunk_sizes import is_unknown_size
from tests.helpers.audio_inputs import edit_ogg, encode, flac, lag, ogg_pages, tones

RATE = 44100

WRITERS = {
    "WAV": ("pcm_s16le", "wav"), "AIFF": ("pcm_s24be", "aiff"), "W64": ("pcm_s24le", "w64"),
    "CAF": ("pcm_f32be", "caf"),
    "AU": ("pcm_s16be", "au"), "FLAC": ("flac", "flac"), "Ogg FLAC": ("flac", "ogg"), "Opus": ("libopus", "ogg"),
    "Opus in WebM": ("libopus", "webm"), "Opus in MP4": ("libopus", "mp4"), "MP3": ("libmp3lame", "mp3"),
    "MP2": ("mp2", "mp2"), "AAC": ("aac", "mp4"), "AAC in ADTS": ("aac", "adts"),
    "AAC in Matroska": ("aac", "matroska"),
    "ALAC": ("alac", "mp4"), "ALAC in CAF": ("alac", "caf"), "WavPack": ("wavpack", "wv"), "TTA": ("tta", "tta"),
    "WMA": ("wmav2", "asf"), "AC-3": ("ac3", "ac3"), "IMA ADPCM": ("adpcm_ima_wav", "wav"),
    "MS ADPCM": ("adpcm_ms", "wav"),
    "A-law": ("pcm_alaw", "wav"), "mu-law in AU": ("pcm_mulaw", "au"), "G.722": ("g722", "wav"),
}  # fmt: skip
"""FFmpeg's encoder and container of each format."""
LIBSNDFILE = {
    "Vorbis": ("OGG", "VORBIS"), "GSM": ("WAV", "GSM610"), "ALAC by libsndfile": ("CAF", "ALAC_16"),
    "RF64": ("RF64", "PCM_24"), "8 bits": ("WAV", "PCM_U8"), "double": ("WAV", "DOUBLE"), "VOC": ("VOC", "PCM_16"),
    "SPH": ("NIST", "PCM_16"), "IRCAM": ("IRCAM", "FLOAT"), "PAF": ("PAF", "PCM_24"), "SVX": ("SVX", "PCM_16"),
}  # fmt: skip
RATES = {**dict.fromkeys(("Opus", "Opus in WebM", "Opus in MP4"), (16000, 48000)),
         "AC-3": (32000, 48000), "MP2": (16000, 44100), "MP3": (16000, 44100), "GSM": (8000,),
         "G.722": (16000,)}  # fmt: skip
LOSSY_CUT = ("Opus", "Opus in WebM", "Opus in MP4", "MP3", "AAC", "AAC in Matroska", "WMA", "Vorbis")
LOSSLESS_CUT = ("FLAC", "Ogg FLAC", "ALAC", "ALAC in CAF", "WavPack", "TTA", "IMA ADPCM", "MS ADPCM", "GSM", "G.722")


def write(path: Path, name: str, wave: np.ndarray, rate: int) -> Path:
    if name in LIBSNDFILE:
        format, subtype = LIBSNDFILE[name]
        soundfile.write(path, wave.T, rate, format=format, subtype=subtype)
        return path
    codec, container = WRITERS[name]
    rates = {"libopus": 64_000, "libmp3lame": 64_000, "mp2": 64_000, "aac": 48_000, "wmav2": 64_000, "ac3": 96_000}
    return encode(path, wave, rate, codec, container, bit_rate=rates.get(codec))


def in_blocks(path: Path, size: int) -> np.ndarray:
    blocks = list(audio.blocks(path, size))
    assert all(block.dtype == np.float32 and block.flags.c_contiguous for block in blocks)
    assert all(block.shape[1] == size for block in blocks[:-1]) and 1 <= blocks[-1].shape[1] <= size
    return np.concatenate(blocks, axis=1)


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from([*WRITERS, *LIBSNDFILE]),
    samples=st.integers(1, 12_000),
    rate=st.sampled_from((8000, 16000, 22050, 44100, 48000)),
    channels=st.integers(1, 2),
    size=st.one_of(st.sampled_from([1024, 65_536]), st.integers(1, 5_000)),
    seed=st.integers(0, 99),
)
def test_blocks_of_any_size_join_to_the_whole(
    tmp_path: Path, name: str, samples: int, rate: int, channels: int, size: int, seed: int
) -> None:
    if name in RATES and rate not in RATES[name]:
        rate = RATES[name][seed % len(RATES[name])]
    channels = 1 if name in ("GSM", "G.722", "SVX") else channels
    samples = max(samples, rate // 40)  # FFmpeg passes over the only packet of Opus in MP4 that is shorter
    path = write(tmp_path / "file", name, tones(samples, rate, channels, seed), rate)
    whole = audio.read(path)
    np.testing.assert_array_equal(in_blocks(path, max(size, whole.samples.shape[1] // 400)), whole.samples)
    info = audio.info(path)
    assert (info.sample_rate, info.channels) == (
        whole.sample_rate,
        whole.samples.shape[0],
    ) and channels == info.channels
    assert info.frames in (None, whole.samples.shape[1])
    assert whole.samples.shape[1] * rate >= samples * whole.sample_rate  # nothing is lost


def bursts(rate: int) -> np.ndarray:
    """Case A1: a noise floor with bursts around multiples of 65,536, which need the bit reservoir of MP3."""
    rng = np.random.default_rng(0)
    wave = 1e-3 * rng.standard_normal(4 * 65_536)
    t = np.arange(8_000) / rate
    for number in range(1, 4):
        start = number * 65_536 - 1_500
        wave[start : start + 8_000] += 0.1 * sum(np.sin(2 * np.pi * hz * t) for hz in (310, 620, 930, 1240, 2170, 3100))
    return wave[None].astype(np.float32)


@pytest.mark.parametrize("bit_rate", [32_000, 0])
def test_mp3_is_not_sought_in(tmp_path: Path, bit_rate: int) -> None:
    options = {} if bit_rate else {"compression_level": "2", "global_quality": str(6 * 118), "flags": "+qscale"}
    path = encode(tmp_path / "a", bursts(RATE), RATE, "libmp3lame", "mp3", bit_rate=bit_rate or None, options=options)
    at_once = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    for size in (1_024, 65_536, 1 << 20):
        read = in_blocks(path, size)
        assert read.shape == at_once.shape == (1, 4 * 65_536)
        np.testing.assert_allclose(read, at_once, atol=2e-5)


@pytest.mark.parametrize("name", ["MP3", "Opus", "Vorbis", "FLAC", "Ogg FLAC", "AAC in ADTS", "MP2"])
def test_joined_files_are_read_to_the_end(tmp_path: Path, name: str) -> None:
    """Kind C: the same stream twice, and two that differ."""
    rate = 48000 if name == "Opus" else RATE
    first = write(tmp_path / "a", name, tones(30_000, rate, 1, 1), rate)
    second = write(tmp_path / "b", name, tones(20_000, rate, 1, 2), rate)
    one, other = audio.read(first).samples, audio.read(second).samples
    for parts in ((first, second), (first, first), (second, first, second)):
        joined = tmp_path / "joined"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        read = in_blocks(joined, 4_096)
        expected = np.concatenate([one if part is first else other for part in parts], axis=1)
        assert read.shape == expected.shape
        if name not in ("AAC in ADTS", "MP2"):  # whose decoders have no mark at which to begin anew
            np.testing.assert_array_equal(read, expected)
        if name in ("MP3", "Opus", "Vorbis") and parts[0] is not parts[-1]:
            assert audio.info(joined).frames is None


@pytest.mark.parametrize("name", ["MP3", "Opus", "Vorbis", "FLAC", "Ogg FLAC", "AAC in ADTS"])
@pytest.mark.parametrize("rate, channels", [(22050, 1), (44100, 2)])
def test_a_change_of_rate_or_channels_is_refused(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    if name == "Opus" and channels == 1:
        pytest.skip("Opus has one rate")
    opus = name == "Opus"
    first = write(
        tmp_path / "a", name, tones(44_100, RATE, 1, 1) if not opus else tones(48_000, 48000), 48000 if opus else RATE
    )
    second = write(tmp_path / "b", name, tones(20_000, rate, channels, 2), 48000 if opus else rate)
    (tmp_path / "c").write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(AudioError, match=r"changes from 1 channels? at \d+ Hz to .* at 1\.\d\d s") as error:
        audio.read(tmp_path / "c")
    assert error.value.kind == "unreadable"


def test_files_that_cannot_be_joined_as_bytes_say_so(tmp_path: Path) -> None:
    for name in ("WAV", "AAC", "AAC in Matroska", "TTA"):
        data = write(tmp_path / "a", name, tones(9_000, RATE), RATE).read_bytes()
        (tmp_path / "b").write_bytes(data + data)
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / "b")
        assert error.value.kind == "unreadable"


@pytest.mark.parametrize("name", [*LOSSY_CUT, *LOSSLESS_CUT, "WAV", "AIFF", "W64", "CAF", "AU", "RF64"])
@pytest.mark.parametrize("share", [0.4, 0.97])
def test_cut_off_files_are_refused(tmp_path: Path, name: str, share: float) -> None:
    rate = RATES.get(name, (RATE,))[-1]
    channels = 1 if name in ("GSM", "G.722") else 2
    data = write(tmp_path / "a", name, tones(60_000, rate, channels), rate).read_bytes()
    (tmp_path / "b").write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioError) as error:
        audio.read(tmp_path / "b")
    assert "\n" not in str(error.value)


def test_ogg_without_its_last_page_is_cut_off(tmp_path: Path) -> None:
    data = write(tmp_path / "a", "Opus", tones(150_000, 48000), 48000).read_bytes()
    *_, (start, _) = ogg_pages(data)
    (tmp_path / "b").write_bytes(data[:start])
    with pytest.raises(AudioError) as error:
        audio.read(tmp_path / "b")
    assert error.value.kind == "cut off or damaged"


def test_a_missing_page_in_the_middle_is_damage(tmp_path: Path) -> None:
    data = write(tmp_path / "a", "Opus", tones(200_000, 48000), 48000).read_bytes()
    places = list(ogg_pages(data))
    start, length = places[len(places) // 2]
    (tmp_path / "b").write_bytes(data[:start] + data[start + length :])
    (tmp_path / "c").write_bytes(data[:start] + b"stray bytes" + data[start:])
    for path in ("b", "c"):
        with pytest.raises(AudioError, match="page"):
            audio.read(tmp_path / path)


@pytest.mark.parametrize("name", ["FLAC", "Ogg FLAC", "WavPack", "TTA", "Opus", "Vorbis"])
def test_one_flipped_bit_is_found_where_there_are_checksums(tmp_path: Path, name: str) -> None:
    rate = 48000 if name == "Opus" else RATE
    data = write(tmp_path / "a", name, tones(60_000, rate, 2), rate).read_bytes()
    for place in (0.55, 0.7, 0.9):
        damaged = bytearray(data)
        damaged[int(place * len(data))] ^= 4
        (tmp_path / "b").write_bytes(damaged)
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / "b")
        assert error.value.kind == "cut off or damaged"


def test_missing_frames_in_the_middle_are_damage(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(-(2**19), 2**19, (1, 9_000))
    data = flac(values, 20)
    frame = (len(data) - 42) // 9
    (tmp_path / "a").write_bytes(data[: 42 + 4 * frame] + data[42 + 5 * frame :])
    mp3 = encode(tmp_path / "m", tones(50_000, RATE), RATE, "libmp3lame", "mp3", bit_rate=64_000).read_bytes()
    (tmp_path / "b").write_bytes(mp3[:5_000] + b"\x55" * 300 + mp3[5_000:])
    for name in ("a", "b"):
        with pytest.raises(AudioError) as error:
            audio.read(tmp_path / name)
        assert error.value.kind == "cut off or damaged"


@pytest.mark.parametrize("size, unknown", [
    (0xFFFFFFFF, True), (0xFFFFFFFF - 100, True), (0x7FFFF000, True), (0x7FFF0000, True), (0x7FFEFFFF, False),
    (96_000, False),
])  # fmt: skip
def test_sizes_that_count_nothing(size: int, unknown: bool) -> None:
    assert is_unknown_size(size) == unknown
    assert is_unknown_size(0, b"\x01\x00\x02\x00\x03\x00\x04\x00")
    assert not is_unknown_size(0, b"LIST\x10\x00\x00\x00") and not is_unknown_size(0)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0xFFFFFFFF - 100, 0x7FFFF000])
def test_wav_of_unknown_size_is_read_to_the_end(tmp_path: Path, size: int) -> None:
    wave = tones(48_000, 16000)
    audio.write(tmp_path / "a.wav", wave, 16000)
    data = bytearray((tmp_path / "a.wav").read_bytes())
    data[40:44] = struct.pack("<I", size)
    (tmp_path / "a.wav").write_bytes(data)
    np.testing.assert_allclose(audio.read(tmp_path / "a.wav").samples, wave, atol=2**-16)


def test_chunks_behind_the_samples_are_no_samples(tmp_path: Path) -> None:
    wave = tones(1_000, 16000)
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


def test_a_file_is_what_its_bytes_are(tmp_path: Path) -> None:
    """Suffixes and marks somewhere near the front do not count."""
    wave = tones(9_000, RATE, 2)
    for name in ("WAV", "FLAC", "MP3", "AAC", "Opus", "WavPack"):
        rate = 48000 if name == "Opus" else RATE
        path = write(tmp_path / "a.wav", name, wave, rate)
        expected = audio.read(path).samples
        for suffix in (".mp3", ".txt", ""):
            other = shutil.copy(path, tmp_path / f"b{suffix}")
            np.testing.assert_array_equal(audio.read(Path(other)).samples, expected)
    soundfile.write(tmp_path / "marks.wav", np.frombuffer(b"fLaCOggSID3\x04RIFFXingInfo" * 40, np.int16), 8000)
    assert audio.read(tmp_path / "marks.wav").samples.shape == (1, 480)


def test_what_is_no_audio_is_named(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("format", ["W64", "NIST", "WAV", "RF64", "AIFF", "AU", "CAF"])
def test_stated_counts_of_plain_samples_are_compared(tmp_path: Path, format: str) -> None:
    """libsndfile reads W64 and NIST to the end of the file, whatever they state."""
    wave = tones(5_001, RATE, 2)
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
def test_cut_off_avi_and_joined_asf(tmp_path: Path, codec: str, container: str) -> None:
    data = encode(tmp_path / "a", tones(40_000, 44100, 2), 44100, codec, container, bit_rate=128_000).read_bytes()
    assert audio.read(tmp_path / "a").samples.shape[1] >= 40_000
    (tmp_path / "a").write_bytes(data[: len(data) * 2 // 3] if container == "avi" else data + data)
    with pytest.raises(AudioError):
        audio.read(tmp_path / "a")


def test_rf64_without_its_sizes_is_read_to_the_end(tmp_path: Path) -> None:
    wave = tones(5_001, RATE)
    soundfile.write(tmp_path / "a", wave.T, RATE, format="RF64", subtype="FLOAT")
    (tmp_path / "a").write_bytes((tmp_path / "a").read_bytes().replace(b"ds64", b"none"))
    assert audio.read(tmp_path / "a").samples.shape == wave.shape


def test_id3_in_front_of_mp4(tmp_path: Path) -> None:
    """The zeros that may follow a tag are also the first bytes of a box."""
    data = encode(tmp_path / "a", tones(20_000, RATE), RATE, "libmp3lame", "mp4", bit_rate=64_000).read_bytes()
    (tmp_path / "b").write_bytes(b"ID3\3\0\0\0\0\0\x64" + bytes(100) + data)
    assert audio.info(tmp_path / "b").format == "MP4"
    np.testing.assert_array_equal(audio.read(tmp_path / "b").samples, audio.read(tmp_path / "a").samples)


def test_links_to_nothing_and_pipes_are_named(tmp_path: Path) -> None:
    (tmp_path / "link.wav").symlink_to("nowhere.wav")
    os.mkfifo(tmp_path / "pipe.wav")
    reasons = set()
    for name in ("link.wav", "pipe.wav", "missing.wav", "."):
        with pytest.raises(AudioError) as caught:
            audio.info(tmp_path / name)
        reasons.add(caught.value.reason)
    assert len(reasons) == 4


def test_apple_double_is_named(tmp_path: Path) -> None:
    path = tmp_path / "._x.mp3"
    path.write_bytes(b"\x00\x05\x16\x07" + bytes(4_092))
    with pytest.raises(AudioError, match="AppleDouble"):
        audio.info(path)


def test_no_library_writes_to_the_terminal(tmp_path: Path) -> None:
    """libmpg123 and FFmpeg print what they find; only our own line is to be seen."""
    mp3 = encode(tmp_path / "m", tones(50_000, RATE), RATE, "libmp3lame", "mp3", bit_rate=64_000).read_bytes()
    damaged = bytearray(mp3)
    damaged[4_000:4_100] = bytes(100)
    (tmp_path / "a.mp3").write_bytes(damaged)
    (tmp_path / "b.mp3").write_bytes(np.random.default_rng(0).bytes(2_000))
    (tmp_path / "c.m4a").write_bytes(
        encode(tmp_path / "c", tones(9_000, RATE), RATE, "aac", "mp4").read_bytes()[:-2_000]
    )
    # One frame without a tag, and Musepack whose index is said to lie where no file can reach.
    plain = {"write_xing": "0", "id3v2_version": "0"}
    frames = encode(
        tmp_path / "d", tones(9_000, 32000), 32000, "libmp3lame", "mp3", bit_rate=64_000, container_options=plain
    ).read_bytes()
    (tmp_path / "d.mp3").write_bytes(frames[:288])
    (tmp_path / "e.mpc").write_bytes(b"MPCKS" + b"\xc8" * 60)
    script = (
        "import sys; from pathlib import Path; from codec import audio\n"
        "for name in sys.argv[1:]:\n"
        "    try: audio.info(Path(name)), audio.read(Path(name))\n"
        "    except audio.AudioError: print('refused')\n"
    )
    names = [str(tmp_path / name) for name in ("a.mp3", "b.mp3", "c.m4a", "d.mp3", "e.mpc")]
    done = subprocess.run([sys.executable, "-c", script, *names], capture_output=True, text=True, check=True)
    assert done.stderr == "" and done.stdout == "refused\n" * 4


def test_the_default_of_several_audio_streams_is_read(tmp_path: Path) -> None:
    import av

    waves = [tones(20_000, 48000, 1, seed) for seed in (1, 2)]
    with av.open(str(tmp_path / "a.mka"), "w", format="matroska") as output:
        streams = [output.add_stream("flac", rate=48000) for _ in waves]
        for stream in streams:
            stream.layout, stream.format = "mono", "s16"
        for stream, wave in zip(streams, waves):
            frame = av.AudioFrame.from_ndarray(np.rint(wave * 2**15).astype(np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48000, 0
            for packet in (*stream.encode(frame), *stream.encode(None)):
                output.mux(packet)
    assert audio.info(tmp_path / "a.mka").other_streams == 1
    assert lag(audio.read(tmp_path / "a.mka").samples[0], waves[0][0]) == 0


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """Peak memory of a process that reads 5 s and of one that reads 105 s of the same format."""
    script = (
        "import sys, resource; from pathlib import Path; from codec import audio\n"
        "for block in audio.blocks(Path(sys.argv[1])): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    second = tones(48_000, 48000)
    for suffix in (".flac", ".opus"):
        peaks = []
        for seconds in (5, 105):
            with audio.AudioWriter(tmp_path / f"{seconds}{suffix}", 48000, 1) as writer:
                for _ in range(seconds):
                    writer.write(second)
            command = [sys.executable, "-c", script, str(tmp_path / f"{seconds}{suffix}")]
            peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        assert peaks[1] - peaks[0] < 8_000  # kB; the samples would be 19,000


def test_a_shorter_claim_of_ogg_positions_trims_the_end(tmp_path: Path) -> None:
    """End trimming is what the last page says (RFC 7845, section 4.4)."""
    data = write(tmp_path / "a", "Opus", tones(150_000, 48000), 48000).read_bytes()
    before, count = audio.read(tmp_path / "a").samples, len(list(ogg_pages(data)))

    def change(number: int, page: bytearray) -> None:
        if number == count - 1:
            page[6:14] = struct.pack("<Q", int.from_bytes(page[6:14], "little") - 100)

    (tmp_path / "a").write_bytes(edit_ogg(data, change))
    np.testing.assert_array_equal(audio.read(tmp_path / "a").samples, before[:, :-100])
