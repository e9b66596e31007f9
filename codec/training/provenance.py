"""Provenance of a model: its training clips, and the criterion of its validations."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from codec.config import Recipe
from codec.dataset.clips import Clip
from codec.dataset.packed_split import PackedSplit
from codec.runtime.atomic_files import write_text

TRAINED_CLIPS_FILE = "trained_clips.txt"
"""List of the ids (digests of the audio) of all clips that a model was ever trained on, one per line; in the folder of
a run or of a model exported from one."""


def criterion(recipe: Recipe, validation: PackedSplit) -> str:
    """Compute a digest of everything but the weights that a validation loss depends on.

    Args:
        recipe: losses and crops
        validation: the validation clips

    Returns:
        16 hexadecimal digits. Losses of validations can be compared if these are equal.
    """
    data = recipe.data
    crops = {
        "samples": recipe.crop_samples,
        "batches": max(1, recipe.train.validation_clips // data.batch_size),
        "batch_size": data.batch_size,
        "silence_dbfs": data.silence_dbfs,
        "channels": data.channels,
    }
    if not validation.arrays.random_access and len(validation.shards) > 1:  # crops come from some of the shards
        crops["open_shards"] = min(data.open_shards, len(validation.shards))
    losses = {name: weight for name, weight in recipe.losses.items() if weight}
    codec = recipe.codec.to_dict()  # without settings that are as they were before they existed
    codec["quantizer"].setdefault("contexts", 1)
    known = {"losses": losses, "crops": crops, "clips": validation.fingerprint, "codec": codec}
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()[:16]


def record_trained_clips(run: Path, split: PackedSplit, parent: Path | None) -> None:
    """Add clips to the list of those that a run was trained on.

    Args:
        run: folder of the run
        split: clips that the run is trained on from now on
        parent: folder of the model that the run starts from, whose clips are also added
    """
    before = trained_clips(run)
    known = (before or frozenset()) | (trained_clips(parent) or frozenset() if parent else frozenset())
    clips = known | {clip.clip_id for clip in split.clips}
    if clips != before:
        write_text(run / TRAINED_CLIPS_FILE, "".join(f"{clip}\n" for clip in sorted(clips)))


def trained_clips(model: Path) -> frozenset[str] | None:
    """Read the list of clips that a model was ever trained on.

    Args:
        model: folder of a run or of a model

    Returns:
        Ids of the clips; None if they were not recorded.
    """
    for folder in (model, model.parent) if model.name == "model" else (model,):
        if (folder / TRAINED_CLIPS_FILE).is_file():
            return frozenset((folder / TRAINED_CLIPS_FILE).read_text(encoding="utf-8").split())
    return None


def count_trained(model: Path, clips: Iterable[Clip]) -> int | None:
    """Count clips that a model was trained on.

    Args:
        model: folder of a run or of a model
        clips: clips to look up, such as those of the test split

    Returns:
        How many of ``clips`` it was trained on; None if that was not recorded.
    """
    known = trained_clips(Path(model))
    return None if known is None else sum(clip.clip_id in known for clip in clips)
