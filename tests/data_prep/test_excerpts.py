"""Long recordings divided by time."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from codec.dataset import location, sealed_test
from codec.errors import UserError
from data_prep.excerpts import GAP_S, SHORTEST_S, divide_recording
from data_prep.manifest import read_rows
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare
from data_prep.split_ratios import SPLITS, SplitRatios

RATE = 8000


def long_file(path: Path, seconds: float = 200, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    wave = np.random.default_rng(seed).integers(-3000, 3000, int(seconds * RATE), dtype=np.int16)
    soundfile.write(path, wave, RATE)
    return path


def run(sources: list[Path], out: Path, **options: object) -> dict[str, str]:
    """Prepare, and the split of each row by its key."""
    prepare(sources, out, PrepareOptions(sample_rate=RATE, workers=1, **options))  # type: ignore[arg-type]
    return {row.segment.key: row.split for row in read_rows(out / "manifest.csv") if row.used}


@given(st.floats(SHORTEST_S, 1e5), st.sampled_from(["8:1:1", "6:2:2", "9:1:0", "1:0:1", "98:1:1", "1:0:0"]))
def test_excerpts_are_in_ratio_with_gaps_between(seconds: float, ratios: str) -> None:
    shares = SplitRatios.parse(ratios)
    found = divide_recording(seconds, shares)
    assert [excerpt.split for excerpt in found] == [split for split in SPLITS if shares.share(split)]
    assert found[0].start_s == 0 and seconds - 0.02 < found[-1].end_s <= seconds
    total = sum(excerpt.end_s - excerpt.start_s for excerpt in found)
    for excerpt in found:
        assert (excerpt.end_s - excerpt.start_s) / total == pytest.approx(shares.share(excerpt.split), abs=1e-3)
    for before, after in itertools.pairwise(found):
        assert after.start_s - before.end_s == pytest.approx(GAP_S, abs=0.011)


def test_the_clips_are_the_samples_of_the_recording(tmp_path: Path) -> None:
    path = long_file(tmp_path / "audio/talk.wav")
    long_file(tmp_path / "audio/short.wav", 20, seed=1)
    splits = run([tmp_path / "audio"], tmp_path / "out", group_by="time")
    assert sorted(splits.values()) == ["test", "train", "train", "val"]  # the short one goes where most is missing
    whole = soundfile.read(path, dtype="int16")[0]
    data = tmp_path / "out"
    spans = []
    for split in SPLITS:
        opened = (
            sealed_test.open_sealed_test(data, RATE, 1, run="r", weights=[], purpose="demonstration").split
            if split == "test"
            else location.open_split(data, split, RATE, 1)  # type: ignore[arg-type]
        )
        index = next(i for i, clip in enumerate(opened.clips) if clip.path == path)
        wave = (32768 * opened.waveform(index)[0]).astype(np.int16)
        start = next(
            row.start_s for row in read_rows(data / "manifest.csv") if row.path == str(path) and row.split == split
        )
        np.testing.assert_array_equal(wave, whole[round(start * RATE) :][: len(wave)])
        spans.append((start, start + len(wave) / RATE))
    assert all(after[0] - before[1] > GAP_S - 0.02 for before, after in itertools.pairwise(spans))


def test_stems_are_cut_at_the_same_times(tmp_path: Path) -> None:
    for seed, (stem, seconds) in enumerate({"mixture": 200, "drums": 200, "vocals": 170, "bass": 100}.items()):
        long_file(tmp_path / f"audio/train/A - B/{stem}.wav", seconds, seed=seed)
    run([tmp_path / "audio"], tmp_path / "out", group_by="time")
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in read_rows(tmp_path / "out/manifest.csv"):
        spans.setdefault(row.split, []).append((row.start_s, row.end_s))
    assert {split: len(parts) for split, parts in spans.items()} == {"train": 4, "val": 3, "test": 2}
    ends = [(min(start for start, _ in spans[split]), max(end for _, end in spans[split])) for split in SPLITS]
    assert all(after[0] - before[1] > GAP_S - 0.02 for before, after in itertools.pairwise(ends))


def test_a_divided_recording_keeps_its_excerpts(tmp_path: Path) -> None:
    """With other ratios, without the option, under another name, next to a copy, and after a run without it."""
    path = long_file(tmp_path / "audio/a.wav")
    other = long_file(tmp_path / "audio/b.wav", seed=1)
    before = run([tmp_path / "audio"], tmp_path / "out", group_by="time")
    assert len(before) == 6
    for options in ({"ratios": "6:2:2", "group_by": "time"}, {"group_by": "file"}, {}):
        assert run([tmp_path / "audio"], tmp_path / "out", **options) == before
    renamed = path.rename(tmp_path / "audio/c.wav")
    after = run([tmp_path / "audio"], tmp_path / "out", ratios="1:1:1")
    assert after == {key.replace(str(path), str(renamed)): split for key, split in before.items()}
    renamed.rename(tmp_path / "away.wav")
    assert len(run([tmp_path / "audio"], tmp_path / "out")) == 3
    (tmp_path / "away.wav").rename(path)
    assert run([tmp_path / "audio"], tmp_path / "out") == before
    (tmp_path / "audio/copy.wav").write_bytes(other.read_bytes())
    assert run([tmp_path / "audio"], tmp_path / "out") == before


def test_a_recording_that_was_whole_stays_whole(tmp_path: Path) -> None:
    for number in range(3):
        long_file(tmp_path / f"audio/{number}.wav", seed=number)
    before = run([tmp_path / "audio"], tmp_path / "out")
    long_file(tmp_path / "audio/new.wav", seed=9)
    after = run([tmp_path / "audio"], tmp_path / "out", group_by="time")
    assert {key: after[key] for key in before} == before and len(after) == 6


def test_without_long_recordings_another_rule_is_offered(tmp_path: Path) -> None:
    long_file(tmp_path / "audio/a.wav", 20)
    with pytest.raises(UserError, match="--group-by file"):
        run([tmp_path / "audio"], tmp_path / "out", group_by="time")


def test_one_long_recording_leads_to_the_offer_to_divide_it(tmp_path: Path) -> None:
    long_file(tmp_path / "audio/a.wav")
    with pytest.raises(UserError, match="--group-by time") as question:
        run([tmp_path / "audio"], tmp_path / "out")
    assert "--group-by file" not in str(question.value)  # which could not help
    assert not (tmp_path / "out/manifest.csv").exists() and not (tmp_path / "out/packed").exists()
    assert set(run([tmp_path / "audio"], tmp_path / "out", group_by="time").values()) == set(SPLITS)
