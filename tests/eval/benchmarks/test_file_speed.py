"""Files coded by two builds and by libopus, timed in turns. No timing is asserted."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

import codec
from codec import audio
from codec.errors import UserError
from codec.pretrained.checkpoint import save_model
from eval.benchmarks.build_process import BuildProcess, unpack_wheel
from eval.benchmarks.file_speed import FileCoder, build_coder, opus_coder, time_files
from eval.benchmarks.speed import SpeedOptions, run_speed_benchmark
from tests.helpers.coding import wire_codec

PACKAGE = Path(codec.__file__).parent


def write_noise(path: Path, seconds: float) -> Path:
    samples = np.random.default_rng(0).standard_normal((1, round(16000 * seconds)), np.float32)
    audio.write(path, 0.1 * samples, 16000)
    return path


@pytest.mark.long
def test_another_build_is_timed_beside_this_one(tmp_path):
    """The other build is a copy of this one that leaves a trace."""
    save_model(tmp_path / "model", wire_codec(), {})
    with zipfile.ZipFile(tmp_path / "other.whl", "w") as wheel:
        for path in PACKAGE.rglob("*.py"):
            wheel.write(path, path.relative_to(PACKAGE.parent))
        wheel.writestr("sitecustomize.py", f"open({str(tmp_path / 'ran')!r}, 'a').write('x')")
    name, source = str(tmp_path / "model"), write_noise(tmp_path / "x.wav", 3.0)
    options = SpeedOptions(
        seconds=(0.5,), rounds=2, against=tmp_path / "other.whl", audio=source, kbps=(1.0,), memory_minutes=(0.1,)
    )
    result = run_speed_benchmark([name], options)
    assert (tmp_path / "ran").read_text() == "x"
    systems = [name, f"{name}, int8", f"{name}, other"]
    assert [(one.name, one.measured, one.kbps) for one in result.timings[3:]] == [
        (system, "file", kbps) for kbps in (None, 1.0) for system in systems
    ]
    assert [one.name for one in result.timings[:3]] == systems
    assert {(one.timing.name, one.timing.measured, one.relative_to) for one in result.ratios} == {
        (system, measured, systems[2]) for system in systems[:2] for measured in ("array", "file")
    }
    assert all(one.encode.rounds == one.decode.rounds == 2 for one in result.timings)


def test_the_time_of_the_first_second_is_subtracted(tmp_path, monkeypatch):
    clock = iter(range(1000))
    lengths: list[float] = []

    def code(source: Path, target: Path) -> None:
        lengths.append(audio.info(source).frames / 16000)
        target.write_bytes(source.read_bytes())
        for _ in range(round(lengths[-1])):  # a second of work for each second of audio
            next(clock)

    monkeypatch.setattr("eval.benchmarks.file_speed.time.perf_counter", lambda: float(next(clock)))
    coder = FileCoder("a", 1.0, ".wav", code, code)
    (found,) = time_files([coder], write_noise(tmp_path / "x.wav", 5.0), 2, tmp_path, quiet=True)
    assert lengths == [1.0, 1.0, *[5.0, 5.0, 1.0, 1.0] * 2]  # a warm-up, and two rounds
    assert (
        found.seconds == 4.0
        and [(one.number, one.encode_s, one.decode_s) for one in found.times] == [(0, 4.0, 4.0), (1, 4.0, 4.0)]
        and found.encode.median == 1.0
    )


def test_libopus_codes_files_if_there_is_ffmpeg(tmp_path):
    coder = opus_coder(6.0)
    if coder is None:
        pytest.skip("no ffmpeg with libopus")
    source, coded, decoded = write_noise(tmp_path / "x.wav", 2.0), tmp_path / "x.opus", tmp_path / "y.wav"
    coder.encode(source, coded)
    coder.decode(coded, decoded)
    assert coded.stat().st_size < 4000 and len(audio.read(decoded).samples[0]) == pytest.approx(96000, abs=480)
    with pytest.raises(UserError, match="ffmpeg"):
        coder.decode(source.with_name("absent.opus"), decoded)


def test_a_failed_command_and_a_damaged_wheel_are_errors_of_one_line(tmp_path):
    (tmp_path / "no.whl").write_bytes(b"no archive")
    for wheel in ("no.whl", "absent.whl"):
        with pytest.raises(UserError, match="wheel"):
            unpack_wheel(tmp_path / wheel, tmp_path / "other")
    short = write_noise(tmp_path / "short.wav", 1.0)
    with pytest.raises(UserError, match="short"):
        time_files([], short, 1, tmp_path)
    with BuildProcess("this build", PACKAGE.parent, 1) as build, pytest.raises(UserError, match="no_such") as error:
        build_coder(build, "a", "no_such_model", None).encode(short, tmp_path / "a.nac")
    assert "\n" not in str(error.value)
