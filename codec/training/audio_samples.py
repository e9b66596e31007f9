"""What a run sounded like over time: clips of the validation split, decoded at some of its validations."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import lightning as L
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from codec.audio import write
from codec.audio.channels import streams_to_channels
from codec.config import AugmentConfig, Recipe
from codec.dataset.packed import PackedSplit
from codec.runtime.atomic_files import temporary_path
from codec.training.best_model import BestModelCheckpoint
from codec.training.data import Crops
from codec.training.module import CodecModule
from codec.training.run_folder import ORIGINAL, audio_sample_folders, step_folder

CLIPS, CLIP_S = 3, 4.0
SEED = 30_001
"""The clips are the same for every run on the same data."""
DOUBLINGS = 5


def select_steps_to_keep(steps: Sequence[int], best: int, every: int) -> set[int]:
    """Of the validated ``steps``, ascending, those whose sounds stay: the first, the last and the best, and the latest
    five at a power of two of validations; eight at most. ``every``: steps between validations."""
    doubled = [step for step in steps if step % every == 0 and (step // every).bit_count() == 1]
    return {steps[0], *doubled[-DOUBLINGS:], best, steps[-1]}


class AudioSampleLogger(Callback):
    """Keeps ``sounds/original`` and ``sounds/step_N``, each with the same clips as FLAC. Stands after ``best`` among
    the callbacks, whose choice it follows."""

    def __init__(self, folder: Path, split: PackedSplit, recipe: Recipe, best: BestModelCheckpoint):
        self.folder, self.recipe, self.best = folder, recipe, best
        excerpts = replace(recipe, data=replace(recipe.data, crop_s=CLIP_S, batch_size=CLIPS))
        self.clips = Crops(split, excerpts, AugmentConfig(), SEED)[0]

    def on_train_start(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        """What a resumed run makes again is taken back."""
        assert isinstance(module, CodecModule)
        for step, path in audio_sample_folders(self.folder).items():
            if step > module.step:
                shutil.rmtree(path)
        if not (self.folder / ORIGINAL).is_dir():
            self._write(self.folder / ORIGINAL, self.clips)

    @torch.no_grad()
    def on_validation_end(self, trainer: L.Trainer, module: L.LightningModule) -> None:
        assert isinstance(module, CodecModule)
        decoded = module.average(self.clips.to(module.device)).wave.float().cpu()
        self._write(step_folder(self.folder, module.step), decoded)
        there = audio_sample_folders(self.folder)
        for step in there.keys() - select_steps_to_keep(list(there), self.best.best_step, module.validate_every):
            shutil.rmtree(there[step])

    def _write(self, folder: Path, streams: torch.Tensor) -> None:
        """All clips ``[clips * channels, 1, samples]`` or none."""
        part = temporary_path(folder)
        try:
            part.mkdir(parents=True, exist_ok=True)
            for index, clip in enumerate(streams.unflatten(0, (CLIPS, -1))):
                wave = streams_to_channels(clip, self.recipe.codec.stereo).clamp(-1, 1).numpy()
                write(part / f"clip_{index + 1}.flac", np.ascontiguousarray(wave), self.recipe.codec.sample_rate)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
