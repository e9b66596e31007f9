"""Streamed data: the same clips from HTTP and S3; damage, refusals and retries."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from codec.dataset import location, remote_files
from codec.dataset.arrays import DamagedShardError
from codec.dataset.ledger import SealedError, ledger_folder
from codec.dataset.location import open_split, parse_location
from codec.dataset.packed import packed_folder
from codec.dataset.packed_split import PackedSplit
from codec.dataset.shard_cache import ShardCache
from codec.errors import UserError
from tests.helpers.shard_servers import http_server, s3_server
from tests.helpers.shards import RATE, prepared_in_shards


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepared_in_shards(tmp_path_factory.mktemp("shards"))


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ShardCache:
    monkeypatch.setenv("LATHE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LATHE_CACHE_GB", "0.0003")  # about four of the shards
    monkeypatch.setattr(remote_files, "_FIRST_PAUSE_S", 0.01)
    return ShardCache(tmp_path / "cache", 300_000)


def assert_same(streamed: PackedSplit, local: PackedSplit, cache: ShardCache) -> None:
    assert list(streamed.clips) == list(local.clips) and streamed.fingerprint == local.fingerprint
    for index in range(len(local)):
        np.testing.assert_array_equal(streamed.waveform(index, 100, 5000), local.waveform(index, 100, 5000))
        assert cache.size_bytes() <= cache.limit_bytes


def test_shards_over_http_are_those_of_the_folder_even_over_a_bad_line(data: Path, cache: ShardCache) -> None:
    local = location.open_split(data, "train", RATE, 1)
    assert len(local.shards) > 4  # more than the cache holds
    with http_server(data, breaks=dict.fromkeys(local.shards, 2)) as (url, requests):
        streamed = open_split(parse_location(url), "train", RATE, 1)
        assert_same(streamed, local, cache)
        assert min(requests.count(shard) for shard in local.shards) >= 3
        copy = pickle.loads(pickle.dumps(streamed))
        np.testing.assert_array_equal(copy.waveform(0), local.waveform(0))
        assert not any("test" in name for name in requests)
        with pytest.raises(SealedError):
            open_split(url, "test", RATE, 1)  # type: ignore[arg-type]


def test_shards_that_are_in_the_cache_are_not_fetched_again(data: Path) -> None:
    with http_server(data) as (url, requests):
        for _ in range(2):
            open_split(url, "val", RATE, 1).waveform(0)
        assert requests.count("val-00000.npy") == 1
        split = open_split(url, "train", RATE, 1)
        split.arrays.prefetch(list(split.shards)[:3])
        split.waveform(0)
        with pytest.raises(UserError, match="open_shards"):
            split.arrays.require_room(list(split.shards), 4)
        split.arrays.require_room(list(split.shards), 2)


def test_a_damaged_shard_is_named_and_skipped_up_to_a_share(data: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(data, tmp_path / "copy")
    folder = packed_folder(copy, RATE, 1)
    content = bytearray((folder / "train-00001.npy").read_bytes())
    content[-100] ^= 1
    (folder / "train-00001.npy").write_bytes(content)
    (folder / "train-00002.npy").unlink()
    with http_server(copy) as (url, _):
        split = open_split(url, "train", RATE, 1, max_damaged_share=0.3)
        for shard, word in (("train-00001.npy", "checksum"), ("train-00002.npy", "no such file")):
            with pytest.raises(DamagedShardError, match=f"{shard}.*{word}"):
                split.waveform(split.shards[shard][0])
        assert split.skip("train-00001.npy", "damaged") and not split.skip("train-00001.npy", "damaged")
        assert "1 damaged shards with 2 clips" in split.describe_damage()
        with pytest.raises(UserError, match="max_damaged_share"):
            split.skip("train-00002.npy", "missing")


def test_what_is_wrong_is_said_in_one_line(data: Path) -> None:
    with http_server(data, refused=frozenset({"val-00000.npy"})) as (url, _):
        with pytest.raises(UserError, match="permission") as refused:
            open_split(url, "val", RATE, 1).waveform(0)
        assert not isinstance(refused.value, DamagedShardError)  # not skipped: all others will be refused, too
        with pytest.raises(UserError, match="no data here"):
            open_split(url, "train", 8000, 1)
    with pytest.raises(UserError, match="attempts") as gone:  # the server has ended
        open_split(url, "train", RATE, 1)
    with pytest.raises(UserError) as unknown:
        open_split("nosuch://a/b", "train", RATE, 1)
    assert all("\n" not in str(error.value) for error in (refused, gone, unknown))


def test_s3_gives_the_same_shards(data: Path, cache: ShardCache, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("s3fs"), pytest.importorskip("moto")
    monkeypatch.setenv("FSSPEC_S3_KEY", "k"), monkeypatch.setenv("FSSPEC_S3_SECRET", "s")
    with s3_server(data, "bucket") as endpoint:
        import fsspec

        monkeypatch.setitem(fsspec.config.conf, "s3", {"endpoint_url": endpoint, "key": "k", "secret": "s"})
        assert_same(open_split("s3://bucket", "train", RATE, 1), location.open_split(data, "train", RATE, 1), cache)
        with pytest.raises(UserError, match="absent"):
            open_split("s3://absent/data", "train", RATE, 1)


def test_records_of_remote_data_have_a_folder_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    one, other = (ledger_folder(f"s3://{bucket}/data") for bucket in "ab")
    assert one != other and one.is_relative_to(tmp_path)
