"""Audio samples of a run over time: clips of the validation split, decoded at some of its validations."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback

from codec.audio import write
from codec.audio.channels import streams_to_channels
from codec.config import AugmentConfig
from codec.dataset.packed_split import PackedSplit
from codec.runtime.atomic_files import temporary_path
from codec.training.best_model import BestModelCheckpoint
from codec.training.crops import Crops
from codec.training.module import CodecModule
from codec.training.run_folder import ORIGINAL_FOLDER, audio_sample_folder, audio_sample_folders

_CLIPS, _CLIP_S = 3, 4.0
_CLIP_SEED = 30_001
"""The clips are the same for every run on the same data."""
_DOUBLINGS = 5


def select_steps_to_keep(steps: Sequence[int], best: int, every: int) -> set[int]:
    """Select the validations whose audio samples are preserved, so that their number stays bounded.

    Args:
        steps: steps of all validations with audio samples, ascending
        best: step of the best validation
        every: steps between validations

    Returns:
        The first, the last and the best step, and the latest five whose number of validations is a power of two.

    >>> sorted(select_steps_to_keep(range(10, 340, 10), best=210, every=10))
    [10, 20, 40, 80, 160, 210, 320, 330]
    """
    doubled = [step for step in steps if step % every == 0 and (step // every).bit_count() == 1]
    return {steps[0], *doubled[-_DOUBLINGS:], best, steps[-1]}


class AudioSampleLogger(Callback):
    """Writer of ``original/`` and ``step_N/``, each with the same clips as FLAC files.

    Args:
        folder: folder of all audio samples of the run
        split: validation clips
        module: the training; the average of its weights decodes the clips
        best: callback that determines the best step; it must come before this one
    """

    def __init__(self, folder: Path, split: PackedSplit, module: CodecModule, best: BestModelCheckpoint):
        self.folder, self.module, self.best = folder, module, best
        recipe = module.recipe
        excerpts = replace(recipe, data=replace(recipe.data, crop_s=_CLIP_S, batch_size=_CLIPS))
        self._clips = Crops(split, excerpts, AugmentConfig(), _CLIP_SEED)[0]

    def on_train_start(self, *_: Any) -> None:
        """Remove samples of steps after the checkpoint, and write the original clips."""
        # samples after the checkpoint are made again
        for step, path in audio_sample_folders(self.folder).items():
            if step > self.module.state.step:
                shutil.rmtree(path)
        if not (self.folder / ORIGINAL_FOLDER).is_dir():
            self._write(self.folder / ORIGINAL_FOLDER, self._clips)

    @torch.no_grad()
    def on_validation_end(self, *_: Any) -> None:
        """Decode the clips, and remove the samples of steps that are not selected."""
        module, state = self.module, self.module.state
        decoded = module.average(self._clips.to(module.device)).waveform.float().cpu()
        self._write(audio_sample_folder(self.folder, state.step), decoded)
        present = audio_sample_folders(self.folder)
        for step in present.keys() - select_steps_to_keep(list(present), self.best.best_step, state.validate_every):
            shutil.rmtree(present[step])

    def _write(self, folder: Path, streams: torch.Tensor) -> None:
        """Write the clips ``[clips * channels, 1, samples]``, all of them or none."""
        part, config = temporary_path(folder), self.module.recipe.codec
        try:
            part.mkdir(parents=True, exist_ok=True)
            for index, clip in enumerate(streams.unflatten(0, (_CLIPS, -1))):
                wave = streams_to_channels(clip, config.stereo).clamp(-1, 1).numpy()
                write(part / f"clip_{index + 1}.flac", np.ascontiguousarray(wave), config.sample_rate)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
