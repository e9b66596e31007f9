"""Packed audio: its waveforms, its checks, and the seal on the test split."""

import csv
import json
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.config import TargetConfig
from codec.dataset import packed, sealed_test
from codec.dataset.clips import Clip
from codec.dataset.distribution import in_distribution
from codec.dataset.ledger import (
    LEDGER_FILE,
    SealedError,
    count_candidates,
    read_ledger,
    record_candidate,
    record_result,
)
from codec.errors import UserError
from data_prep.options import PrepareOptions
from data_prep.prepare import prepare


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    for number in range(12):
        samples = np.random.default_rng(number).integers(-8000, 8000, (16000 + 100 * number, 2), dtype=np.int16)
        (folder / f"audio/g{number}").mkdir(parents=True)
        soundfile.write(folder / f"audio/g{number}/a.wav", samples, 16000)
    prepare([folder / "audio"], folder / "data", PrepareOptions(sample_rate=16000, channels=2, workers=1))
    return folder / "data"


def test_clips_have_the_samples_of_the_files(data: Path) -> None:
    for name in ("train", "val"):
        split = packed.open_split(data, name, 16000, 2)
        assert len(split) == len(split.clips) > 0
        for i, clip in enumerate(split.clips):
            source = soundfile.read(clip.path, dtype="int16")[0]
            np.testing.assert_array_equal(32768 * split.waveform(i), source.T)
            np.testing.assert_array_equal(32768 * split.waveform(i, 300, 500), source.T[:, 300:800])
            np.testing.assert_array_equal(32768 * split.waveform(i, clip.frames - 5, 500), source.T[:, -5:])
            assert split.waveform(i, clip.frames + 9).shape == (2, 0)
            assert clip.frames == len(source) and clip.seconds == len(source) / 16000


def test_waveforms_are_float32_and_a_pickled_split_opens_its_arrays_again(data: Path) -> None:
    split = packed.open_split(data, "train", 16000, 2)
    waveform = split.waveform(1)
    assert waveform.dtype == np.float32 and waveform.flags.c_contiguous
    pickled = pickle.dumps(split)
    assert len(pickled) < 20_000  # the table alone
    np.testing.assert_array_equal(pickle.loads(pickled).waveform(1), waveform)


def test_each_opening_of_the_test_split_is_recorded(data: Path) -> None:
    with pytest.raises(SealedError, match="test"):
        packed.open_split(data, "test", 16000, 2)  # type: ignore[arg-type]
    assert all(clip.frames for clip in packed.list_clips(data, "test", 16000, 2))
    assert read_ledger(data) == []
    with pytest.raises(UserError):
        record_result(data, "", {})
    first_opened = sealed_test.open_sealed_test(data, 16000, 2, run="r1", weights=["ab"], purpose="demonstration")
    assert len(first_opened.split) > 0 and first_opened.before == []
    second_opened = sealed_test.open_sealed_test(
        data, 16000, 2, run="r2", weights=["cd"], purpose="evaluation", again=True
    )
    assert second_opened.before == [first_opened.opening]
    record_result(data, second_opened.opening.key, {"mel": 1.5})
    first, second = read_ledger(data)
    assert (first.run, first.purpose, first.result) == ("r1", "demonstration", None)
    assert (second.run, second.weights, second.result) == ("r2", ["cd"], {"mel": 1.5})


def test_other_models_need_an_explicit_opening_and_the_same_ones_do_not(data: Path) -> None:
    def opened(*weights: str, again: bool = False) -> None:
        sealed_test.open_sealed_test(
            data, 16000, 2, run="runs/third", weights=list(weights), purpose="evaluation", again=again
        )

    before = read_ledger(data)
    for weights in (["ef"], ["ab", "ef"]):
        with pytest.raises(SealedError, match=r"ab of r1; \d{4}-\d\d-\d\d for cd of r2.*--open-test-again") as refusal:
            opened(*weights)
        assert "\n" not in str(refusal.value)
    assert read_ledger(data) == before
    opened("ab", "cd")
    opened("ab", "ef", again=True)
    opened("ef")
    assert [entry.weights for entry in read_ledger(data)[2:]] == [["ab", "cd"], ["ab", "ef"], ["ef"]]


def test_a_refused_opening_is_not_recorded(data: Path) -> None:
    before = len(read_ledger(data))
    with pytest.raises(UserError, match="8000"):
        sealed_test.open_sealed_test(data, 8000, 2, run="r", weights=[], purpose="evaluation")
    assert len(read_ledger(data)) == before


def test_candidates_count_runs_once(data: Path) -> None:
    for run in ("a", "b", "a"):
        record_candidate(data, run)
    assert count_candidates(data) == 2


def test_messages_contain_the_command_to_run(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"holds 16000x2, not 24000x1; run: codec prepare .* --rate 24000"):
        packed.open_split(data, "train", 24000, 1)
    with pytest.raises(UserError, match="codec prepare"):
        packed.open_split(tmp_path / "none", "train", 16000, 1)
    with pytest.raises(UserError, match="codec prepare"):
        packed.open_split(tmp_path, "train", 16000, 1)
    (tmp_path / LEDGER_FILE).write_text(json.dumps({})[:-1])
    with pytest.raises(UserError, match=r"ledger\.jsonl: line 1"):
        read_ledger(tmp_path)


