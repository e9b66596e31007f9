"""Checks of arrays that users pass in, for whole sounds as for streams. They need no PyTorch."""

from typing import Any

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import NO_CODE


def check_samples(wave: npt.NDArray[Any]) -> None:
    """Check the numbers of a waveform.

    Args:
        wave: of any shape

    Raises:
        ValueError: not floating-point numbers, or NaN or infinity in it.
    """
    if wave.dtype.kind != "f":
        raise ValueError(f"expected floating-point samples with full scale 1, not {wave.dtype}; divide integers by it")
    if not np.isfinite(wave).all():
        raise ValueError("NaN or infinity in the wave")


def check_codes(codes: npt.NDArray[Any], codebooks: int, size: int, channels: int | None = None) -> None:
    """Check codes.

    Args:
        codes: ``[channels, codebooks, frames]``, or ``[codebooks, frames]`` if any number of channels is allowed
        codebooks: codebooks of the model; there may be fewer
        size: entries of a codebook
        channels: number of channels (default: any)

    Raises:
        ValueError: not whole numbers of such a shape, or codes that the model does not have.
    """
    fits = codes.ndim == 3 and len(codes) == channels if channels else codes.ndim in (2, 3)
    if not fits or codes.dtype.kind not in "iu" or not 1 <= codes.shape[-2] <= codebooks:
        axes = (
            f"[{channels}, codebooks, frames]" if channels else "[codebooks, frames] or [channels, codebooks, frames]"
        )
        given = f"{codes.dtype} of the shape {list(codes.shape)}"
        raise ValueError(f"expected whole numbers {axes}, 1 to {codebooks} codebooks, not {given}")
    if codes.size and not (codes.min() >= NO_CODE and codes.max() < size):
        raise ValueError(f"expected codes from 0 to {size - 1}, or -1 for none")
