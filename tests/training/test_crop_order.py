"""Orders of crops: pure functions of seed and number, even over the clips, within few shards at a time."""

from itertools import pairwise

import numpy as np
import pytest

from codec.training.crop_order import WindowOrder

SHARDS = {f"s{i:02d}": list(range(5 * i, 5 * i + 5)) for i in range(24)}
WEIGHTS = np.random.default_rng(1).integers(1, 100, 120).astype(np.int64)


def drawn(order: WindowOrder, numbers: range) -> np.ndarray:
    return np.array([order.draw(number, np.random.default_rng([3, number])) for number in numbers])


@pytest.mark.parametrize("count", [1, 4, 24, 100])
def test_each_clip_is_drawn_in_proportion_to_its_weight_over_whole_epochs(count: int) -> None:
    order = WindowOrder(SHARDS, WEIGHTS, 7, count, crops=6000)
    clips = drawn(order, range(6000, 36000))  # the first window is drawn less
    found = np.bincount(clips, minlength=120) / len(clips)
    expected = WEIGHTS / WEIGHTS.sum()
    # five epochs, each of a whole turn of the window: the deviation is that of independent draws, or less
    assert np.abs(found - expected).max() < 5 * np.sqrt(expected.max() / len(clips))


def test_draws_come_from_the_shards_that_were_announced_and_few_of_them() -> None:
    order = WindowOrder(SHARDS, WEIGHTS, 7, 4, crops=1000)
    for number in range(0, 3000, 7):
        coming = order.upcoming(number)
        assert len(coming) <= 12
        clips = drawn(order, range(number, number + 1))
        assert {f"s{clip // 5:02d}" for clip in clips} <= set(coming)
    opened = [set(order.upcoming(number)) for number in range(0, 1000)]
    assert len(set().union(*opened)) == 24  # all shards within an epoch
    assert max(len(later - before) for before, later in pairwise(opened)) <= 2  # one after the other


def test_a_draw_depends_on_seed_and_number_alone() -> None:
    orders = [WindowOrder(SHARDS, WEIGHTS, seed, 4, crops=500) for seed in (7, 7, 8)]
    late = drawn(orders[0], range(4900, 5000))
    drawn(orders[1], range(0, 300, 17))  # with another history
    assert (drawn(orders[1], range(4900, 5000)) == late).all()
    assert (drawn(orders[2], range(4900, 5000)) != late).any()


def test_a_window_without_epochs_stays_where_it_is() -> None:
    order = WindowOrder(SHARDS, WEIGHTS, 7, 3, crops=0)
    assert order.upcoming(0) == order.upcoming(10**6) and len(order.upcoming(0)) < 9


def test_clips_of_weight_zero_are_never_drawn() -> None:
    weights = WEIGHTS.copy()
    weights[::2] = 0
    weights[:5] = 0  # a whole shard
    assert (drawn(WindowOrder(SHARDS, weights, 7, 6, crops=300), range(2000)) % 2 == 1).all()
