"""The audio scan: measurements against direct computations, checks of clips, and the journal."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal as dsp

from codec.audio.statistics import AudioStats
from data_prep.journal import SCAN_JOURNAL, ScanRecord
from data_prep.scan import check_clip, scan_file
from data_prep.segments import AudioSegment
from tests.helpers.audio import write_audio
from tests.helpers.preparation import (
    RATE,
    assert_packed_equals_sources,
    read_manifest,
    rows_by_name,
    run_prepare,
    seconds_of_noise,
    write_groups,
)


def scan_written(path: Path, waveform: np.ndarray, subtype: str | None = None) -> AudioStats:
    """Write a file, scan it and return its measurements."""
    return scan_file(AudioSegment(write_audio(path, waveform, RATE, subtype))).stats


def test_every_damaged_file_is_listed_with_its_reason(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio")
    good = write_audio(audio_dir / "x/good.flac", seconds_of_noise(2.0, 1), RATE)
    (audio_dir / "x/truncated.flac").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    wav = write_audio(audio_dir / "x/whole.wav", seconds_of_noise(2.0, 2), RATE)
    (audio_dir / "x/truncated.wav").write_bytes(wav.read_bytes()[:20000])
    write_audio(audio_dir / "x/zero.wav", np.zeros(0), RATE)
    write_audio(audio_dir / "x/nan.wav", np.where(np.arange(RATE) == 50, np.nan, 0.1), RATE, subtype="FLOAT")
    (audio_dir / "x/text.wav").write_text("no sound")
    (audio_dir / "x/empty.wav").touch()
    (audio_dir / "x/film.m4a").write_bytes(b"\0\0\0\x18ftypM4A ")
    write_audio(audio_dir / "x/silent.wav", np.zeros(RATE), RATE)
    write_audio(audio_dir / "x/clipped.wav", np.clip(seconds_of_noise(1.0, 3, 1.0), -1, 1), RATE)
    write_audio(audio_dir / "x/short.wav", seconds_of_noise(0.1, 4), RATE)
    write_audio(audio_dir / "y/same.wav", soundfile.read(good)[0], RATE)
    write_audio(audio_dir / "y/loud.wav", np.append(seconds_of_noise(1.0, 5), 1.5), RATE, subtype="FLOAT")
    (audio_dir / "y/notes.txt").write_text("not listed")
    summary = run_prepare(audio_dir, tmp_path / "out")
    rows = rows_by_name(tmp_path / "out")
    kinds = {name: row.reason.partition(":")[0] for name, row in rows.items() if row.status == "excluded"}
    assert kinds == {
        "truncated.flac": "cut off or damaged", "truncated.wav": "cut off or damaged", "zero.wav": "empty",
        "nan.wav": "NaN or infinity", "text.wav": "unreadable", "empty.wav": "empty",
        "film.m4a": "unreadable", "silent.wav": "silent", "clipped.wav": "clipped",
        "short.wav": "too short", "same.wav": "duplicate",
    }  # fmt: skip
    assert "good.flac" in rows["same.wav"].reason
    assert rows["loud.wav"].status == "warned"
    assert sum(summary.excluded.values()) == 11 and summary.excluded["empty"] == 2
    assert summary.files == 24 + 14
    text = summary.text()
    assert "2 empty" in text and str(tmp_path / "out" / "manifest.csv") in text


def test_measurements_agree_with_a_direct_computation(tmp_path: Path) -> None:
    rate = 44100
    cut = dsp.sosfiltfilt(dsp.butter(12, 5000, fs=rate, output="sos"), seconds_of_noise(3.0, 1, rate=rate))
    cut[rate : 2 * rate] *= 0.01
    stereo = np.stack([cut, 0.5 * cut])
    path = write_audio(tmp_path / "a.wav", stereo, rate, "FLOAT")
    record = scan_file(AudioSegment(path))
    read = soundfile.read(path)[0]
    frames = read[: len(read) // 882 * 882].reshape(-1, 882, 2)
    quiet = np.sort((frames**2).mean(axis=(1, 2)))[: len(frames) // 10].mean()
    assert (record.stats.sample_rate, record.stats.channels, record.stats.frames, record.format) == (
        rate,
        2,
        3 * rate,
        "WAV/FLOAT",
    )
    assert record.stats.rms_dbfs == pytest.approx(10 * np.log10((read**2).mean()), abs=1e-3)
    assert record.stats.mix_rms_dbfs == pytest.approx(10 * np.log10((read.mean(axis=1) ** 2).mean()), abs=1e-3)
    assert record.stats.peak_dbfs == pytest.approx(20 * np.log10(np.abs(read).max()), abs=1e-3)
    assert record.stats.noise_dbfs == pytest.approx(10 * np.log10(quiet), abs=1e-3)


def test_bandwidth_ends_where_the_band_does(tmp_path: Path) -> None:
    for edge_hz in (2000, 4000, 6000):
        taps = dsp.firwin(2001, edge_hz, fs=RATE, window=("kaiser", 12.0))
        path = write_audio(tmp_path / "a.wav", dsp.fftconvolve(seconds_of_noise(3.0, 1), taps), RATE, subtype="PCM_24")
        assert scan_file(AudioSegment(path)).stats.bandwidth_hz == pytest.approx(edge_hz, abs=60)


def test_bandwidth_of_noise_is_everything_and_of_silence_nothing(tmp_path: Path) -> None:
    assert scan_written(tmp_path / "a.wav", seconds_of_noise(1, 0)).bandwidth_hz > 7900
    assert scan_written(tmp_path / "b.wav", np.zeros(RATE)).bandwidth_hz == 0


def test_the_hash_depends_on_the_samples_alone(tmp_path: Path) -> None:
    wave = (32768 * seconds_of_noise(1.0, 0)).astype(np.int16)
    hashes = {scan_written(tmp_path / name, wave).sha256 for name in ("a.wav", "a.flac", "a.aiff")}
    assert len(hashes) == 1
    wave[77] += 1
    assert scan_written(tmp_path / "b.wav", wave).sha256 not in hashes


def test_antiphase_is_silent_in_mono_only(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio", clips=1)
    wave = seconds_of_noise(1.0, 7)
    write_audio(audio_dir / "speaker00/anti.wav", np.stack([wave, -wave]), RATE)
    run_prepare(audio_dir, tmp_path / "out")
    assert "mixed to one channel" in rows_by_name(tmp_path / "out")["anti.wav"].reason
    run_prepare(audio_dir, tmp_path / "out2", channels=2)
    assert rows_by_name(tmp_path / "out2")["anti.wav"].status == "ok"


def test_a_changed_file_is_measured_again(tmp_path: Path) -> None:
    audio_dir = write_groups(tmp_path / "audio")
    run_prepare(audio_dir, tmp_path / "out")
    write_audio(audio_dir / "speaker03/1.flac", seconds_of_noise(2.5, 999), RATE)
    run_prepare(audio_dir, tmp_path / "out")
    row = next(row for row in read_manifest(tmp_path / "out") if row.path.endswith("03/1.flac"))
    assert row.seconds == 2.5
    assert_packed_equals_sources(tmp_path / "out")


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe\x00garbage\n", b"\x00" * 50 + b"\n", b"[" * 100_000 + b"\n", b'{"v": 2}\n', b"[1, 2]\n",
        b'{"v": 2, "path": 7, "size": "x"}\n', b'{"v": ' + b"9" * 5000 + b"}\n",
    ],
)  # fmt: skip
def test_files_of_damaged_lines_in_the_journal_are_measured_again(tmp_path: Path, damage: bytes) -> None:
    audio_dir, out = write_groups(tmp_path / "audio", groups=4, clips=1), tmp_path / "out"
    run_prepare(audio_dir, out)
    journal = out / SCAN_JOURNAL
    good = journal.read_bytes()
    wrong = good.replace(b'"frames": 16000', b'"frames": "many"', 1).replace(
        b'"rms_dbfs": -', b'"rms_dbfs": NaN, "x": -', 1
    )
    before = (out / "manifest.csv").read_bytes()
    for content in (damage + good, good + damage[:-1], wrong):
        journal.write_bytes(content)
        run_prepare(audio_dir, out)
        assert (out / "manifest.csv").read_bytes() == before


@pytest.mark.parametrize(
    ("record", "status", "kind"),
    [
        (ScanRecord("a", 1, 1, "empty", "empty"), "excluded", "empty"),
        ({"mix_rms_dbfs": -60.1}, "excluded", "silent"),
        ({"frames": 7999}, "excluded", "too short"),
        ({"clipped_share": 0.0011}, "excluded", "clipped"),
        ({"clipped_share": 0.0009}, "warned", "some clipping"),
        ({"clipped_share": 0.00009}, "ok", ""),
        ({"peak_dbfs": 0.1}, "warned", "beyond full scale"),
        ({"sample_rate": 8000}, "warned", "low rate"),
    ],
)
def test_clips_are_checked_against_limits(record: ScanRecord | dict[str, float], status: str, kind: str) -> None:
    if isinstance(record, dict):
        good = {"sample_rate": RATE, "frames": 8000, "peak_dbfs": -1.0, "rms_dbfs": -20.0, "mix_rms_dbfs": -20.0}
        record = ScanRecord("a", 1, 1, stats=AudioStats(**{**good, **record}))  # type: ignore[arg-type]
    check = check_clip(record, min_seconds=0.5, sample_rate=RATE, channels=1)
    assert (check.status, check.reason.partition(":")[0]) == (status, kind)
