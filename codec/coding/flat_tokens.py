"""Codes as one sequence of ids with one vocabulary, as language models take them, and the way back.

The codes of a frame stand one after the other, from the first codebook to the last, and frame after frame; the id of a
code of codebook ``k`` is ``k * size + code``. With two codebooks of 1024 entries, frames ``(5, 7), (6, 8)`` are the ids
``5, 1031, 6, 1032``. (The "flattening pattern" of J. Copet et al., "Simple and controllable music generation", 2023.)
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import IntArray


def flatten_codes(codes: npt.NDArray[Any], size: int) -> IntArray:
    """Write codes as ids.

    Args:
        codes: ``[..., codebooks, frames]``, all from 0 to ``size - 1``
        size: number of entries in each codebook

    Returns:
        Ids ``[..., frames * codebooks]`` from 0 to ``codebooks * size - 1``, of the type of ``codes``.

    Raises:
        ValueError: not whole numbers of such a shape, codes out of range, or a type that cannot hold the ids.

    >>> flatten_codes(np.array([[5, 6], [7, 8]]), 1024).tolist()
    [5, 1031, 6, 1032]
    """
    if codes.ndim < 2 or codes.dtype.kind not in "iu":
        raise ValueError(f"expected whole numbers [codebooks, frames], not {codes.dtype} of the shape {codes.shape}")
    if codes.size and not (0 <= codes.min() and codes.max() < size):
        raise ValueError(f"expected codes from 0 to {size - 1}; one that is missing (-1) has no id")
    if codes.shape[-2] * size - 1 > np.iinfo(codes.dtype).max:
        raise ValueError(f"{codes.dtype} cannot hold {codes.shape[-2] * size} ids; convert the codes to int32")
    first = (np.arange(codes.shape[-2]) * size).astype(codes.dtype)
    return np.ascontiguousarray(np.swapaxes(codes + first[:, None], -1, -2)).reshape(*codes.shape[:-2], -1)


def unflatten_ids(ids: npt.NDArray[Any], size: int, codebooks: int | None = None) -> IntArray:
    """Recover codes from ids.

    Args:
        ids: ``[..., frames * codebooks]``, in the order of :func:`flatten_codes`
        size: number of entries in each codebook
        codebooks: number of codebooks (default: those that occur)

    Returns:
        Codes ``[..., codebooks, frames]``, of the type of ``ids``.

    Raises:
        ValueError: not whole numbers, an id that is in the wrong place, or an incomplete last frame.

    >>> unflatten_ids(np.array([5, 1031, 6, 1032]), 1024).tolist()
    [[5, 6], [7, 8]]
    """
    if ids.ndim < 1 or ids.dtype.kind not in "iu" or (ids.size and ids.min() < 0):
        raise ValueError(f"expected whole numbers from 0 on [ids], not {ids.dtype} of the shape {list(ids.shape)}")
    count = codebooks or (int(ids.max()) // size + 1 if ids.size else 1)
    wrong = np.argwhere(ids // size != np.arange(ids.shape[-1]) % count)
    if len(wrong):
        place, found = int(wrong[0][-1]), int(ids[tuple(wrong[0])])
        first = place % count * size
        raise ValueError(
            f"id {found} at position {place} is not of codebook {place % count}, whose ids are {first} to"
            f" {first + size - 1}"
        )
    if ids.shape[-1] % count:
        raise ValueError(f"{ids.shape[-1]} ids are not whole frames of {count}; cut the last {ids.shape[-1] % count}")
    return np.ascontiguousarray(np.swapaxes((ids % size).reshape(*ids.shape[:-1], -1, count), -1, -2))
