"""The clip of each training crop: a pure function of the seed and the number of the crop.

The number of a crop is its position in the sequence of all crops of a run, whatever the number of processes that load
them. So a run resumes from one integer, exactly.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

Weights = npt.NDArray[np.int64]
"""``[clips]``: whole numbers in proportion to which clips are drawn, such as their lengths in frames."""


class CropOrder(Protocol):
    """Draws the clips of crops."""

    def draw(self, number: int, rng: np.random.Generator, ahead: int = 0) -> int:
        """Draw the clip of a crop.

        Args:
            number: number of the crop
            rng: generator of the random draws of this crop
            ahead: windows by which to draw further on, since all shards of this one may be damaged

        Returns:
            Number of the clip.
        """

    def upcoming(self, number: int) -> Sequence[str]:
        """List the shards that are needed soon.

        Args:
            number: number of a crop

        Returns:
            Names of the shards from which this crop and those after it are drawn, the most urgent first; empty if it
            does not matter.
        """


class UniformOrder:
    """Crops from anywhere: each is drawn from all clips, in proportion to their weights.

    Args:
        weights: ``[clips]``
    """

    def __init__(self, weights: Weights):
        self._ends = np.cumsum(weights)

    def draw(self, number: int, rng: np.random.Generator, ahead: int = 0) -> int:
        """Draw the clip of a crop; see :meth:`CropOrder.draw`."""
        return int(np.searchsorted(self._ends, rng.integers(self._ends[-1]), side="right"))

    def upcoming(self, number: int) -> Sequence[str]:
        """Return nothing: any array may be needed at any time. See :meth:`CropOrder.upcoming`."""
        return ()


class WindowOrder:
    """Crops from a window that moves over the shards in random order, so that few shards are in use at once.

    The audio of all shards is laid out on a line, in a new random order of the shards for each epoch, one epoch after
    the other. The window covers ``open_shards`` shards of mean weight, and advances evenly: by one epoch in ``crops``
    crops. Each crop is drawn from the part of the line in the window. A clip leaves it as far behind as it entered, so
    within an epoch every second of audio is drawn equally often on average; only the shards at the very beginning of a
    run are drawn less often, half as often on average over the first window.

    Compared with :class:`UniformOrder`, crops of one batch come from ``open_shards`` shards instead of all, and a clip
    is drawn within one part of an epoch instead of all over it. With shards of clips in random order, batches are as
    mixed as clips are; with shards of one speaker each, a batch has ``open_shards`` speakers.

    It is the shuffle buffer of streamed datasets (WebDataset), without its state: a crop depends on its number alone.

    Args:
        shards: numbers of the clips in each shard, by its name
        weights: ``[clips]``
        seed: seed of the order of the shards
        open_shards: size of the window
        crops: number of crops in an epoch; 0: the window stays at its first place
    """

    def __init__(self, shards: Mapping[str, npt.ArrayLike], weights: Weights, seed: int, open_shards: int, crops: int):
        self._seed, self._crops = seed, crops
        numbers = {name: np.asarray(clips, np.int64) for name, clips in shards.items()}
        self._names = sorted(name for name, clips in numbers.items() if weights[clips].sum())
        self._clips = [numbers[name] for name in self._names]
        self._ends = [np.cumsum(weights[clips]) for clips in self._clips]
        self._weights = np.array([ends[-1] for ends in self._ends], np.int64)
        self._total = int(self._weights.sum())
        self._window = max(1, self._total * min(open_shards, len(self._names)) // len(self._names))
        self._epochs: dict[int, tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]] = {}

    def draw(self, number: int, rng: np.random.Generator, ahead: int = 0) -> int:
        """Draw the clip of a crop; see :meth:`CropOrder.draw`."""
        begin = self._begin(number) + ahead * self._window
        epoch, place = divmod(begin + int(rng.integers(self._window)), self._total)
        order, ends = self._epoch(epoch)
        index = int(np.searchsorted(ends, place, side="right"))
        shard = int(order[index])
        inside = place - (int(ends[index - 1]) if index else 0)
        return int(self._clips[shard][np.searchsorted(self._ends[shard], inside, side="right")])

    def upcoming(self, number: int) -> Sequence[str]:
        """List the shards in the window and the next one; see :meth:`CropOrder.upcoming`."""
        begin, names = self._begin(number), []
        epoch, place = divmod(begin, self._total)
        left = self._window
        while True:
            order, ends = self._epoch(epoch)
            for index in range(int(np.searchsorted(ends, place, side="right")), len(order)):
                names.append(self._names[int(order[index])])
                if left <= 0:
                    return list(dict.fromkeys(names))
                left -= int(ends[index]) - place
                place = int(ends[index])
            epoch, place = epoch + 1, 0

    def _begin(self, number: int) -> int:
        """Return where the window begins on the line."""
        return number * self._total // self._crops if self._crops else 0

    def _epoch(self, epoch: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the order of the shards in an epoch, and where each ends on the line of that epoch."""
        if epoch not in self._epochs:
            order = np.random.default_rng([self._seed, _ORDER_STREAM, epoch]).permutation(len(self._names))
            self._epochs = {key: self._epochs[key] for key in list(self._epochs)[-2:]}
            self._epochs[epoch] = order, np.cumsum(self._weights[order])
        return self._epochs[epoch]


_ORDER_STREAM = 40_000
"""Sets the draws of orders apart from those of crops, which are seeded by two numbers."""
