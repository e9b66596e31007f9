"""The cache of shards: limited size, least recently used first, one process fills while others wait."""

import multiprocessing
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from codec.dataset.shard_cache import ShardCache, default_cache
from codec.errors import UserError


def content(size: int):
    return lambda path: path.write_bytes(bytes(size)) and None


def test_the_least_recently_used_files_make_room(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 1000)
    for age, key in enumerate("abc"):
        os.utime(cache.get(key, content(300)), (age, age))
    cache.get("a", content(0))  # used again
    cache.get("d", content(300), 300)
    assert [cache.path(key).exists() for key in "abcd"] == [True, False, True, True]
    assert cache.size_bytes() == 900
    with pytest.raises(UserError, match="too small"):
        cache.get("e", content(1001), 1001)
    with pytest.raises(UserError, match="too small"):
        cache.get("e", content(1001))  # its size is known only when it is there
    assert not list(tmp_path.glob("shards/.*"))


def test_a_file_that_was_not_completed_is_not_there(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 1000)

    def broken(path: Path) -> None:
        path.write_bytes(b"half")
        raise UserError("broken connection")

    with pytest.raises(UserError, match="broken"):
        cache.get("a", broken)
    assert not cache.path("a").exists() and cache.size_bytes() == 0
    assert cache.get("a", content(5)).stat().st_size == 5


def fill_slowly(path: Path) -> None:
    with path.open("wb") as file:
        time.sleep(0.05)
        file.write(bytes(100))
    with (path.parent / "fills").open("a") as log:
        log.write("x")


def use(folder: Path, worker: int) -> None:
    cache = ShardCache(folder, 450)
    for turn in range(12):
        assert cache.get(f"{(turn * (worker + 1)) % 7}", fill_slowly, 100).name
        assert cache.size_bytes() <= 450


def test_processes_share_it_and_stay_below_its_limit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    one = ShardCache(tmp_path, 450)
    both = [context.Process(target=one.get, args=("same", fill_slowly, 100)) for _ in range(3)]
    users = [context.Process(target=use, args=(tmp_path, worker)) for worker in range(3)]
    for processes in (both, users):
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0] * 3
        if processes is both:
            assert (tmp_path / "shards/fills").read_text() == "x"


def test_a_file_waits_for_room_that_others_being_written_will_leave(tmp_path: Path) -> None:
    cache = ShardCache(tmp_path, 250)
    with ThreadPoolExecutor(5) as threads:
        made = [threads.submit(cache.get, key, fill_slowly, 100) for key in "abcde"]
        assert [one.result().name for one in made] == [cache.path(key).name for key in "abcde"]
    assert cache.size_bytes() == 200


@pytest.mark.parametrize("text", ["no", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("LATHE_CACHE_GB", text)
    with pytest.raises(UserError, match="LATHE_CACHE_GB"):
        default_cache()
