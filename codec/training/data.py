"""Training batches over packed audio, each a pure function of the seed and the step."""

from collections.abc import Iterator
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from codec.channels import fold
from codec.config import AugmentConfig, Recipe
from codec.packed import PackedSplit, open_split
from codec.training.augment import augment
from codec.training.standing import crop_samples

VALIDATION_SEED = 20_000
"""Validation crops are the same for every run on the same data, whatever its seed."""

TRIES = 20
"""Draws before a silent crop is accepted after all."""


class Crops(Dataset[Tensor]):
    """Item ``step`` is the batch of that step, ``[batch * channels, 1, samples]`` float32.

    Clips are drawn in proportion to their length; crops below ``silence_dbfs`` are drawn again. Stereo crops are
    folded into streams (mid and side) beside one another in the batch.
    """

    def __init__(self, split: PackedSplit, recipe: Recipe, augmentation: AugmentConfig, seed: int):
        self.split, self.recipe, self.augmentation, self.seed = split, recipe, augmentation, seed
        self.samples = crop_samples(recipe)
        self.ends = np.cumsum([clip.frames for clip in split.clips])
        self.silence = 10 ** (recipe.data.silence_dbfs / 20)

    def __len__(self) -> int:
        return self.recipe.train.steps

    def __getitem__(self, step: int) -> Tensor:
        # each crop has its own draws, so that runs with other batch sizes are judged on the same crops
        first = step * self.recipe.data.batch_size
        numbers = range(first, first + self.recipe.data.batch_size)
        crops = np.stack([self._draw(np.random.default_rng([self.seed, number])) for number in numbers])
        wave = augment(torch.from_numpy(crops), self.augmentation, self.split.sample_rate, self.seed, step)
        return torch.cat([fold(item, self.recipe.codec.stereo) for item in wave])

    def _draw(self, rng: np.random.Generator) -> np.ndarray:
        """``[channels, samples]`` float32; a clip that is too short is followed by silence."""
        crop = np.zeros((self.split.channels, self.samples), np.float32)
        for _ in range(TRIES):
            clip = int(np.searchsorted(self.ends, rng.integers(self.ends[-1]), side="right"))
            start = int(rng.integers(max(1, self.split.clips[clip].frames - self.samples + 1)))
            piece = self.split.wave(clip, start, self.samples).T
            if np.sqrt(np.mean(np.square(piece / 32768))) > self.silence:
                crop[:, : piece.shape[1]] = piece / np.float32(32768)
                break
        return crop


class RemainingSteps(Sampler[int]):
    """The steps from where the run stands to its next validation. Its length is that of a whole stretch between
    validations, which is what Lightning counts in, also after resuming in the middle of one."""

    def __init__(self, data: "CodecData"):
        self.data = data

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.data.step, self._start() + len(self)))

    def __len__(self) -> int:
        return max(0, min(self.data.validate_every, self.data.recipe.train.steps - self._start()))

    def _start(self) -> int:
        """First step of this stretch."""
        every = self.data.validate_every
        return self.data.step // every * every


class CodecData(L.LightningDataModule):
    """Training crops, and two fixed sets of crops without augmentation to judge on: one from the training split, one
    from the validation split. Comparing the two is how over- and underfitting show."""

    def __init__(self, data: Path, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        config = recipe.codec
        train, val = (open_split(data, name, config.sample_rate, recipe.data.channels) for name in ("train", "val"))
        self.train_crops = Crops(train, recipe, recipe.augment, recipe.train.seed)
        self.fixed_crops = [Crops(split, recipe, AugmentConfig(), VALIDATION_SEED) for split in (train, val)]

    @property
    def step(self) -> int:
        """Finished training steps, as the module counts them."""
        return int(self.trainer.lightning_module.step) if self.trainer else 0  # type: ignore[arg-type]

    @property
    def validate_every(self) -> int:
        """Steps between validations, as the module has it."""
        module = self.trainer.lightning_module if self.trainer else self.recipe.train
        return int(module.validate_every)  # type: ignore[arg-type]

    def train_dataloader(self) -> DataLoader:
        return self._loader(self.train_crops, RemainingSteps(self))

    def val_dataloader(self) -> list[DataLoader]:
        batches = range(max(1, self.recipe.train.validation_clips // self.recipe.data.batch_size))
        return [self._loader(crops, batches) for crops in self.fixed_crops]

    def _loader(self, crops: Crops, steps: Sampler[int] | range) -> DataLoader:
        workers = self.recipe.data.workers
        return DataLoader(
            crops,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            pin_memory=torch.cuda.is_available(),
            persistent_workers=workers > 0,
        )
