"""Folders of external decodes: matched with recordings by name, with their bytes, refused if they do not fit."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from codec.audio import read, write
from codec.dataset.arrays import LocalArrays
from codec.dataset.clips import Clip, ClipLocation, ClipTable
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from eval.systems.external_decodes import (
    ExternalDecode,
    check_alignment,
    check_folders,
    describe_polarity,
    find_decodes,
)

RATE = 16000
NAMES = ("anna/1.flac", "anna/2.flac", "bert/1.flac")


@pytest.fixture(scope="module")
def waves() -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [(0.1 * rng.standard_normal((1, 8000 + 100 * i))).astype(np.float32) for i in range(3)]


@pytest.fixture
def split(tmp_path: Path, waves) -> PackedSplit:
    (tmp_path / "packed").mkdir()
    np.save(tmp_path / "packed" / "a.npy", np.concatenate([np.rint(32768 * wave.T).astype(np.int16) for wave in waves]))
    starts = np.cumsum([0, *(wave.shape[1] for wave in waves)])
    lengths = [wave.shape[1] for wave in waves]
    clips = [
        Clip(f"id{i}", Path("/corpus") / name, "speech", name[:4], length / RATE, -20.0, 8000.0, -70.0, length)
        for i, (name, length) in enumerate(zip(NAMES, lengths))
    ]
    rows = zip(clips, [ClipLocation("a.npy", int(start)) for start in starts[:3]])
    return PackedSplit(LocalArrays(tmp_path / "packed", 1), ClipTable(rows), RATE, 1)


@pytest.fixture
def theirs(tmp_path: Path, waves) -> Path:
    """Named like the recordings, of another format."""
    for name, wave in zip(NAMES, waves):
        path = (tmp_path / "theirs" / name).with_suffix(".wav")
        path.parent.mkdir(parents=True, exist_ok=True)
        write(path, wave, RATE)
    return tmp_path / "theirs"


def find(theirs: Path, split: PackedSplit, indices=(0, 1, 2)) -> list[ExternalDecode]:
    found = find_decodes(theirs, split.clips, indices, RATE, 1, theirs.parent / "work")
    return check_alignment(found, split, indices)


def test_each_recording_gets_its_own_decode_and_bytes_are_unknown(theirs, split, waves):
    found = find(theirs, split, (2, 0))
    for one, wave in zip(found, (waves[2], waves[0])):
        assert one.bytes is None
        np.testing.assert_allclose(read(one.decoded).samples, wave, atol=1 / 32768)


def test_decodes_may_be_called_by_clip_id_and_have_another_rate_and_two_channels(tmp_path, split, waves):
    from codec.audio import resample

    (tmp_path / "ids").mkdir()
    for i, wave in enumerate(waves):
        write(tmp_path / "ids" / f"id{i}.wav", np.repeat(resample(wave, RATE, 48000), 2, axis=0), 48000)
    for one, wave in zip(find(tmp_path / "ids", split), waves):
        decoded = read(one.decoded)
        assert decoded.sample_rate == RATE and decoded.samples.shape == wave.shape
        assert np.corrcoef(decoded.samples[0], wave[0])[0, 1] > 0.9


@pytest.mark.parametrize("name", ["{}.wav", "{}"])
def test_bytes_come_from_the_table(theirs, split, name):
    with (theirs / "bytes.csv").open("w", newline="") as file:
        csv.writer(file).writerows(
            [("file", "bytes"), *((name.format(n.removesuffix(".flac")), 10 + i) for i, n in enumerate(NAMES))]
        )
    assert [one.bytes for one in find(theirs, split)] == [10, 11, 12]


def test_bytes_come_from_coded_files_in_the_folder(theirs, split):
    for size, name in enumerate(NAMES, 5):
        (theirs / name).with_suffix(".bin").write_bytes(bytes(size))
    assert [one.bytes for one in find(theirs, split)] == [5, 6, 7]


def test_a_slightly_different_length_is_corrected(theirs, split, waves):
    write(theirs / "anna/1.wav", waves[0][:, :-100], RATE)
    write(theirs / "anna/2.wav", np.pad(waves[1], ((0, 0), (0, 300))), RATE)
    assert [read(one.decoded).samples.shape for one in find(theirs, split)] == [wave.shape for wave in waves]


def late(theirs: Path, waves, samples: int) -> None:
    write(theirs / "bert/1.wav", np.roll(waves[2], samples, axis=1), RATE)


def put(name: str, seconds: slice = slice(None)):
    """Writes the decode of ``anna/2`` as this file, or a part of it."""
    return lambda folder, waves: write(folder / name, waves[1][:, seconds], RATE)


def text(name: str, content: str):
    return lambda folder, waves: (folder / name).write_text(content)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (
            lambda folder, waves: (folder / "anna/2.wav").unlink(),
            r"for 1 of 3 .*, such as .*anna/2\.flac",
        ),
        (put("anna/2.wav", slice(4000)), "lasts 0.25 s, its recording 0.51"),
        (lambda folder, waves: late(folder, waves, 160), r"bert/1\.wav: is 10\.0 ms late"),
        (lambda folder, waves: late(folder, waves, -32), r"is 2\.0 ms early"),
        (put("anna/2.flac"), r"anna/2\.flac.*2\.wav|anna/2\.wav.*2\.flac"),
        (text("anna/1.bin", "x"), r"anna/2\.wav|bert/1\.wav"),
        (text("bytes.csv", "file,bytes\nanna/1.wav,9\n"), "no line for anna/2"),
        (text("bytes.csv", "file,size\nanna/1.wav,9\n"), "columns file and bytes"),
        (text("bytes.csv", "file,bytes\nanna/1.wav,0\n"), "0 bytes"),
        (text("anna/1.wav", "no sound"), r"anna/1\.wav"),
    ],
)
def test_decodes_that_do_not_fit_are_refused_in_one_line(theirs, split, waves, spoil, words):
    spoil(theirs, waves)
    with pytest.raises(UserError, match=words) as caught:
        find(theirs, split)
    assert "\n" not in str(caught.value)


def test_inverted_polarity_is_noted_and_is_no_delay(theirs, split, waves):
    for name, wave in zip(NAMES, waves):
        write((theirs / name).with_suffix(".wav"), -wave, RATE)
    found = find(theirs, split)
    assert [one.inverted for one in found] == [True] * 3
    assert describe_polarity(found) == "polarity is inverted"
    write(theirs / "anna/1.wav", waves[0], RATE)
    shutil.rmtree(theirs.parent / "work")
    found = find(theirs, split)
    assert [one.inverted for one in found] == [False, True, True] and "2 of 3" in describe_polarity(found)
    np.testing.assert_allclose(read(found[1].decoded).samples, -waves[1], atol=1 / 32768)
    late(theirs, [-wave for wave in waves], 160)
    shutil.rmtree(theirs.parent / "work")
    with pytest.raises(UserError, match=r"bert/1\.wav: is 10\.0 ms late"):
        find(theirs, split)


def test_a_name_that_two_recordings_share_is_refused(tmp_path, split, waves):
    for name in ("1", "2"):
        (tmp_path / "flat").mkdir(exist_ok=True)
        write(tmp_path / "flat" / f"{name}.wav", waves[0], RATE)
    with pytest.raises(UserError, match=r"could be /corpus/anna/1\.flac and /corpus/bert/1\.flac"):
        find(tmp_path / "flat", split, (0,))


def test_folders_are_checked_before_anything_is_opened(tmp_path, theirs):
    check_folders({"Theirs": theirs})
    with pytest.raises(UserError, match="no such folder of audio decoded by Theirs"):
        check_folders({"Theirs": tmp_path / "none"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="holds no audio decoded by Theirs"):
        check_folders({"Theirs": tmp_path / "empty"})
