"""Training batches from packed audio, each a pure function of the seed and the step."""

import signal
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import lightning as L
import numpy as np
import numpy.typing as npt
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler, get_worker_info

from codec.audio.channels import channels_to_streams
from codec.config import AugmentConfig, Recipe
from codec.dataset.arrays import DamagedShardError
from codec.dataset.location import DataLocation, open_split
from codec.dataset.packed_split import PackedSplit
from codec.dataset.streamed import require_disjoint
from codec.errors import UserError
from codec.model.processes import ONE_PROCESS, Processes
from codec.runtime.signals import RUN_SIGNALS
from codec.training.augment import BatchItems, augment
from codec.training.crop_order import CropOrder, UniformOrder, WindowOrder
from codec.training.resident_audio import ResidentAudio, resident_bytes, why_not_resident
from codec.training.source_balance import clip_weights
from codec.training.state import TrainingState

_EVALUATION_SEED = 20_000
"""Evaluation crops are the same for every run on the same data, whatever its seed."""
_MAX_DRAWS = 20
"""Number of draws after which a silent crop is accepted."""
_MAX_NAMED = 4
"""Clips of a batch that a message names."""


class CropPosition(NamedTuple):
    """Where a crop begins."""

    clip: int
    """Number of the clip in the split."""
    start: int
    """First frame; the end of the clip gives a crop of silence."""


class DrawnBatch(NamedTuple):
    """A batch, or the part of it that one process computes, of which only the positions are known."""

    step: int
    """Number of the batch."""
    numbers: list[int]
    """Numbers of the crops in the batch."""
    positions: Tensor
    """Clip and first frame of these crops and of those that are mixed into them, int64 ``[crops, 2]``."""
    frames: dict[str, int]
    """As in :class:`CountedBatch`."""
    damaged: Mapping[str, str]
    """As in :class:`CountedBatch`."""


class CountedBatch(NamedTuple):
    """A batch, or the part of it that one process computes."""

    waveform: Tensor
    """float32 ``[crops * channels, 1, samples]``."""
    frames: dict[str, int]
    """Samples per channel of each source in it."""
    damaged: Mapping[str, str] = MappingProxyType({})
    """Damaged arrays that the process met so far, each with the reason; their clips are skipped."""


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


class RemainingSteps(Sampler[int]):
    """The steps from the present one to the next validation.

    There is at least one, since Lightning does not begin a fit without any, not even to validate. A run that is over
    stops before that step.

    Args:
        recipe: number of steps of the run
        state: progress of the training
    """

    def __init__(self, recipe: Recipe, state: TrainingState):
        self._recipe, self._state = recipe, state

    def __iter__(self) -> Iterator[int]:
        return iter(range(self._state.step, self._state.step + len(self)))

    def __len__(self) -> int:
        step, every = self._state.step, self._state.validate_every
        return max(1, min((step // every + 1) * every, self._recipe.train.steps) - step)


class CodecData(L.LightningDataModule):
    """Training crops, and two sets of fixed crops without augmentation that validations evaluate.

    One set is from the training split (the training-evaluation subset), the other from the validation split. Comparing
    the two shows over- and underfitting. Training crops are balanced over the sources as the recipe says; the fixed
    ones are drawn by length alone, so that runs with another balance have comparable losses.

    Args:
        data: the folder that ``codec prepare`` wrote, or another place, see :func:`codec.dataset.location.open_split`
        recipe: settings of the run
        state: progress of the training, which determines the next batches; by default its beginning
        processes: those that share each batch; the loaders give the crops of this one

    Raises:
        UserError: the data does not fit the recipe, or a batch cannot be divided over the processes.
    """

    def __init__(
        self,
        data: DataLocation,
        recipe: Recipe,
        state: TrainingState | None = None,
        processes: Processes = ONE_PROCESS,
    ):
        super().__init__()
        self.recipe, self.state = recipe, state or TrainingState(validate_every=recipe.train.validate_every)
        self._processes, self._numbers = processes, own_numbers(recipe, processes)
        self._resident: ResidentAudio | None = None
        rate, channels = recipe.codec.sample_rate, recipe.data.channels
        train = open_split(data, "train", rate, channels, recipe.data.max_damaged_share)
        val = open_split(data, "val", rate, channels)
        if not train.arrays.random_access:
            require_disjoint(train, val)
        weights = clip_weights(train.clips, train.sources, recipe.data)
        self.train_crops = Crops(train, recipe, recipe.augment, recipe.train.seed, weights, moving=True)
        self.evaluation_crops = [Crops(split, recipe, AugmentConfig(), _EVALUATION_SEED) for split in (train, val)]
        """Crops of the evaluation splits, in the order of
        :data:`codec.training.validation_sums.EVALUATION_SPLITS`."""

    @property
    def val_crops(self) -> Crops:
        """Fixed crops of the validation split."""
        return self.evaluation_crops[1]

    def make_resident(self, device: torch.device) -> str:
        """Copy the training audio to the device, if ``data.resident`` and its size permit it in all processes.

        Each process holds all of it, since it may draw from any clip.

        Args:
            device: device of the training

        Returns:
            What was decided, in one line.

        Raises:
            UserError: the recipe demands it, but the data is streamed.
        """
        split = self.train_crops.split
        reason = why_not_resident(split, self.recipe, device)
        if reason and self.recipe.data.resident == "always":
            raise UserError(f"data.resident is always, but {reason}")
        if self._processes.any(bool(reason)):
            return f"training audio is loaded batch by batch: {reason or 'another process has no room for it'}"
        self._resident = ResidentAudio(split, device)
        return f"training audio is kept on the device ({resident_bytes(split) / 1e9:.2g} GB)"

    def load(self, step: int, device: torch.device) -> CountedBatch:
        """Load what this process trains on in a step.

        Args:
            step: number of the batch
            device: device of the training

        Returns:
            The crops on the device.
        """
        return self.on_after_batch_transfer(move_data_to_device(self._own_crops[step], device), 0)

    def on_after_batch_transfer(self, batch: CountedBatch | DrawnBatch, dataloader_idx: int) -> CountedBatch:
        """Read and augment crops that only their positions were sent of.

        Args:
            batch: a batch on the device
            dataloader_idx: not used

        Returns:
            The batch with waveforms.
        """
        if isinstance(batch, CountedBatch):
            return batch
        assert self._resident is not None
        return self.train_crops.finish(batch, self._resident.read(batch.positions, self.recipe.crop_samples))

    @property
    def _own_crops(self) -> OwnCrops:
        return OwnCrops(self.train_crops, self._numbers, drawn=self._resident is not None)

    def train_dataloader(self) -> DataLoader:
        """Return a loader of the batches up to the next validation."""
        return self._loader(self._own_crops, RemainingSteps(self.recipe, self.state))

    def val_dataloader(self) -> list[DataLoader]:
        """Return a loader for each of the evaluation splits."""
        batches = range(max(1, self.recipe.train.validation_clips // self.recipe.data.batch_size))
        for crops in self.evaluation_crops:
            crops.keep(batches, self._numbers)
        return [self._loader(OwnCrops(crops, self._numbers), batches) for crops in self.evaluation_crops]

    def _loader(self, crops: OwnCrops, steps: Sampler[int] | range) -> DataLoader:
        workers = self.recipe.data.workers
        return DataLoader(
            crops,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
            worker_init_fn=_ignore_signals,
        )


def _ignore_signals(worker: int) -> None:
    """Ignore signals to all processes of a run in those that load data, which the present step needs."""
    for number in RUN_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
