"""The part of each training batch that one of several processes computes."""

from collections.abc import Sequence

from torch.utils.data import Dataset

from codec.config import Recipe
from codec.errors import UserError
from codec.model.processes import Processes
from codec.training.batches import CountedBatch, DrawnBatch
from codec.training.crops import Crops


def own_numbers(recipe: Recipe, processes: Processes) -> list[int]:
    """Return which crops of each batch a process trains on.

    A batch is computed in ``train.accumulate`` parts, and each part is divided evenly over the processes, so that the
    parts consist of the same crops whatever the number of processes.

    Args:
        recipe: settings with ``data.batch_size`` and ``train.accumulate``
        processes: this process and their number

    Returns:
        Numbers of its crops in the batch, part by part.

    Raises:
        UserError: the batch cannot be divided.

    >>> from codec.model.processes import ONE_PROCESS
    >>> from codec.recipe import read_recipe
    >>> own_numbers(read_recipe("speech_16k", ["--data.batch_size=4"]), ONE_PROCESS)
    [0, 1, 2, 3]
    """
    size, parts = recipe.data.batch_size, recipe.train.accumulate
    own, rest = divmod(size, parts * processes.count)
    if rest:
        raise UserError(
            f"a batch of {size} crops (data.batch_size) cannot be divided evenly over {processes.count} processes in"
            f" {parts} parts each (train.accumulate); choose a multiple of {parts * processes.count}"
        )
    first = [part * (size // parts) + processes.rank * own for part in range(parts)]
    return [start + number for start in first for number in range(own)]


class OwnCrops(Dataset[CountedBatch | DrawnBatch]):
    """The crops of each batch that one of several processes trains on, with the frames of each source in them.

    Args:
        crops: the batches
        numbers: numbers of its crops in each batch, see :func:`own_numbers`
        drawn: give their positions alone
    """

    def __init__(self, crops: Crops, numbers: Sequence[int], *, drawn: bool = False):
        self._crops, self._numbers, self._drawn = crops, numbers, drawn

    def __len__(self) -> int:
        return len(self._crops)

    def __getitem__(self, step: int) -> CountedBatch | DrawnBatch:
        load = self._crops.draw_batch if self._drawn else self._crops.load
        return load(step, self._numbers)
