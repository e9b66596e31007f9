"""Data of a training: the loaders of its batches up to the next validation, and of those that validations evaluate."""

import signal
from collections.abc import Iterator
from functools import cached_property

import lightning as L
import torch
from lightning.fabric.utilities import move_data_to_device
from torch.utils.data import DataLoader, Sampler

from codec.config import AugmentConfig, Recipe
from codec.dataset.location import DataLocation, open_split
from codec.dataset.streamed import require_disjoint
from codec.errors import UserError
from codec.model.processes import ONE_PROCESS, Processes
from codec.runtime.signals import RUN_SIGNALS
from codec.training.batches import CountedBatch, DrawnBatch
from codec.training.crops import Crops
from codec.training.own_crops import OwnCrops, own_numbers
from codec.training.resident_audio import ResidentAudio, resident_bytes, why_not_resident
from codec.training.source_balance import clip_weights
from codec.training.state import TrainingState

_EVALUATION_SEED = 20_000
"""Evaluation crops are the same for every run on the same data, whatever its seed."""


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

    @cached_property
    def fingerprints(self) -> str:
        """Fingerprints of the training and validation clips, see :attr:`PackedSplit.fingerprint`."""
        return " ".join(crops.split.fingerprint for crops in self.evaluation_crops)

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
