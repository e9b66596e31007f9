"""Training audio in the memory of a device, from which crops are read without the host.

A GPU with room for it gets all audio once, as 16-bit samples: 16 hours at 16 kHz are 1.8 GB. Afterwards the host sends
the positions of the crops alone.
"""

import numpy as np
import torch
from torch import Tensor

from codec.config import Recipe
from codec.dataset.packed_split import FULL_SCALE, PackedSplit

_LARGEST_SHARE = 0.25
"""Share of the free memory that audio may take; a step needs the rest."""
_NOISY = ("noise", "reverb")
"""Augmentations with random numbers for each sample, which processes that load data draw faster."""


class ResidentAudio:
    """The clips of a split on a device.

    Args:
        split: the clips; those of damaged arrays are silent
        device: the device
    """

    def __init__(self, split: PackedSplit, device: torch.device):
        frames = split.clips.numbers("frames").tolist()
        self._samples = torch.zeros(sum(frames), split.channels, dtype=torch.int16, device=device)
        self._frames = torch.tensor(frames, device=device)
        self._begins = self._frames.cumsum(0) - self._frames
        for index, place in enumerate(self._samples.split(frames)):
            if split.shard_of(index) not in split.damaged:
                place.copy_(torch.from_numpy(np.array(split.stored(index))))

    def read(self, positions: Tensor, samples: int) -> Tensor:
        """Read crops.

        Args:
            positions: clip and first frame of each crop, int64 ``[crops, 2]``, on the device
            samples: length of the crops

        Returns:
            float32 ``[crops, channels, samples]``, full scale ±1; silence follows a clip that ends before.
        """
        clips, starts = positions.unbind(1)
        times = starts[:, None] + torch.arange(samples, device=positions.device)
        inside = times < self._frames[clips][:, None]
        stored = self._samples[torch.where(inside, self._begins[clips][:, None] + times, 0)]
        return (stored * inside[..., None]).transpose(1, 2).float().contiguous() / FULL_SCALE


def why_not_resident(split: PackedSplit, recipe: Recipe, device: torch.device) -> str:
    """Decide whether training audio is to be kept on a device (``data.resident``).

    Args:
        split: the training clips
        recipe: settings of the run
        device: device of the training

    Returns:
        The reason why not, a clause; empty if it is.
    """
    wanted = recipe.data.resident
    if wanted == "never":
        return "data.resident is never"
    if not split.arrays.random_access:
        return "it is no local folder of codec prepare"
    if wanted == "always":
        return ""
    if device.type != "cuda":
        return "there is no GPU"
    if noisy := [name for name in _NOISY if getattr(recipe.augment, name)]:
        return f"augment.{noisy[0]} is computed by the CPU"
    free, size = torch.cuda.mem_get_info(device)[0], resident_bytes(split)
    if size > _LARGEST_SHARE * free:
        return f"its {size / 1e9:.1f} GB are over {_LARGEST_SHARE:.0%} of the GPU's free memory, {free / 1e9:.1f} GB"
    return ""


def resident_bytes(split: PackedSplit) -> int:
    """Return the size of a split in memory.

    Args:
        split: the clips

    Returns:
        Bytes.
    """
    return int(split.clips.numbers("frames").sum()) * split.channels * 2
