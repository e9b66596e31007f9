"""How the channels of a file become streams that the codec, which is mono, codes one by one.

Two channels become mid and side (orthonormal, so that bits and errors count alike in both), or stay as they are where
the model says so; more than two are separate.
"""

from typing import Literal, TypeVar

import numpy as np
import torch

Array = TypeVar("Array", np.ndarray, torch.Tensor)
Stereo = Literal["mid_side", "separate"]


def _rotate(pair: Array) -> Array:
    """(a, b) to ((a + b), (a - b)) / sqrt(2): its own inverse. The first axis holds the two channels."""
    both = [(pair[0] + pair[1]) * 0.5**0.5, (pair[0] - pair[1]) * 0.5**0.5]
    return torch.stack(both) if isinstance(pair, torch.Tensor) else np.stack(both)


def fold(wave: Array, stereo: Stereo) -> Array:
    """``[channels, samples]`` to streams ``[channels, 1, samples]``."""
    return (_rotate(wave) if len(wave) == 2 and stereo == "mid_side" else wave)[:, None]


def unfold(streams: Array, stereo: Stereo) -> Array:
    """Inverse of :func:`fold`: ``[channels, 1, samples]`` to ``[channels, samples]``."""
    wave = streams[:, 0]
    return _rotate(wave) if len(wave) == 2 and stereo == "mid_side" else wave
