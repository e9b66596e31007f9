"""Reading of files of any format: blocks, joined files, streams, lengths, memory."""

import io
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
from codec.errors import UserError
from tests.helpers.audio import chirps, encode_with_ffmpeg, lag, noise
from tests.helpers.audio_formats import LIBSNDFILE, RATES, WRITERS, write_format

RATE = 44100


@pytest.mark.parametrize("name", ["WAV", "FLAC", "Vorbis", "Opus", "MP3", "AAC"])
def test_bytes_and_open_files_are_read_like_the_file(tmp_path: Path, name: str) -> None:
    rate = RATES.get(name, (RATE,))[-1]
    path = write_format(tmp_path / "a", name, chirps(rate, rate, 2, 0), rate)
    whole = audio.read(path)
    content = path.read_bytes()
    with path.open("rb") as file:
        found = [audio.read(each) for each in (str(path), content, bytearray(content), memoryview(content), file)]
        assert not file.closed
    for each in found:
        assert each.sample_rate == whole.sample_rate
        np.testing.assert_array_equal(each.samples, whole.samples)


def test_what_is_no_audio_in_memory_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", chirps(RATE, RATE, 1, 0).T, RATE)
    cut_off = (tmp_path / "a.flac").read_bytes()[:9000]
    for content, kind in ((b"no sound", "unreadable"), (cut_off, "cut off or damaged")):
        with pytest.raises(AudioError) as caught:
            audio.read(content)
        assert caught.value.kind == kind
        assert str(tmp_path.parent) not in str(caught.value)
    for source in (io.StringIO("no sound"), 3):
        with pytest.raises(UserError):
            audio.read(source)  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3"])
def test_blocks_join_to_what_libsndfile_reads_at_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    audio.write(path, noise(2, 70001, level=0.2), 48000)
    blocks = list(audio.blocks(path, 4096))
    assert all(block.shape[0] == 2 and block.shape[1] <= 4096 for block in blocks)
    whole = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    np.testing.assert_allclose(np.concatenate(blocks, axis=1), whole, atol=1e-5)


