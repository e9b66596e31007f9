"""Packed arrays: samples, repairs, and interrupted runs."""

import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.dataset import location, sealed_test
from codec.dataset.array_checksums import Shard
from codec.errors import UserError
from data_prep import pack
from data_prep.clip_writer import ClipTask, write_clip
from data_prep.segments import AudioSegment
from tests.helpers.audio import write_audio
from tests.helpers.disk import contents
from tests.helpers.preparation import (
    RATE,
    assert_packed_equals_sources,
    rows_by_name,
    run_prepare,
    seconds_of_noise,
    write_groups,
)
from tests.helpers.shards import prepared_in_shards


def test_clips_are_mixed_and_resampled(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", groups=30, clips=1)
    left, right = seconds_of_noise(1.0, 1, rate=44100), seconds_of_noise(1.0, 2, rate=44100)
    write_audio(audio_dir / "speaker00/stereo.wav", np.stack([left, right]), 44100, "FLOAT")
    write_audio(audio_dir / "speaker00/mono.wav", left, 44100, "FLOAT")
    for channels, waves in (
        (1, ((left + right) / 2, left)),
        (2, (np.stack([left, right]), np.stack([left, left]))),
    ):
        run_prepare(audio_dir, tmp_path / "out", channels=channels)
        split_name = rows_by_name(tmp_path / "out")["mono.wav"].split
        split = (
            location.open_split(tmp_path / "out", split_name, RATE, channels)  # type: ignore[arg-type]
            if split_name != "test"
            else sealed_test.open_sealed_test(
                tmp_path / "out", RATE, channels, run="", weights=[], purpose="demonstration"
            ).split
        )
        for name, wave in zip(("stereo.wav", "mono.wav"), waves, strict=True):
            i = next(i for i, clip in enumerate(split.clips) if clip.path.name == name)
            wanted = audio.resample(np.atleast_2d(wave).astype(np.float32), 44100, RATE)
            np.testing.assert_allclose(split.waveform(i), wanted, atol=1.01 / 65536)


@pytest.mark.parametrize("sign, stored_peak", [(1, 32767), (-1, -32768)])
def test_loud_clips_are_scaled_not_clipped(tmp_path: Path, sign: int, stored_peak: int) -> None:
    wave = seconds_of_noise(1.0, 1)
    wave[700] = 2.5 * sign
    path = write_audio(tmp_path / "loud.wav", wave, RATE, subtype="FLOAT")
    target = tmp_path / "stored"
    target.touch()
    write_clip(ClipTask(AudioSegment(path), target, 0, RATE, RATE, 1))
    stored = np.fromfile(target, "<i2")
    assert stored[700] == stored_peak
    np.testing.assert_allclose(stored, wave * stored_peak / wave[700], atol=0.51)


def test_arrays_of_an_interrupted_run_cannot_be_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio_dir, out = write_groups(tmp_path / "audio", groups=30), tmp_path / "out"
    run_prepare(audio_dir, out)
    write_audio(audio_dir / "speaker00/more.flac", seconds_of_noise(1.0, 12345), RATE)
    monkeypatch.setattr(pack, "write_clip", lambda task: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        run_prepare(audio_dir, out)
    with pytest.raises(UserError, match=str(out)):
        location.open_split(out, "train", RATE, 1)
    monkeypatch.setattr(pack, "write_clip", write_clip)
    run_prepare(audio_dir, out)
    assert_packed_equals_sources(out)


def test_checksums_are_not_written_after_every_array_if_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written, write = [], pack._write_checksums

    def write_slowly(folder: Path, shards: Mapping[str, Shard]) -> None:
        time.sleep(1)
        written.append(len(shards))
        write(folder, shards)

    monkeypatch.setattr(pack, "_write_checksums", write_slowly)
    split = location.open_split(prepared_in_shards(tmp_path), "train", RATE, 1)
    assert len(split.shards) > 3 and len(written) == 2 and written[0] == 1
    split.verify()


def test_damaged_arrays_are_written_again(tmp_path: Path) -> None:
    """A flipped bit, a truncated array, a missing one, and the partial file of a killed process."""
    audio_dir, out = write_groups(tmp_path / "audio"), tmp_path / "out"
    run_prepare(audio_dir, out)
    folder = out / "packed/16000x1"
    before = contents(folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in ("train-00000.npy", "val-00000.npy")}

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)

    damages = [flip, lambda path: path.write_bytes(path.read_bytes()[:9000]), lambda path: path.unlink()]
    for damage in damages:
        damage(folder / "train-00000.npy")
        (folder / ".train-00000.npy.99999.part").write_bytes(b"x")
        summary = run_prepare(audio_dir, out)
        assert any("train-00000.npy" in line for line in summary.advice)
        assert contents(folder) == before
    assert (folder / "val-00000.npy").stat().st_mtime_ns == times["val-00000.npy"]
    assert not any("damaged" in line for line in run_prepare(audio_dir, out).advice)
