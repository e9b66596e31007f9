"""Shares of a batch: the crops of all processes together are those of the batch."""

import pytest
import torch

from codec.errors import UserError
from codec.model.processes import Processes
from codec.training.data_module import CodecData
from codec.training.own_crops import own_numbers
from tests.helpers.runs import tiny_recipe


class Part(Processes):
    """The view of one of several processes, without any others."""

    def __init__(self, rank: int, count: int):
        self.rank, self.count = rank, count


@pytest.mark.parametrize(("count", "parts"), [(1, 1), (2, 1), (3, 2), (2, 3), (12, 1), (1, 12)])
def test_the_crops_of_all_processes_are_the_batch_and_each_part_has_the_same_crops(count, parts):
    recipe = tiny_recipe("--data.batch_size=12", f"--train.accumulate={parts}")
    own = [own_numbers(recipe, Part(rank, count)) for rank in range(count)]
    assert sorted(number for numbers in own for number in numbers) == list(range(12))
    size = 12 // parts // count
    for part in range(parts):
        together = [number for numbers in own for number in numbers[part * size : (part + 1) * size]]
        assert together == list(range(part * 12 // parts, (part + 1) * 12 // parts))


def test_a_batch_that_cannot_be_divided_is_refused():
    with pytest.raises(UserError, match="accumulate"):
        own_numbers(tiny_recipe("--data.batch_size=12", "--train.accumulate=2"), Part(0, 4))


def test_a_process_loads_its_crops_of_the_batch(prepared):
    recipe = tiny_recipe("--data.batch_size=6", "--augment.gain=0.5", "--augment.mix=0.5", "--augment.noise=0.5")
    whole = CodecData(prepared, recipe).train_crops
    for step in (0, 7):
        parts = [whole.load(step, own_numbers(recipe, Part(rank, 3))) for rank in range(3)]
        torch.testing.assert_close(torch.cat([part.waveform for part in parts]), whole[step], rtol=1e-6, atol=1e-7)
        frames = {name: sum(part.frames.get(name, 0) for part in parts) for name in whole.load(step).frames}
        assert frames == whole.load(step).frames
