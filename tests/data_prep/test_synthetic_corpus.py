"""The synthetic corpus: splits, levels, pitch, and dependence on the seed."""

import csv
import hashlib
from pathlib import Path

import numpy as np
import pytest

from codec import audio
from codec.errors import UserError
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.scan import scan_file
from data_prep.segments import AudioSegment
from data_prep.sources import find_audio
from data_prep.synthetic_corpus import synthesise_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return synthesise_corpus(tmp_path_factory.mktemp("corpus"))


def digest(folder: Path) -> str:
    files = sorted(folder.rglob("*.flac"))
    return hashlib.sha256(b"".join(audio.read(file).samples.tobytes() for file in files)).hexdigest()


def test_every_split_has_ten_groups(corpus: Path, tmp_path: Path) -> None:
    summary = prepare([corpus], tmp_path / "data", PrepareOptions(sample_rate=16000, workers=1))
    assert summary.advice == () and not summary.excluded
    assert all(split.groups >= 10 for split in summary.splits)
    assert 7 < 60 * sum(split.hours for split in summary.splits) < 9
    entries = find_audio([corpus]).entries
    assert {entry.domain for entry in entries} == {"voice", "strings", "drums", "noise"}
    assert len({entry.group for entry in entries if entry.domain == "voice"}) >= 30


def test_clips_have_the_stated_length_level_and_bandwidth(corpus: Path) -> None:
    """Every clip lasts 3 to 8 s, does not clip, has the RMS level that was drawn unless its peak limits it, and no
    digital silence, and the manifest has its duration."""
    with (corpus / "manifest.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    files = sorted(corpus.rglob("*.flac"))
    assert sorted(file.relative_to(corpus).as_posix() for file in files) == sorted(rows)
    for file in files:
        record = scan_file(AudioSegment(file))
        stats, row = record.stats, rows[file.relative_to(corpus).as_posix()]
        assert (record.error, record.format, stats.sample_rate, stats.channels) == ("", "FLAC/PCM_16", 16000, 1)
        assert 2.98 <= record.seconds <= 8.0 and float(row["seconds"]) == pytest.approx(record.seconds, abs=1e-3)
        assert (row["domain"], row["group"]) == file.parts[-3:-1]
        assert stats.peak_dbfs < 0 and stats.clipped_share < 1e-4
        limited = stats.peak_dbfs > 20 * np.log10(0.95) - 0.1
        assert stats.rms_dbfs < -18.9 and (limited or stats.rms_dbfs > -27.1)
        assert -90 < stats.noise_dbfs < stats.rms_dbfs
        assert stats.bandwidth_hz > 1000


def test_voices_have_pitch_and_pauses(corpus: Path) -> None:
    """Autocorrelation of the loud frames peaks in the range of human pitch; some frames are silent."""
    voiced = quiet = 0
    files = sorted((corpus / "voice").rglob("*.flac"))[:10]
    for file in files:
        wave = audio.read(file).samples[0]
        frames = wave[: len(wave) // 640 * 640].reshape(-1, 640)
        power = (frames**2).mean(axis=1)
        quiet += (power < 1e-3 * power.max()).sum()
        loud = frames[power > 0.3 * power.max()]
        for frame in loud:
            correlation = np.correlate(frame, frame, "full")[639:]
            voiced += correlation[16000 // 350 : 16000 // 60].max() > 0.4 * correlation[0]
        assert len(loud)
    assert voiced > 100 and quiet > 20


def test_samples_depend_on_the_seed_alone(tmp_path: Path) -> None:
    digests = [
        digest(synthesise_corpus(tmp_path / str(number), seed=seed, minutes=0.5, sample_rate=rate))
        for number, (seed, rate) in enumerate([(0, 8000), (0, 8000), (1, 8000)])
    ]
    assert digests[0] == digests[1] != digests[2]


def test_a_duration_of_zero_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="0 min"):
        synthesise_corpus(tmp_path, minutes=0)