def read_in_blocks(path: Path, size: int) -> np.ndarray:
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
    path = write_format(tmp_path / "file", name, chirps(samples, rate, channels, seed), rate)
    whole = audio.read(path)
    np.testing.assert_array_equal(read_in_blocks(path, max(size, whole.samples.shape[1] // 400)), whole.samples)
    info = audio.info(path)
    assert (info.sample_rate, info.channels) == (
        whole.sample_rate,
        whole.samples.shape[0],
    ) and channels == info.channels
    assert info.frames in (None, whole.samples.shape[1])
    assert whole.samples.shape[1] * rate >= samples * whole.sample_rate  # nothing is lost


def bursts(rate: int) -> np.ndarray:
    """Return a noise floor with bursts around multiples of 65,536 samples, which need the bit reservoir of MP3."""
    rng = np.random.default_rng(0)
    wave = 1e-3 * rng.standard_normal(4 * 65_536)
    t = np.arange(8_000) / rate
    for number in range(1, 4):
        start = number * 65_536 - 1_500
        wave[start : start + 8_000] += 0.1 * sum(np.sin(2 * np.pi * hz * t) for hz in (310, 620, 930, 1240, 2170, 3100))
    return wave[None].astype(np.float32)


@pytest.mark.parametrize("bit_rate", [32_000, 0])
def test_mp3_is_decoded_without_seeking(tmp_path: Path, bit_rate: int) -> None:
    options = {} if bit_rate else {"compression_level": "2", "global_quality": str(6 * 118), "flags": "+qscale"}
    path = encode_with_ffmpeg(
        tmp_path / "a", bursts(RATE), RATE, "libmp3lame", "mp3", bit_rate=bit_rate or None, options=options
    )
    at_once = soundfile.read(path, dtype="float32", always_2d=True)[0].T
    for size in (1_024, 65_536, 1 << 20):
        read = read_in_blocks(path, size)
        assert read.shape == at_once.shape == (1, 4 * 65_536)
        np.testing.assert_allclose(read, at_once, atol=2e-5)


@pytest.mark.parametrize("name", ["MP3", "Opus", "Vorbis", "FLAC", "Ogg FLAC", "AAC in ADTS", "MP2"])
def test_joined_files_are_read_to_the_end(tmp_path: Path, name: str) -> None:
    """The same stream twice, and streams that differ."""
    rate = 48000 if name == "Opus" else RATE
    first = write_format(tmp_path / "a", name, chirps(30_000, rate, 1, 1), rate)
    second = write_format(tmp_path / "b", name, chirps(20_000, rate, 1, 2), rate)
    one, other = audio.read(first).samples, audio.read(second).samples
    for parts in ((first, second), (first, first), (second, first, second)):
        joined = tmp_path / "joined"
        joined.write_bytes(b"".join(part.read_bytes() for part in parts))
        read = read_in_blocks(joined, 4_096)
        expected = np.concatenate([one if part is first else other for part in parts], axis=1)
        assert read.shape == expected.shape
        if name not in ("AAC in ADTS", "MP2"):  # their decoders keep a state over the seam
            np.testing.assert_array_equal(read, expected)
        if name in ("MP3", "Opus", "Vorbis") and parts[0] is not parts[-1]:
            assert audio.info(joined).frames is None


@pytest.mark.parametrize("name", ["MP3", "Opus", "Vorbis", "FLAC", "Ogg FLAC", "AAC in ADTS"])
@pytest.mark.parametrize("rate, channels", [(22050, 1), (44100, 2)])
def test_a_change_of_sample_rate_or_channels_is_refused(tmp_path: Path, name: str, rate: int, channels: int) -> None:
    if name == "Opus" and channels == 1:
        pytest.skip("Opus has one rate")
    opus = name == "Opus"
    first = write_format(
        tmp_path / "a", name, chirps(44_100, RATE, 1, 1) if not opus else chirps(48_000, 48000), 48000 if opus else RATE
    )
    second = write_format(tmp_path / "b", name, chirps(20_000, rate, channels, 2), 48000 if opus else rate)
    (tmp_path / "c").write_bytes(first.read_bytes() + second.read_bytes())
    with pytest.raises(AudioError, match=r" at 1\.\d\d s") as error:
        audio.read(tmp_path / "c")
    assert error.value.kind == "unreadable"


def test_the_default_of_several_audio_streams_is_read(tmp_path: Path) -> None:
    import av

    waves = [chirps(20_000, 48000, 1, seed) for seed in (1, 2)]
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


def test_no_library_writes_to_the_terminal(tmp_path: Path) -> None:
    """libmpg123 and FFmpeg print warnings unless prevented."""
    mp3 = encode_with_ffmpeg(
        tmp_path / "m", chirps(50_000, RATE), RATE, "libmp3lame", "mp3", bit_rate=64_000
    ).read_bytes()
    damaged = bytearray(mp3)
    damaged[4_000:4_100] = bytes(100)
    (tmp_path / "a.mp3").write_bytes(damaged)
    (tmp_path / "b.mp3").write_bytes(np.random.default_rng(0).bytes(2_000))
    (tmp_path / "c.m4a").write_bytes(
        encode_with_ffmpeg(tmp_path / "c", chirps(9_000, RATE), RATE, "aac", "mp4").read_bytes()[:-2_000]
    )
    # One frame without a tag, and Musepack whose index lies beyond the end of any file.
    plain = {"write_xing": "0", "id3v2_version": "0"}
    frames = encode_with_ffmpeg(
        tmp_path / "d", chirps(9_000, 32000), 32000, "libmp3lame", "mp3", bit_rate=64_000, container_options=plain
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


def test_memory_does_not_grow_with_the_length(tmp_path: Path) -> None:
    """Peak memory of a process that reads 5 s and of one that reads 105 s of the same format."""
    script = (
        "import sys, resource; from pathlib import Path; from codec import audio\n"
        "for block in audio.blocks(Path(sys.argv[1])): pass\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    second = chirps(48_000, 48000)
    for suffix in (".flac", ".opus"):
        peaks = []
        for seconds in (5, 105):
            with audio.AudioWriter(tmp_path / f"{seconds}{suffix}", 48000, 1) as writer:
                for _ in range(seconds):
                    writer.write(second)
            command = [sys.executable, "-c", script, str(tmp_path / f"{seconds}{suffix}")]
            peaks.append(int(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        assert peaks[1] - peaks[0] < 8_000  # kB; the samples would be 19,000
