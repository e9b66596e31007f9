"""Channels of a waveform as the mono streams that a model codes one by one, and back.

Two channels become mid and side, ``(left + right) / sqrt(2)`` and ``(left - right) / sqrt(2)``. This transform is
orthonormal, so that an error or a bit has the same effect in either, and it is its own inverse. Models with
``stereo: separate`` code left and right instead. One channel, or more than two, are always coded separately.
"""

from typing import TYPE_CHECKING, Literal, TypeVar

import numpy as np

if TYPE_CHECKING:
    import torch

WaveformArray = TypeVar("WaveformArray", np.ndarray, "torch.Tensor")
"""A NumPy array or a PyTorch tensor: the functions below return the type of their argument."""
StereoMode = Literal["mid_side", "separate"]
"""Coding of two channels: as mid and side, or as left and right."""


def _rotate(pair: WaveformArray) -> WaveformArray:
    """Turn the two channels of the first axis into mid and side, or back."""
    both = [(pair[0] + pair[1]) * 0.5**0.5, (pair[0] - pair[1]) * 0.5**0.5]
    if isinstance(pair, np.ndarray):
        return np.stack(both)
    import torch  # not at module level: this package is imported by commands that need no PyTorch

    return torch.stack(both)


def channels_to_streams(waveform: WaveformArray, stereo: StereoMode) -> WaveformArray:
    """Turn the channels of a waveform into mono streams.

    Args:
        waveform: ``[channels, samples]``
        stereo: coding of two channels; without effect for any other number of channels

    Returns:
        ``[channels, 1, samples]``: a batch of mono streams, mid first.

    >>> streams = channels_to_streams(np.array([[1.0, 0.5], [1.0, -0.5]]), "mid_side")
    >>> np.round(streams[:, 0], 3).tolist()
    [[1.414, 0.0], [0.0, 0.707]]
    """
    return (_rotate(waveform) if len(waveform) == 2 and stereo == "mid_side" else waveform)[:, None]


def streams_to_channels(streams: WaveformArray, stereo: StereoMode) -> WaveformArray:
    """Turn mono streams back into the channels of a waveform; the inverse of :func:`channels_to_streams`.

    Args:
        streams: ``[channels, 1, samples]``
        stereo: same value as for :func:`channels_to_streams`

    Returns:
        The waveform ``[channels, samples]``.
    """
    waveform = streams[:, 0]
    return _rotate(waveform) if len(waveform) == 2 and stereo == "mid_side" else waveform
