import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy import signal as dsp

from codec import audio
from codec.config import TargetConfig
from codec.dataset import packed, sealed_test
from codec.errors import UserError
from codec.runtime import process_pool
from data_prep import pack, scan
from data_prep.groups import FOLDER, Grouping, group_entries
from data_prep.manifest import ABSENT_REASON, ManifestRow, read_rows
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.segments import AudioSegment
from data_prep.sources import find_audio

RATE = 16000


def noise(seconds: float, seed: int, level: float = 0.1, rate: int = RATE) -> np.ndarray:
    return level * np.random.default_rng(seed).standard_normal(int(seconds * rate))


def put(path: Path, wave: np.ndarray, rate: int = RATE, subtype: str = "PCM_16") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, subtype=subtype)
    return path


def tree(folder: Path, groups: int = 12, clips: int = 2) -> Path:
    for group in range(groups):
        for clip in range(clips):
            put(folder / f"speaker{group:02d}/{clip}.flac", noise(1.0, 100 * group + clip))
    return folder


def rows_of(out: Path) -> dict[str, ManifestRow]:
    return {Path(row.path).name: row for row in read_rows(out / "manifest.csv")}


def snapshot(out: Path) -> dict[str, bytes]:
    return {str(file.relative_to(out)): file.read_bytes() for file in out.rglob("*") if file.is_file()}


# Inventory


