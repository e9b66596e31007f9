"""Arrays of the Python interface, of NumPy or PyTorch: checks and conversions."""

from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.array_checks import check_samples
from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES, FloatArray
from codec.errors import UserError

ArrayT = TypeVar("ArrayT", npt.NDArray[Any], Tensor)


def check_waveform(wave: npt.NDArray[Any] | Tensor, sample_rate: int) -> tuple[int, int]:
    """Check a waveform.

    Args:
        wave: ``[samples]`` or ``[channels, samples]``
        sample_rate: in Hz

    Returns:
        Numbers of channels and of samples.

    Raises:
        ValueError: not an array of such a shape, not floating-point numbers, or NaN or infinity in it.
        UserError: the sample rate is out of range.
    """
    check_sample_rate(sample_rate)
    check_array(
        wave,
        "codec.audio.read and codec encode read files",
        "encode the waves of a list one by one, or as a batch with codec.transformers",
    )
    channels = wave.shape[0] if wave.ndim == 2 else 1
    if wave.ndim not in (1, 2) or not 1 <= channels <= MAX_CHANNELS:
        advice = "; transpose it" if wave.ndim == 2 and wave.shape[1] <= MAX_CHANNELS else ""
        raise ValueError(f"expected a wave [samples] or [channels, samples], {describe_array(wave)}{advice}")
    check_samples(to_float32(wave) if is_float(wave) else to_numpy(wave))
    return channels, wave.shape[-1]


def check_array(values: Any, for_files: str, for_lists: str = "numpy.asarray makes an array of a list") -> None:
    """Check that a value is an array.

    Args:
        values: any value
        for_files: what to do if it is not, but the name of a file, for example
        for_lists: what to do if it is a list

    Raises:
        ValueError: it is not an array.
    """
    if not isinstance(values, np.ndarray | Tensor):
        advice = for_lists if isinstance(values, list | tuple) else for_files
        raise ValueError(f"expected an array of NumPy or a tensor, not {type(values).__name__}; {advice}")


def check_sample_rate(sample_rate: int) -> int:
    """Check a sample rate.

    Args:
        sample_rate: in Hz

    Returns:
        The sample rate.

    Raises:
        UserError: it is out of range.
    """
    if sample_rate not in SAMPLE_RATES:
        raise UserError(f"a sample rate from {SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz, not {sample_rate!r}")
    return int(sample_rate)


def is_float(values: npt.NDArray[Any] | Tensor) -> bool:
    """Determine whether an array has floating-point numbers.

    Args:
        values: the array

    Returns:
        Whether it does.
    """
    return values.is_floating_point() if isinstance(values, Tensor) else values.dtype.kind == "f"


def describe_array(values: npt.NDArray[Any] | Tensor) -> str:
    """Describe an array in a message about another one that was expected.

    Args:
        values: the array

    Returns:
        A phrase that begins with "not".

    >>> describe_array(np.zeros((2, 3)))
    'not float64 of the shape [2, 3]'
    """
    return f"not {values.dtype} of the shape {list(values.shape)}"


def to_float32(wave: npt.NDArray[Any] | Tensor) -> FloatArray:
    """Convert to a contiguous array of NumPy.

    Args:
        wave: any array of numbers

    Returns:
        float32, of the same shape.
    """
    values = wave.detach().cpu().float().numpy() if isinstance(wave, Tensor) else wave
    return np.ascontiguousarray(values, np.float32)


def to_numpy(values: npt.NDArray[Any] | Tensor) -> npt.NDArray[Any]:
    """Convert to an array of NumPy of the same numbers.

    Args:
        values: any array of numbers that NumPy has, too

    Returns:
        An array that may share its memory with ``values``.
    """
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else values


def to_tensor(values: npt.NDArray[Any] | Tensor) -> Tensor:
    """Convert to a tensor without gradients.

    Args:
        values: any array of numbers

    Returns:
        A tensor as it is; of an array, float32 or int64.
    """
    if isinstance(values, Tensor):
        return values.detach()
    wide = np.float32 if values.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(values, wide))


def to_same_kind(given: ArrayT, values: Tensor) -> ArrayT:
    """Convert a result to the kind of array that was given.

    Args:
        given: an array of the caller
        values: the result

    Returns:
        An array of NumPy, or a tensor on the device of the one given.
    """
    if isinstance(given, Tensor):
        return values.to(given.device).clone()  # what inference mode made cannot take part in training
    return values.cpu().numpy()