def test_in_distribution_is_domain_and_every_range() -> None:
    target = TargetConfig(
        domains={"speech": 1.0}, level_dbfs=(-40, -10), bandwidth_hz=(7000, 96000), noise_dbfs=(-200, -50)
    )

    def clip(domain: str = "speech", level: float = -20, band: float = 8000, noise: float = -60) -> Clip:
        return Clip("", Path(), domain, "", 1.0, level, band, noise, 1)

    assert in_distribution(clip(), target)
    assert in_distribution(clip("music"), TargetConfig())
    for other in (clip("music"), clip(level=-41), clip(level=-9), clip(band=6999), clip(noise=-49)):
        assert not in_distribution(other, target)


# Damaged data: whatever the disk or another program may have changed is checked


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    """A copy of the data that may be damaged."""
    return shutil.copytree(data, tmp_path / "data")


def edit_table(folder: Path, **cells: str) -> None:
    """Change cells of the first row of the training table."""
    with (folder / "train.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[0].update(cells)
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


ARRAYS = {
    "half as long": lambda array: array[: len(array) // 2],
    "float": lambda array: array.astype(np.float32),
    "big-endian": lambda array: array.astype(">i2"),
    "mono": lambda array: array[:, :1],
    "flat": lambda array: array.ravel(),
    "three dimensions": lambda array: array[..., None],
    "number": lambda array: np.int16(7),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_does_not_fit_its_table_is_refused(copy: Path, name: str) -> None:
    path = copy / "packed/16000x2/train-00000.npy"
    np.save(path, ARRAYS[name](np.load(path)))
    with pytest.raises(UserError, match=r"train-00000\.npy.*codec prepare") as refusal:
        packed.open_split(copy, "train", 16000, 2)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"PK\x03\x04",
        b"\x93NUMPY\x01\x00\x00\x20" + b"(" * 8192,
        b"\x93NUMPY\x01\x00\x10\x00{'descr': 'O'}  \n",
        None,
    ],
)
def test_a_file_that_is_no_array_is_refused(copy: Path, content: bytes | None) -> None:
    path = copy / "packed/16000x2/train-00000.npy"
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match=r"train-00000\.npy"):
        packed.open_split(copy, "train", 16000, 2)


@pytest.mark.parametrize(
    "cells",
    [
        {"shard": "../../outside.npy"}, {"shard": "/tmp/outside.npy"}, {"shard": "a/b.npy"}, {"shard": "..npy"},
        {"shard": "train-00000.npz"}, {"shard": ""}, {"start": "-5"}, {"frames": "0"}, {"frames": "-1"},
        {"frames": "many"}, {"frames": "9999999999"}, {"start": "1e3"}, {"seconds": "x"},
    ],
)  # fmt: skip
def test_a_table_with_invalid_places_is_refused(copy: Path, cells: dict[str, str]) -> None:
    folder = copy / "packed/16000x2"
    np.save(copy / "outside.npy", np.load(folder / "train-00000.npy"))
    edit_table(folder, **cells)
    with pytest.raises(UserError) as refusal:
        packed.open_split(copy, "train", 16000, 2)
    assert "\n" not in str(refusal.value) and str(folder) in str(refusal.value)


def test_a_table_cut_in_half_is_refused(copy: Path) -> None:
    table = copy / "packed/16000x2/train.csv"
    lines = table.read_text().splitlines(keepends=True)
    table.write_text("".join(lines[: len(lines) // 2]))
    with pytest.raises(UserError, match=r"train\.csv"):
        packed.open_split(copy, "train", 16000, 2)


@pytest.mark.parametrize(
    "content", [b"{}", b"[1]", b"{", b"\xff\xfe", b'{"version": ' + b"[" * 100_000, b'{"version": 2}',
                b'{"version": 1, "sample_rate": 8000, "channels": 2}', b'{"version": 1, "clips": 3}'],
)  # fmt: skip
def test_a_damaged_header_is_refused(copy: Path, content: bytes) -> None:
    (copy / "packed/16000x2/packed.json").write_bytes(content)
    with pytest.raises(UserError) as refusal:
        packed.open_split(copy, "train", 16000, 2)
    assert "\n" not in str(refusal.value)


def test_a_flipped_bit_is_found_by_the_checksum(copy: Path) -> None:
    split = packed.open_split(copy, "train", 16000, 2)
    split.verify()
    path = copy / "packed/16000x2/train-00000.npy"
    content = bytearray(path.read_bytes())
    content[-9] ^= 64
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"train-00000\.npy"):
        split.verify()
    packed.open_split(copy, "val", 16000, 2).verify()


def test_the_fingerprint_depends_on_the_clips_and_not_on_their_folder(data: Path, copy: Path, tmp_path: Path) -> None:
    one, two = (packed.open_split(folder, "train", 16000, 2).fingerprint for folder in (data, copy))
    assert one == two != packed.open_split(data, "val", 16000, 2).fingerprint
    prepare(
        [data.parent / "audio"],
        tmp_path / "other",
        PrepareOptions(sample_rate=16000, channels=2, ratios="6:2:2", workers=1),
    )
    assert packed.open_split(tmp_path / "other", "train", 16000, 2).fingerprint != one
