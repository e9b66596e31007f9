"""One function over many items in several processes: order, start in the calling process, what the bar counts."""

import os
from collections.abc import Iterator
from itertools import islice

import pytest

from codec.errors import UserError
from codec.runtime import process_pool
from codec.runtime.process_pool import PoolOptions, map_in_processes


def pid_and_square(number: int) -> tuple[int, int]:
    return os.getpid(), number**2


def die(number: int) -> int:
    os._exit(1)


@pytest.mark.parametrize("max_chunk", [1, 8])
def test_results_come_in_order_from_other_processes(max_chunk: int) -> None:
    results = list(map_in_processes(pid_and_square, range(20), PoolOptions(2, max_chunk=max_chunk)))
    assert [square for _, square in results] == [number**2 for number in range(20)]
    assert os.getpid() not in {pid for pid, _ in results}


@pytest.mark.parametrize("options", [PoolOptions(1), PoolOptions(2, inline_first=True)])
def test_short_work_is_done_in_the_calling_process(options: PoolOptions) -> None:
    assert {pid for pid, _ in map_in_processes(pid_and_square, range(5), options)} == {os.getpid()}


def test_the_rest_of_long_work_goes_to_other_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_pool, "INLINE_S", 0.0)
    options = PoolOptions(2, inline_first=True)
    assert os.getpid() not in {pid for pid, _ in map_in_processes(pid_and_square, range(5), options)}


def test_a_process_that_dies_is_an_error_with_advice() -> None:
    with pytest.raises(UserError) as error:
        list(map_in_processes(die, [1], PoolOptions(2, advice="add memory")))
    assert "add memory" in str(error.value)


def test_the_bar_counts_items_and_is_absent_without_a_description(capfd: pytest.CaptureFixture[str]) -> None:
    list(map_in_processes(pid_and_square, range(3), PoolOptions(1, "squaring", "number")))
    assert "squaring" in (bar := capfd.readouterr().err) and "3/3" in bar
    list(map_in_processes(pid_and_square, range(3), PoolOptions(1)))
    assert capfd.readouterr().err == ""


class CountedItems:
    """Numbers from 0, and how many of them were read."""

    def __init__(self, count: int) -> None:
        self.count, self.read = count, 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        for number in range(self.count):
            self.read += 1
            yield number


@pytest.mark.parametrize("workers", [1, 2])
def test_items_are_read_when_their_turn_comes(workers: int) -> None:
    items = CountedItems(10_000)
    results = map_in_processes(pid_and_square, items, PoolOptions(workers, max_chunk=2))
    assert [square for _, square in islice(results, 10)] == [number**2 for number in range(10)]
    results.close()
    assert items.read <= 10 + 2 * 4 * workers