def test_every_damaged_file_is_listed_with_its_reason(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio")
    good = put(audio_dir / "x/good.flac", noise(2.0, 1))
    (audio_dir / "x/truncated.flac").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    wav = put(audio_dir / "x/whole.wav", noise(2.0, 2))
    (audio_dir / "x/truncated.wav").write_bytes(wav.read_bytes()[:20000])
    put(audio_dir / "x/zero.wav", np.zeros(0))
    put(audio_dir / "x/nan.wav", np.where(np.arange(RATE) == 50, np.nan, 0.1), subtype="FLOAT")
    (audio_dir / "x/text.wav").write_text("no sound")
    (audio_dir / "x/empty.wav").touch()
    (audio_dir / "x/film.m4a").write_bytes(b"\0\0\0\x18ftypM4A ")
    put(audio_dir / "x/silent.wav", np.zeros(RATE))
    put(audio_dir / "x/clipped.wav", np.clip(noise(1.0, 3, 1.0), -1, 1))
    put(audio_dir / "x/short.wav", noise(0.1, 4))
    put(audio_dir / "y/same.wav", soundfile.read(good)[0])
    put(audio_dir / "y/loud.wav", np.append(noise(1.0, 5), 1.5), subtype="FLOAT")
    (audio_dir / "y/notes.txt").write_text("not listed")
    summary = prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    rows = rows_of(tmp_path / "out")
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
    cut = dsp.sosfiltfilt(dsp.butter(12, 5000, fs=rate, output="sos"), noise(3.0, 1, rate=rate))
    cut[rate : 2 * rate] *= 0.01
    stereo = np.stack([cut, 0.5 * cut], axis=1)
    path = put(tmp_path / "a.wav", stereo, rate, "FLOAT")
    record = scan.scan_file(AudioSegment(path))
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
        path = put(tmp_path / "a.wav", dsp.fftconvolve(noise(3.0, 1), taps), subtype="PCM_24")
        assert scan.scan_file(AudioSegment(path)).stats.bandwidth_hz == pytest.approx(edge_hz, abs=60)


def test_bandwidth_of_noise_is_everything_and_of_silence_nothing(tmp_path: Path) -> None:
    assert scan.scan_file(AudioSegment(put(tmp_path / "a.wav", noise(1, 0)))).stats.bandwidth_hz > 7900
    assert scan.scan_file(AudioSegment(put(tmp_path / "b.wav", np.zeros(RATE)))).stats.bandwidth_hz == 0


def test_the_hash_is_of_the_samples_whatever_the_container(tmp_path: Path) -> None:
    wave = (32768 * noise(1.0, 0)).astype(np.int16)
    hashes = {
        scan.scan_file(AudioSegment(put(tmp_path / name, wave))).stats.sha256 for name in ("a.wav", "a.flac", "a.aiff")
    }
    assert len(hashes) == 1
    wave[77] += 1
    assert scan.scan_file(AudioSegment(put(tmp_path / "b.wav", wave))).stats.sha256 not in hashes


def test_antiphase_is_silent_in_mono_only(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio", clips=1)
    wave = noise(1.0, 7)
    put(audio_dir / "speaker00/anti.wav", np.stack([wave, -wave], axis=1))
    prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    assert "mixed to one channel" in rows_of(tmp_path / "out")["anti.wav"].reason
    prepare([audio_dir], tmp_path / "out2", PrepareOptions(sample_rate=RATE, channels=2, workers=1))
    assert rows_of(tmp_path / "out2")["anti.wav"].status == "ok"


# Running again


def test_a_second_run_changes_nothing_and_decodes_nothing(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio")
    prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    before = snapshot(tmp_path / "out")
    times = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").rglob("*.npy")}
    # Same size, same time, other content: read again, the second run would notice.
    clip = audio_dir / "speaker03/1.flac"
    stat = clip.stat()
    clip.write_bytes(bytes(stat.st_size))
    os.utime(clip, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    assert snapshot(tmp_path / "out") == before
    assert {file: file.stat().st_mtime_ns for file in times} == times


def test_a_changed_file_is_measured_again(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio")
    prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    put(audio_dir / "speaker03/1.flac", noise(2.5, 999))
    prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    row = next(row for row in read_rows(tmp_path / "out/manifest.csv") if row.path.endswith("03/1.flac"))
    assert row.seconds == 2.5
    assert_packed_equals_sources(tmp_path / "out")


def assert_packed_equals_sources(out: Path, rate: int = RATE) -> None:
    """Every clip of the open splits, against libsndfile."""
    for name in ("train", "val"):
        split = packed.open_split(out, name, rate, 1)
        for i, clip in enumerate(split.clips):
            np.testing.assert_array_equal(32768 * split.waveform(i)[0], soundfile.read(clip.path, dtype="int16")[0])


def test_groups_stay_when_files_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "SHARD_BYTES", 2 * RATE * 5)
    audio_dir, out = tree(tmp_path / "audio", groups=20), tmp_path / "out"
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    before = {row.group: row.split for row in read_rows(out / "manifest.csv")}
    tree(tmp_path / "more", groups=30, clips=3)
    shutil.move(tmp_path / "more", audio_dir / "more")
    shutil.rmtree(audio_dir / "speaker05")
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, ratios="6:2:2", seed=3, workers=1))
    rows = read_rows(out / "manifest.csv")
    after = {row.group: row.split for row in rows}
    assert {group: after[group] for group in before} == before
    gone = [row for row in rows if row.group == "speaker05"]
    assert [(row.status, row.reason) for row in gone] == [("excluded", ABSENT_REASON)] * 2
    assert {row.group for row in rows} >= {f"more/speaker{n:02d}" for n in range(20, 30)}
    assert len(list((out / "packed/16000x1").glob("train-*.npy"))) > 3
    assert_packed_equals_sources(out)
    # What had left returns to where it was.
    shutil.move(audio_dir / "more", tmp_path / "more")
    tree(audio_dir, groups=20)
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    again = {row.group: row.split for row in read_rows(out / "manifest.csv")}
    assert {group: again[group] for group in before} == before
    assert_packed_equals_sources(out)


@pytest.mark.usefixtures("interruptible")
def test_killed_at_any_moment_it_goes_on(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio", groups=40, clips=3)
    prepare([audio_dir], tmp_path / "whole", PrepareOptions(sample_rate=24000, workers=1))
    script = (
        "import sys; from pathlib import Path; from data_prep.prepare import PrepareOptions, prepare\n"
        "prepare([Path(sys.argv[1])], Path(sys.argv[2]), PrepareOptions(sample_rate=24000, workers=1))\n"
    )
    out = tmp_path / "killed"

    def start() -> "subprocess.Popen[bytes]":
        return subprocess.Popen([sys.executable, "-c", script, audio_dir, out], stderr=subprocess.DEVNULL)

    for signal_number, sign in ((signal.SIGKILL, "inventory.jsonl"), (signal.SIGINT, "manifest.csv")):
        process = start()
        while process.poll() is None and not ((out / sign).exists() and (out / sign).stat().st_size > 9000):
            time.sleep(0.005)
        process.send_signal(signal_number)
        process.wait()
    with (out / "inventory.jsonl").open("a") as journal:
        journal.write('{"v": 1, "path": "/cut')
    assert start().wait() == 0
    files, wanted = snapshot(out), snapshot(tmp_path / "whole")
    for name in files:
        if name.startswith("packed") or name == "manifest.csv":
            assert files[name] == wanted[name], name
    assert files.keys() == wanted.keys()


def test_several_processes_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio_dir = tree(tmp_path / "audio", groups=8)
    prepare([audio_dir], tmp_path / "one", PrepareOptions(sample_rate=24000, workers=1))
    monkeypatch.setattr(process_pool, "INLINE_S", 0.0)
    prepare([audio_dir], tmp_path / "two", PrepareOptions(sample_rate=24000, workers=2))
    one, two = snapshot(tmp_path / "one"), snapshot(tmp_path / "two")
    assert {k: v for k, v in one.items() if k != "summary.json"} == {
        k: v for k, v in two.items() if k != "summary.json"
    }


def test_an_interrupted_packing_is_not_taken_for_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    audio_dir, out = tree(tmp_path / "audio", groups=30), tmp_path / "out"
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    put(audio_dir / "speaker00/more.flac", noise(1.0, 12345))
    write_clip = pack._write_clip
    monkeypatch.setattr(pack, "_write_clip", lambda task: (_ for _ in ()).throw(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    with pytest.raises(UserError, match="interrupted"):
        packed.open_split(out, "train", RATE, 1)
    monkeypatch.setattr(pack, "_write_clip", write_clip)
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    assert_packed_equals_sources(out)


# Packing


def test_channels_and_rates(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio", groups=30, clips=1)
    left, right = noise(1.0, 1, rate=44100), noise(1.0, 2, rate=44100)
    put(audio_dir / "speaker00/stereo.wav", np.stack([left, right], axis=1), 44100, "FLOAT")
    put(audio_dir / "speaker00/mono.wav", left, 44100, "FLOAT")
    for channels, waves in (
        (1, ((left + right) / 2, left)),
        (2, (np.stack([left, right]), np.stack([left, left]))),
    ):
        prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, channels=channels, workers=1))
        split_name = rows_of(tmp_path / "out")["mono.wav"].split
        split = (
            packed.open_split(tmp_path / "out", split_name, RATE, channels)  # type: ignore[arg-type]
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
    wave = noise(1.0, 1)
    wave[700] = 2.5 * sign
    path = put(tmp_path / "loud.wav", wave, subtype="FLOAT")
    target = tmp_path / "stored"
    target.touch()
    pack._write_clip(pack._ClipTask(AudioSegment(path), target, 0, RATE, RATE, 1))
    stored = np.fromfile(target, "<i2")
    assert stored[700] == stored_peak
    np.testing.assert_allclose(stored, wave * stored_peak / wave[700], atol=0.51)


def test_summary_adds_up(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio", groups=30)
    target = TargetConfig(domains={"audio": 0.5, "music": 0.5}, level_dbfs=(-10.0, 0.0))
    summary = prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, target=target, workers=1))
    saved = json.loads((tmp_path / "out/summary.json").read_text())
    assert saved["splits"][0]["clips"] == summary.splits[0].clips
    assert sum(split.clips for split in summary.splits) == 60
    assert sum(split.hours for split in summary.splits) == pytest.approx(60 / 3600)
    for split in summary.splits:
        # All clips are noise of -20 dBFS.
        assert sum(split.levels) == pytest.approx(1.0) and sum(split.levels[4:7]) == pytest.approx(1.0)
    assert summary.target is not None
    assert summary.target.domain_variation == pytest.approx(0.5)
    assert (summary.target.outside_level, summary.target.outside_noise, summary.target.outside) == (
        1.0,
        0.0,
        1.0,
    )


# Layouts


@pytest.mark.parametrize(("above", "told"), [("audio", True), ("Speech/audio", False)])
def test_clips_of_no_stated_domain_are_told_how_to_state_it(tmp_path: Path, above: str, told: bool) -> None:
    audio_dir = tree(tmp_path / above, groups=12)
    summary = prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    assert any("general, music, speech, voice" in line for line in summary.advice) == told
    assert set(summary.splits[0].domains) == {"audio" if told else "speech"}


def test_a_manifest_decides_group_and_domain(tmp_path: Path) -> None:
    for source in ("old", "new"):
        for number in range(6):
            put(tmp_path / f"audio/{source}/{number}/a.wav", noise(1.0, hash((source, number)) % 1000))
    with (tmp_path / "audio/manifest.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "domain", "source", "group", "microphone"])
        for source in ("old", "new"):
            for number in range(6):
                domain = "speech" if number < 4 else "music"
                writer.writerow([f"{source}/{number}/a.wav", domain, source, f"person {number}", number % 2])
    entries = find_audio([tmp_path / "audio"], ["speech"]).entries
    assert len(entries) == 8 and {entry.domain for entry in entries} == {"speech"}
    assert set(group_entries(entries, Grouping(None, FOLDER)).values()) == {f"person {number}" for number in range(4)}
    assert set(group_entries(entries, Grouping("column:microphone", FOLDER)).values()) == {"0", "1"}
    assert set(group_entries(entries, Grouping("level:1", FOLDER)).values()) == {"old", "new"}
    prepare([tmp_path / "audio"], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    homes = {(row.group, row.split) for row in read_rows(tmp_path / "out/manifest.csv")}
    assert len(homes) == 6
    for rule, hint in (("column:nothing", "microphone"), ("regex:(", r"regex:\("), ("folders", "level:1")):
        with pytest.raises(UserError, match=hint):
            group_entries(entries, Grouping(rule, FOLDER))
    with pytest.raises(UserError, match="music, speech"):
        find_audio([tmp_path / "audio"], ["birds"])


def test_a_jsonl_manifest(tmp_path: Path) -> None:
    put(tmp_path / "a.wav", noise(1.0, 0))
    lines = [{"path": "a.wav", "group": 7}, {"path": "gone.wav", "group": 8}]
    (tmp_path / "list.jsonl").write_text("\n".join(map(json.dumps, lines)))
    prepare([tmp_path / "list.jsonl"], tmp_path / "out", PrepareOptions(sample_rate=RATE, ratios="1:0:0", workers=1))
    rows = rows_of(tmp_path / "out")
    assert (rows["a.wav"].group, rows["a.wav"].status) == ("7", "ok")
    assert rows["gone.wav"].status == "excluded"
    (tmp_path / "bad.jsonl").write_text('{"path": "a.wav"}\n{')
    with pytest.raises(UserError, match="line 2"):
        find_audio([tmp_path / "bad.jsonl"])


def test_plain_folders_group_by_folder_or_file(tmp_path: Path) -> None:
    for name in (
        "speech/a/one/1.wav",
        "speech/a/one/2.wav",
        "speech/a/two/3.wav",
        "speech/4.wav",
        "speech/.hidden.wav",
    ):
        put(tmp_path / name, noise(0.1, 0))
    os.symlink(tmp_path / "speech/a", tmp_path / "speech/a/loop")
    entries = find_audio([tmp_path / "speech", tmp_path / "speech/a"]).entries
    names = [Path(entry.path).name for entry in entries]
    assert sorted(names) == ["1.wav", "2.wav", "3.wav", "4.wav"]
    assert {entry.domain for entry in entries} == {"speech"}

    def groups(rule: str | None) -> dict[str, str]:
        return {Path(path).name: group for path, group in group_entries(entries, Grouping(rule, FOLDER)).items()}

    assert groups(None) == {"1.wav": "a/one", "2.wav": "a/one", "3.wav": "a/two", "4.wav": "4.wav"}
    assert groups("level:1") == {"1.wav": "a", "2.wav": "a", "3.wav": "a", "4.wav": "4.wav"}
    assert groups(r"regex:(\d)\.wav") == {f"{n}.wav": str(n) for n in (1, 2, 3, 4)}


@pytest.mark.parametrize("start", ["", "LibriSpeech", "LibriSpeech/dev-clean"])
def test_librispeech(tmp_path: Path, start: str) -> None:
    for speaker, chapter in ((84, 121123), (84, 121550), (174, 50561)):
        folder = tmp_path / f"LibriSpeech/dev-clean/{speaker}/{chapter}"
        names = [f"{speaker}-{chapter}-{number:04d}" for number in range(2)]
        for name in names:
            put(folder / f"{name}.flac", noise(0.6, 0))
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(f"{name} SOME WORDS\n" for name in names))
    (tmp_path / "LibriSpeech/SPEAKERS.TXT").write_text("")
    entries = find_audio([tmp_path / start]).entries
    assert len(entries) == 6 and all(entry.path.is_file() for entry in entries)
    assert {(entry.source, entry.domain) for entry in entries} == {("LibriSpeech/dev-clean", "speech")}
    assert sorted(group_entries(entries, Grouping(None, FOLDER)).values()) == ["174"] * 2 + ["84"] * 4


def test_libritts(tmp_path: Path) -> None:
    folder = tmp_path / "LibriTTS/test-clean/1089/134686"
    for number in range(3):
        put(folder / f"1089_134686_{number:06d}_000000.wav", noise(0.6, 0, rate=24000), 24000)
        (folder / f"1089_134686_{number:06d}_000000.normalized.txt").write_text("some words")
    (folder / "1089_134686.trans.tsv").write_text("")
    entries = find_audio([tmp_path]).entries
    assert len(entries) == 3 and all(entry.path.is_file() for entry in entries)
    assert {entry.group for entry in entries} == {"1089"}
    assert {entry.source for entry in entries} == {"LibriTTS/test-clean"}


# Bad input


def test_errors_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("text")
    put(tmp_path / "silent/a.wav", np.zeros(RATE))
    tree(tmp_path / "good", groups=3)
    (tmp_path / "file").write_text("")
    cases = [
        ("absent", "out", {}, "absent"),
        ("empty", "out", {}, "empty"),
        ("texts", "out", {}, "texts"),
        ("silent", "out2", {}, "1 silent"),
        ("good", "file/out", {}, "file/out"),
        ("good", "out", {"ratios": "8:1"}, "train:val:test"),
        ("good", "out", {"group_by": "level:0"}, "level:1"),
    ]
    for source, out, options, message in cases:
        with pytest.raises(UserError, match=message) as error:
            prepare([tmp_path / source], tmp_path / out, PrepareOptions(sample_rate=RATE, workers=1, **options))  # type: ignore[arg-type]
        assert "\n" not in str(error.value)
    assert not (tmp_path / "out").exists()


# Groups and splits


def test_no_split_is_empty_in_silence(tmp_path: Path) -> None:
    for number in range(8):
        put(tmp_path / f"audio/{'ab'[number % 2]}/{number}.wav", noise(1.0, number))
    out = tmp_path / "out"
    with pytest.raises(UserError, match=r"8 files in 2 groups.*--group-by file.*--ratios 1:0:0") as refusal:
        prepare([tmp_path / "audio"], out, PrepareOptions(sample_rate=RATE, workers=1))
    assert "\n" not in str(refusal.value) and not out.exists()
    put(tmp_path / "audio/c/silent.wav", np.zeros(RATE))  # a third group, until it is decoded
    with pytest.raises(UserError, match=r"8 usable.* 2 groups.*1 silent.*--group-by file"):
        prepare([tmp_path / "audio"], out, PrepareOptions(sample_rate=RATE, workers=1))
    assert not (out / "manifest.csv").exists() and not (out / "packed").exists()
    summary = prepare([tmp_path / "audio"], out, PrepareOptions(sample_rate=RATE, group_by="file", workers=1))
    assert all(split.clips for split in summary.splits) and sum(split.groups for split in summary.splits) == 8
    # The rule holds for later runs, and where two splits are wanted two groups are enough.
    put(tmp_path / "audio/a/8.wav", noise(1.0, 8))
    assert (
        sum(
            split.groups
            for split in prepare([tmp_path / "audio"], out, PrepareOptions(sample_rate=RATE, workers=1)).splits
        )
        == 9
    )
    two = prepare([tmp_path / "audio"], tmp_path / "two", PrepareOptions(sample_rate=RATE, ratios="1:1:0", workers=1))
    assert [split.groups for split in two.splits] == [1, 1, 0]


def test_one_folder_of_files_has_three_splits_and_a_note(tmp_path: Path) -> None:
    """Case H1."""
    for number in range(40):
        put(tmp_path / f"x/wavs/u{number:02d}.wav", noise(0.6, number))
    for source in ("x", "x/wavs"):
        lines: list[str] = []
        summary = prepare(
            [tmp_path / source], tmp_path / source[2:], PrepareOptions(sample_rate=RATE, workers=1), note=lines.append
        )
        assert [split.groups > 0 for split in summary.splits] == [True] * 3
        assert sum(split.groups for split in summary.splits) == 40
        assert len(lines) == 1 and tuple(lines) == summary.notes


def test_unclear_groups_are_asked_for_before_anything_is_written(tmp_path: Path) -> None:
    """Case H3."""
    for speaker in range(4):
        for book in range(2):
            put(tmp_path / f"x/spk{speaker}/book{book}/a.wav", noise(0.6, 10 * speaker + book))
    with pytest.raises(UserError, match="level:1"):
        prepare([tmp_path / "x"], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))
    assert not (tmp_path / "out").exists()
    prepare([tmp_path / "x"], tmp_path / "out", PrepareOptions(sample_rate=RATE, group_by="level:1", workers=1))
    before = {(row.group, row.split) for row in read_rows(tmp_path / "out/manifest.csv")}
    assert len(before) == 4
    prepare([tmp_path / "x"], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1))  # is not asked again
    assert {(row.group, row.split) for row in read_rows(tmp_path / "out/manifest.csv")} == before


def test_an_output_below_the_source_is_no_corpus(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio", groups=6)
    for _ in range(2):
        lines: list[str] = []
        summary = prepare(
            [audio_dir], audio_dir / "data", PrepareOptions(sample_rate=RATE, workers=1), note=lines.append
        )
        assert (summary.files, summary.excluded) == (12, {}) and not any("manifest" in line for line in lines)


def test_other_files_are_counted_by_kind(tmp_path: Path) -> None:
    audio_dir = tree(tmp_path / "audio", groups=5)
    for name in ("a.txt", "b.txt", "c.pdf", "d"):
        (audio_dir / name).write_text("x")
    lines: list[str] = []
    summary = prepare([audio_dir], tmp_path / "out", PrepareOptions(sample_rate=RATE, workers=1), note=lines.append)
    assert summary.left_out == {".txt": 2, ".pdf": 1, "": 1}
    assert len(lines) == 1 and "2 .txt" in lines[0]


# Two at once, and damage


SCRIPT = (
    "import sys; from pathlib import Path; from codec.cli import main\n"
    "main(['prepare', sys.argv[1], '--out', sys.argv[2], '--seed', sys.argv[3], '--rate', '24000', '-j', '1'])\n"
)


def test_two_processes_on_one_output_do_no_harm(tmp_path: Path) -> None:
    """Case D4: the second ends in a line, or waits for nothing; what is packed is what the tables say."""
    audio_dir, out = tree(tmp_path / "audio", groups=30, clips=3), tmp_path / "out"
    processes = [
        subprocess.Popen([sys.executable, "-c", SCRIPT, audio_dir, out, str(seed)], stderr=subprocess.PIPE, text=True)
        for seed in (1, 2)
    ]
    errors = [process.communicate()[1] for process in processes]
    codes = sorted(process.returncode for process in processes)
    assert codes in ([0, 0], [0, 2]), errors
    if codes == [0, 2]:
        first, second = sorted(processes, key=lambda process: process.returncode)
        assert f"process {first.pid} " in errors[processes.index(second)]
    assert not list(out.rglob("*.part"))
    for name in ("train", "val"):
        split = packed.open_split(out, name, 24000, 1)  # type: ignore[arg-type]
        split.verify()
        for i, clip in enumerate(split.clips):
            wanted = audio.resample(audio.read(clip.path).samples, RATE, 24000)
            np.testing.assert_allclose(split.waveform(i), wanted, atol=1.01 / 65536)


def test_damaged_arrays_are_written_anew(tmp_path: Path) -> None:
    """Case D11: flipped bits, an array cut in half, one that is missing, and a killed process' part."""
    audio_dir, out = tree(tmp_path / "audio"), tmp_path / "out"
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    folder = out / "packed/16000x1"
    before = snapshot(folder)
    times = {name: (folder / name).stat().st_mtime_ns for name in ("train-00000.npy", "val-00000.npy")}

    def flip(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[5000] ^= 1
        path.write_bytes(content)

    damages = [flip, lambda path: path.write_bytes(path.read_bytes()[:9000]), lambda path: path.unlink()]
    for damage in damages:
        damage(folder / "train-00000.npy")
        (folder / ".train-00000.npy.99999.part").write_bytes(b"x")
        summary = prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
        assert any("train-00000.npy" in line for line in summary.advice)
        assert snapshot(folder) == before
    assert (folder / "val-00000.npy").stat().st_mtime_ns == times["val-00000.npy"]
    assert not any(
        "damaged" in line for line in prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1)).advice
    )


@pytest.mark.parametrize("cut", ["half", "line", "all", "letter"])
def test_a_manifest_cut_off_is_noticed(tmp_path: Path, cut: str) -> None:
    audio_dir, out = tree(tmp_path / "audio"), tmp_path / "out"
    assert prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1)).rows == 24
    assert json.loads((out / "summary.json").read_text())["rows"] == 24
    manifest = out / "manifest.csv"
    text = manifest.read_text()
    lines = text.splitlines(keepends=True)
    manifest.write_text(
        {"half": "".join(lines[: len(lines) // 2]), "line": "".join(lines[:-1]), "letter": text[:-1], "all": ""}[cut]
    )
    if cut == "all":
        manifest.unlink()
    with pytest.raises(UserError, match=r"manifest\.csv") as refusal:
        prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    assert "\n" not in str(refusal.value)
    manifest.write_text(text)
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))


@pytest.mark.parametrize(
    "damage",
    [
        b"\xff\xfe\x00garbage\n", b"\x00" * 50 + b"\n", b"[" * 100_000 + b"\n", b'{"v": 2}\n', b"[1, 2]\n",
        b'{"v": 2, "path": 7, "size": "x"}\n', b'{"v": ' + b"9" * 5000 + b"}\n",
    ],
)  # fmt: skip
def test_a_damaged_inventory_is_measured_again(tmp_path: Path, damage: bytes) -> None:
    """Case D28."""
    audio_dir, out = tree(tmp_path / "audio", groups=4, clips=1), tmp_path / "out"
    prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
    journal = out / scan.SCAN_JOURNAL
    good = journal.read_bytes()
    wrong = good.replace(b'"frames": 16000', b'"frames": "many"', 1).replace(
        b'"rms_dbfs": -', b'"rms_dbfs": NaN, "x": -', 1
    )
    before = (out / "manifest.csv").read_bytes()
    for content in (damage + good, good + damage[:-1], wrong):
        journal.write_bytes(content)
        prepare([audio_dir], out, PrepareOptions(sample_rate=RATE, workers=1))
        assert (out / "manifest.csv").read_bytes() == before
