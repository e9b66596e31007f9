"""The arrays in which audio is passed around: float32 ``[channels, samples]``, full scale is 1."""

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


def exceeds_full_scale(wave: FloatArray) -> int:
    """Return the number of samples in ``wave`` whose magnitude exceeds 1."""
    return int(np.count_nonzero(np.abs(wave) > 1))
