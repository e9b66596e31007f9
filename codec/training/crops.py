"""Batches of random crops of packed audio, each a pure function of the seed and the step."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset, get_worker_info

from codec.audio.channels import channels_to_streams
from codec.config import AugmentConfig, Recipe
from codec.dataset.arrays import DamagedShardError
from codec.dataset.packed_split import PackedSplit
from codec.errors import UserError
from codec.training.augment import BatchItems, augment
from codec.training.batches import CountedBatch, CropPosition, DrawnBatch
from codec.training.crop_order import CropOrder, UniformOrder, WindowOrder

_MAX_DRAWS = 20
"""Number of draws after which a silent crop is accepted."""
_MAX_NAMED = 4
"""Clips of a batch that a message names."""


class Crops(Dataset[Tensor]):
    """Batches of random crops: item ``step`` is the batch of that step.

    An item is float32 ``[batch * channels, 1, samples]``. A crop in it depends on nothing but the data, the recipe, the
    seed, the step and its number in the batch. Crops below ``data.silence_dbfs`` are drawn again. The channels of
    stereo crops become streams (see :mod:`codec.audio.channels`), adjacent in the batch.

    Args:
        split: clips that crops are taken from
        recipe: size and number of the crops
        augmentation: the augmentation of the crops
        seed: seed of all random draws
        weights: whole numbers ``[clips]``, in proportion to which clips are drawn; None: their lengths
        moving: draw the crops of shards that are not in a local folder from a window that moves over the shards as the
            steps go on, see :class:`codec.training.crop_order.WindowOrder`; otherwise, from few shards all the time
    """

    def __init__(
        self,
        split: PackedSplit,
        recipe: Recipe,
        augmentation: AugmentConfig,
        seed: int,
        weights: npt.NDArray[np.int64] | None = None,
        *,
        moving: bool = False,
    ):
        self.split, self.recipe, self.augmentation, self.seed = split, recipe, augmentation, seed
        self._samples = recipe.crop_samples
        frames = split.clips.numbers("frames")
        self._order = self._make_order(frames, frames if weights is None else weights, moving)
        self._kept: dict[tuple[int, tuple[int, ...]], CountedBatch] = {}
        self._silence = 10 ** (recipe.data.silence_dbfs / 20)

    def _make_order(self, frames: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], moving: bool) -> CropOrder:
        if self.split.arrays.random_access:
            return UniformOrder(weights)
        data = self.recipe.data
        self.split.arrays.require_room(list(self.split.shards), data.open_shards)
        crops = max(1, round(data.shard_passes * int(frames.sum()) / self._samples)) if moving else 0
        return WindowOrder(self.split.shards, weights, self.seed, data.open_shards, crops)

    def __len__(self) -> int:
        return self.recipe.train.steps

    def __getitem__(self, step: int) -> Tensor:
        return self.load(step).waveform

    def keep(self, steps: Iterable[int], numbers: Sequence[int]) -> None:
        """Keep crops in memory, if reading them again would bring their shards back into the cache.

        Args:
            steps: numbers of the batches
            numbers: numbers of the crops in each batch
        """
        if not self.split.arrays.random_access:
            self._kept |= {(step, tuple(numbers)): self.load(step, numbers) for step in steps}

    def draw(self, step: int, numbers: Sequence[int] | None = None) -> list[CropPosition]:
        """Draw crops of a batch.

        Args:
            step: number of the batch
            numbers: numbers of the crops in the batch; by default all

        Returns:
            Their positions.
        """
        # each crop has its own draws, so that runs with other batch sizes are evaluated on the same crops
        size = self.recipe.data.batch_size
        self.split.arrays.prefetch(self._order.upcoming(step * size))
        return [self._draw(step * size + number) for number in (range(size) if numbers is None else numbers)]

    def load(self, step: int, numbers: Sequence[int] | None = None) -> CountedBatch:
        """Draw, read and augment crops of a batch.

        Args:
            step: number of the batch
            numbers: numbers of the crops in the batch; by default all

        Returns:
            The crops, and the frames of each source in them.
        """
        if numbers is not None and (kept := self._kept.get((step, tuple(numbers)))) is not None:
            return kept
        drawn = self.draw_batch(step, numbers)
        crops = np.stack([self._crop(*position) for position in drawn.positions.tolist()])
        return self.finish(drawn, torch.from_numpy(crops))

    def draw_batch(self, step: int, numbers: Sequence[int] | None = None) -> DrawnBatch:
        """Draw crops of a batch, as :meth:`load` does, without their waveforms.

        Args:
            step: number of the batch
            numbers: numbers of the crops in the batch; by default all

        Returns:
            Their positions.
        """
        own = BatchItems(self.seed, step, self.recipe.data.batch_size, numbers).numbers.tolist()
        positions = self.draw(step, self._items(step, own).numbers.tolist())
        frames = self.count_frames(positions[: len(own)])
        return DrawnBatch(step, own, torch.tensor(positions), frames, dict(self.split.damaged))

    def finish(self, drawn: DrawnBatch, wave: Tensor) -> CountedBatch:
        """Augment crops that were read, on their device.

        Args:
            drawn: their positions
            wave: float32 ``[crops, channels, samples]``

        Returns:
            What :meth:`load` returns; on a device other than the CPU, augmented crops differ by rounding.
        """
        items = self._items(drawn.step, drawn.numbers)
        own = augment(wave, self.augmentation, self.split.sample_rate, items)[: len(drawn.numbers)]
        streams = torch.cat([channels_to_streams(item, self.recipe.codec.stereo) for item in own])
        return CountedBatch(streams, drawn.frames, drawn.damaged)

    def _items(self, step: int, numbers: Sequence[int]) -> BatchItems:
        """Return the crops with these numbers, followed by those that are mixed into them."""
        own = BatchItems(self.seed, step, self.recipe.data.batch_size, numbers)
        return own.with_partners(self.augmentation)

    def count_frames(self, positions: Sequence[CropPosition]) -> dict[str, int]:
        """Count the frames of each source in crops, without the silence after clips that are too short.

        Args:
            positions: positions of the crops

        Returns:
            Samples per channel by source.
        """
        frames: Counter[str] = Counter()
        for position in positions:
            clip = self.split.clips[position.clip]
            frames[clip.source] += min(self._samples, clip.frames - position.start)
        return dict(frames)

    def _draw(self, number: int) -> CropPosition:
        """Draw the crop with this number."""
        rng = np.random.default_rng([self.seed, number])
        skipped = 0
        for _ in range(_MAX_DRAWS):
            clip = self._order.draw(number, rng, skipped)
            start = int(rng.integers(max(1, self._frames(clip) - self._samples + 1)))
            if (piece := self._read(clip, start)) is None:
                skipped += 1
                continue
            if np.sqrt(np.mean(np.square(piece, dtype=np.float64))) > self._silence:
                return CropPosition(clip, start)
        return CropPosition(clip, self._frames(clip))

    def _frames(self, clip: int) -> int:
        return int(self.split.clips.numbers("frames")[clip])

    def _read(self, clip: int, start: int) -> npt.NDArray[np.float32] | None:
        """Return a crop as the clip has it; None if its array is damaged."""
        shard = self.split.shard_of(clip)
        if shard in self.split.damaged:
            return None
        try:
            return self.split.waveform(clip, start, self._samples)
        except DamagedShardError as error:
            # a process that loads data leaves it to the training to decide
            if get_worker_info() is None:
                self.split.skip(shard, str(error))
            else:
                self.split.damaged[shard] = str(error)
            return None

    def _crop(self, clip: int, start: int) -> np.ndarray:
        """Return a crop ``[channels, samples]``; a clip that is too short is followed by silence."""
        crop = np.zeros((self.split.channels, self._samples), np.float32)
        piece = self._read(clip, start)
        if piece is None:  # all draws met damaged arrays
            return crop
        crop[:, : piece.shape[1]] = piece
        return crop

    def describe(self, step: int) -> str:
        """Name the clips of a batch.

        Args:
            step: number of the batch

        Returns:
            Paths of the first clips with the positions of the crops, and the number of further ones.
        """
        size, rate, drawn = self.recipe.data.batch_size, self.split.sample_rate, self.draw(step)
        named = [f"{self.split.clips[clip].path} at {start / rate:.2f} s" for clip, start in drawn[:_MAX_NAMED]]
        more = f" and {size - _MAX_NAMED} more" if size > _MAX_NAMED else ""
        return f"{', '.join(named)}{more}"

    def require_audible(self, batches: Tensor) -> None:
        """Check that batches are not all silent.

        Args:
            batches: crops of these clips

        Raises:
            UserError: no crop is louder than ``data.silence_dbfs``.
        """
        if not batches.any():
            raise UserError(
                f"none of {len(batches)} crops of the training clips is louder than data.silence_dbfs"
                f" ({self.recipe.data.silence_dbfs:g}); lower it, or prepare louder audio"
            )
