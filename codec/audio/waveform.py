"""Waveforms as arrays: float32 ``[channels, samples]`` with full scale 1, and the limits of what can be coded."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""An array of float32, ``[channels, samples]`` if it is a waveform."""

SAMPLE_RATES = range(1000, 768001)
"""Sample rates that can be coded, in Hz; the ``.nac`` format states one of them."""

MAX_CHANNELS = 255
"""Largest number of channels that can be coded; the ``.nac`` format counts them in one byte."""


def count_over_full_scale(waveform: FloatArray) -> int:
    """Return how many samples exceed full scale.

    Args:
        waveform: of any shape; full scale is 1

    Returns:
        The number of samples whose magnitude is above 1. All channels are counted.

    >>> count_over_full_scale(np.array([[0.5, -1.0, 1.25], [-3.0, 0.0, 1.0]], np.float32))
    2
    """
    return int(np.count_nonzero(np.abs(waveform) > 1))
