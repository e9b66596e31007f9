"""By what a run is judged, and what it was trained on: all its clips, so that a test clip among them shows."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from codec.config import Recipe
from codec.dataset.packed import Clip, PackedSplit
from codec.runtime.atomic_files import write_text

TRAINED_CLIPS = "trained_clips.txt"
"""In the folder of a run, or of a model exported from one: the ids, digests of the audio, of all clips that it was ever
trained on, one a line."""


def criterion(recipe: Recipe, validation: PackedSplit) -> str:
    """16 hexadecimal digits that name what a validation loss depends on beside the weights: the losses, the clips and
    which crops of them are taken."""
    data = recipe.data
    crops = {
        "samples": recipe.crop_samples,
        "batches": max(1, recipe.train.validation_clips // data.batch_size),
        "batch_size": data.batch_size,
        "silence_dbfs": data.silence_dbfs,
        "channels": data.channels,
    }
    losses = {name: weight for name, weight in recipe.losses.items() if weight}
    known = {"losses": losses, "crops": crops, "clips": validation.fingerprint, "codec": asdict(recipe.codec)}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def record_trained_clips(run: Path, split: PackedSplit, parent: Path | None) -> None:
    """Add the clips of ``split`` to those of the run.

    Args:
        run: its folder.
        split: that is trained on from now on.
        parent: model that the run starts from, whose clips count, too.
    """
    before = trained_clips(run)
    known = (before or frozenset()) | (trained_clips(parent) or frozenset() if parent else frozenset())
    clips = known | {clip.clip_id for clip in split.clips}
    if clips != before:
        write_text(run / TRAINED_CLIPS, "".join(f"{clip}\n" for clip in sorted(clips)))


def trained_clips(model: Path) -> frozenset[str] | None:
    """Ids of all clips that the model of a run, or in a folder, was ever trained on; None where it is not recorded."""
    for folder in (model, model.parent) if model.name == "model" else (model,):
        if (folder / TRAINED_CLIPS).is_file():
            return frozenset((folder / TRAINED_CLIPS).read_text(encoding="utf-8").split())
    return None


def count_trained(model: Path, clips: Iterable[Clip]) -> int | None:
    """How many of ``clips`` the model was trained on; None where that is not recorded."""
    known = trained_clips(Path(model))
    return None if known is None else sum(clip.clip_id in known for clip in clips)
