"""Training batches over packed audio, each a pure function of the seed and the step."""

import signal
from collections.abc import Iterator
from pathlib import Path

import lightning as L
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from codec.audio.channels import channels_to_streams
from codec.config import AugmentConfig, Recipe
from codec.dataset.packed import PackedSplit, open_split
from codec.errors import UserError
from codec.runtime.signals import RUN_SIGNALS
from codec.training.augment import augment

VALIDATION_SEED = 20_000
"""Validation crops are the same for every run on the same data, whatever its seed."""

TRIES = 20
"""Draws before a silent crop is accepted after all."""
MOST_NAMED = 4
"""Clips of a batch that a message names."""


class Crops(Dataset[Tensor]):
    """Item ``step`` is the batch of that step, ``[batch * channels, 1, samples]`` float32.

    Clips are drawn in proportion to their length; crops below ``silence_dbfs`` are drawn again. Stereo crops are
    folded into streams (mid and side) beside one another in the batch.
    """

    def __init__(self, split: PackedSplit, recipe: Recipe, augmentation: AugmentConfig, seed: int):
        self.split, self.recipe, self.augmentation, self.seed = split, recipe, augmentation, seed
        self.samples = recipe.crop_samples
        self.ends = np.cumsum([clip.frames for clip in split.clips])
        self.silence = 10 ** (recipe.data.silence_dbfs / 20)

    def __len__(self) -> int:
        return self.recipe.train.steps

    def __getitem__(self, step: int) -> Tensor:
        # each crop has its own draws, so that runs with other batch sizes are judged on the same crops
        first = step * self.recipe.data.batch_size
        numbers = range(first, first + self.recipe.data.batch_size)
        crops = np.stack([self._crop(*self._draw(number)) for number in numbers])
        wave = augment(torch.from_numpy(crops), self.augmentation, self.split.sample_rate, self.seed, step)
        return torch.cat([channels_to_streams(item, self.recipe.codec.stereo) for item in wave])

    def _draw(self, number: int) -> tuple[int, int]:
        """Clip and first frame of the crop with this number; a length beyond the clip's end stands for silence."""
        rng = np.random.default_rng([self.seed, number])
        for _ in range(TRIES):
            clip = int(np.searchsorted(self.ends, rng.integers(self.ends[-1]), side="right"))
            start = int(rng.integers(max(1, self.split.clips[clip].frames - self.samples + 1)))
            piece = self.split.waveform(clip, start, self.samples)
            if np.sqrt(np.mean(np.square(piece, dtype=np.float64))) > self.silence:
                return clip, start
        return clip, self.split.clips[clip].frames

    def _crop(self, clip: int, start: int) -> np.ndarray:
        """``[channels, samples]`` float32; a clip that is too short is followed by silence."""
        crop = np.zeros((self.split.channels, self.samples), np.float32)
        piece = self.split.waveform(clip, start, self.samples)
        crop[:, : piece.shape[1]] = piece
        return crop

    def describe(self, step: int) -> str:
        """The clips of a batch and where in them its crops begin, the first few of many."""
        size, rate = self.recipe.data.batch_size, self.split.sample_rate
        drawn = [self._draw(number) for number in range(step * size, (step + 1) * size)]
        named = [f"{self.split.clips[clip].path} at {start / rate:.2f} s" for clip, start in drawn[:MOST_NAMED]]
        more = f" and {size - MOST_NAMED} more" if size > MOST_NAMED else ""
        return f"{', '.join(named)}{more}"

    def require_sound(self, batches: Tensor) -> None:
        """Check the first batches, of which some must not be silent.

        Raises:
            UserError: nothing in them is above ``data.silence_dbfs``.
        """
        if not batches.any():
            raise UserError(
                f"none of {len(batches)} crops of the training clips is louder than data.silence_dbfs"
                f" ({self.recipe.data.silence_dbfs:g}); lower it, or prepare louder audio"
            )


class RemainingSteps(Sampler[int]):
    """The steps from where the run stands to its next validation: one at least, since Lightning does not begin a fit
    without any, not even to validate. A run that is over stops before that step."""

    def __init__(self, data: "CodecData"):
        self.data = data

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.data.step, self.data.step + len(self)))

    def __len__(self) -> int:
        step, every = self.data.step, self.data.validate_every
        return max(1, min((step // every + 1) * every, self.data.recipe.train.steps) - step)


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
            worker_init_fn=_leave_signals_to_parent,
        )


def _leave_signals_to_parent(worker: int) -> None:
    """A signal to all processes of a run must not end those that load data: the step that is under way needs them."""
    for number in RUN_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
