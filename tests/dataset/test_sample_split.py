"""Shards of encoded audio in the layouts of WebDataset and litdata: the clips, damage, refusals."""

import json
import os
import signal
import tarfile
from pathlib import Path

import numpy as np
import pytest

from codec.dataset import decoded_shards
from codec.dataset.location import open_split
from codec.dataset.shard_cache import ShardCache
from codec.dataset.shard_samples import parse_chunk_index
from codec.dataset.streamed import require_disjoint
from codec.errors import UserError
from tests.helpers.children import running, wait_for_end
from tests.helpers.shards import RATE, flac, noise, webdataset_tars


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardCache:
    monkeypatch.setenv("LATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LATHE_CACHE_GB", "0.0003")  # about four of the shards
    return ShardCache(tmp_path / "cache", 300_000)


def test_tars_of_webdataset_are_read_where_they_are(tmp_path: Path, cache: ShardCache) -> None:
    pytest.importorskip("webdataset")
    webdataset_tars(tmp_path, "train", 0, 3)
    webdataset_tars(tmp_path, "val", 100, 1)
    train, val = (open_split(tmp_path, name, RATE, 1) for name in ("train", "val"))  # type: ignore[arg-type]
    require_disjoint(train, val)
    for index, clip in enumerate(train.clips):
        np.testing.assert_array_equal(train.waveform(index)[0] * 32768, noise(index))
        assert (clip.group, clip.text, clip.language) == (f"speaker {index}", "some words", "en")
        assert cache.size_bytes() <= cache.limit_bytes
    with pytest.raises(UserError, match="same samples"):
        require_disjoint(train, open_split(tmp_path, "train", RATE, 1))
    wide = open_split(tmp_path, "train", 8000, 2)
    assert wide.clips[0].frames == 8000 and wide.waveform(0).shape == (2, 8000)


def test_damaged_tars_and_samples_are_left_out_up_to_a_share(tmp_path: Path) -> None:
    pytest.importorskip("webdataset")
    webdataset_tars(tmp_path, "train", 0, 3)
    cut = tmp_path / "train/001.tar"
    cut.write_bytes(cut.read_bytes()[:3000])
    with tarfile.open(tmp_path / "train/003.tar", "w") as tar:  # names that would lead out of a folder are only names
        for name, content in (("../../evil.flac", flac(noise(9))), ("/etc/x.flac", b"no audio"), ("y.cls", b"1")):
            path = tmp_path / "member"
            path.write_bytes(content)
            tar.add(path, name)
    with pytest.raises(UserError, match=r"001\.tar"):
        open_split(tmp_path, "train", RATE, 1, max_damaged_share=0.1)
    split = open_split(tmp_path, "train", RATE, 1, max_damaged_share=0.5)
    assert len(split) == 5 and "1 damaged shards and 2 samples" in split.left_out
    assert not (tmp_path.parent / "evil.flac").exists()


def test_a_list_that_was_damaged_is_made_again(tmp_path: Path, cache: ShardCache) -> None:
    pytest.importorskip("webdataset")
    webdataset_tars(tmp_path, "train", 0, 2)
    clips = list(open_split(tmp_path, "train", RATE, 1).clips)
    next((cache.folder / "lists").iterdir()).write_text("{")
    assert list(open_split(tmp_path, "train", RATE, 1).clips) == clips


def open_and_die(folder: Path) -> None:
    """End as by SIGKILL while the first sample of a tar is decoded."""
    os.environ["LATHE_CACHE"] = str(folder / "cache")  # a process of the server has the server's environment
    decoded_shards.audio.info = lambda path: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[assignment]
    open_split(folder, "train", RATE, 1)


def test_files_of_a_process_that_was_killed_while_it_decoded_a_tar_are_removed(
    tmp_path: Path, cache: ShardCache
) -> None:
    pytest.importorskip("webdataset")
    webdataset_tars(tmp_path, "train", 0, 1)
    with running(open_and_die, tmp_path) as process:
        assert wait_for_end(process) == -signal.SIGKILL
    assert len(list(cache.folder.glob("shards/.*"))) == 4  # the tar, a sample of it, the array, and its room
    assert len(open_split(tmp_path, "train", RATE, 1)) == 2
    assert not list(cache.folder.glob("shards/.*"))


@pytest.mark.parametrize("other", [{"year": 1990}, {"array": np.zeros((2, 2))}], ids=["arrow", "pytree"])
def test_chunks_of_litdata_are_read_where_they_are(tmp_path: Path, other: dict[str, object]) -> None:
    writer = pytest.importorskip("litdata.streaming.writer", exc_type=ImportError)
    for name, first, count in (("train", 0, 5), ("val", 100, 2)):
        chunks = writer.BinaryWriter(str(tmp_path / name), chunk_size=2)
        for number in range(count):
            chunks[number] = {"audio": flac(noise(first + number)), "speaker": f"s{first + number}", **other}
        chunks.done()
        chunks.merge()
    train, val = (open_split(tmp_path, name, RATE, 1) for name in ("train", "val"))  # type: ignore[arg-type]
    require_disjoint(train, val)
    assert [clip.group for clip in train.clips] == [f"s{number}" for number in range(5)]
    for index in range(5):
        np.testing.assert_array_equal(train.waveform(index)[0] * 32768, noise(index))


@pytest.mark.parametrize("name", ["../a.bin", "/a.bin", ".hidden", "a/b.bin", ""])
def test_an_index_that_names_files_outside_its_folder_is_refused(name: str) -> None:
    index = {"chunks": [{"filename": name}], "config": {"data_format": ["bytes"], "data_spec": None}}
    with pytest.raises(UserError, match="no file of this folder"):
        parse_chunk_index(json.dumps(index).encode())
