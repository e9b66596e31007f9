"""Interface of inference backends, which compute the blocks of a stream.

Inputs and outputs are NumPy arrays, so that a backend needs no PyTorch. :mod:`codec.model.torch_backend` runs the
layers of a model, :mod:`codec.pretrained.onnx_backend` runs exported graphs. A backend provides *steps*: functions from
a block and the previous state to the outputs and the next state.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

BlockState = Any
"""State of streams between two blocks, such as tensors on a GPU; its type is private to the step that made it."""

BlockOutputs = tuple[npt.NDArray[Any], ...]
"""Arrays whose first dimension is the streams."""


class BlockStep(Protocol):
    """Computation of one block of several streams.

    Steps that are equal (``==`` and ``hash``) compute the same, and blocks given to them may be computed together, see
    :mod:`codec.model.dynamic_batching`.
    """

    @property
    def prefers_whole_blocks(self) -> bool:
        """Whether one batch of whole blocks is computed faster than several of shorter blocks, as on a GPU."""

    def initial_state(self, streams: int, /) -> BlockState:
        """Return the state before the first block.

        Args:
            streams: number of streams

        Returns:
            State of all streams.
        """

    def empty_outputs(self, streams: int, /) -> BlockOutputs:
        """Return the outputs for a block of no frames.

        Args:
            streams: number of streams

        Returns:
            Arrays without frames.
        """

    def __call__(self, block: npt.NDArray[Any], state: BlockState, /) -> tuple[BlockOutputs, BlockState]:
        """Compute a block.

        Args:
            block: ``[streams, ...]``; see :class:`InferenceBackend`
            state: state after the previous block

        Returns:
            The outputs, and the state after this block.
        """

    def join_states(self, states: Sequence[BlockState], /) -> BlockState:
        """Return the state of all streams of several states, in order.

        Args:
            states: at least one state

        Returns:
            One state.
        """

    def split_state(self, state: BlockState, sizes: Sequence[int], /) -> list[BlockState]:
        """Split a state; the inverse of :meth:`join_states`.

        Args:
            state: state of several streams
            sizes: number of streams of each part

        Returns:
            One state for each part.
        """


class InferenceBackend(Protocol):
    """Computes the blocks of a model's streams."""

    def encoding_step(self, codebooks: int, block: int, /) -> BlockStep:
        """Return the step of an encoder.

        Args:
            codebooks: number of codebooks to use
            block: latent frames per block, except that the last one may be shorter

        Returns:
            A step from waveforms float32 ``[streams, frames * latent_hop]`` at the model's sample rate to two outputs
            of the shape ``[streams, codebooks, frames]``: codes (int64), and their importances (float32).
        """

    def decoding_step(self, block: int, /) -> BlockStep:
        """Return the step of a decoder.

        Args:
            block: as for :meth:`encoding_step`

        Returns:
            A step from codes int64 ``[streams, codebooks, frames]``, of up to the model's number of codebooks, some of
            which may be absent, to one output: waveforms float32 ``[streams, frames * latent_hop]``. The first hop of a
            stream lies before its first sample.
        """


def join_arrays(parts: Sequence[BlockOutputs], axis: int = 0) -> BlockOutputs:
    """Join outputs.

    Args:
        parts: at least one tuple of arrays
        axis: axis along which the arrays of the same position are joined

    Returns:
        One array for each position.
    """
    return parts[0] if len(parts) == 1 else tuple(np.concatenate(arrays, axis) for arrays in zip(*parts))


def split_streams(outputs: BlockOutputs, sizes: Sequence[int]) -> list[BlockOutputs]:
    """Split outputs by streams.

    Args:
        outputs: arrays whose first dimension is the streams
        sizes: number of streams of each part

    Returns:
        One tuple of arrays for each part.
    """
    cuts = np.cumsum(sizes[:-1])
    return list(zip(*(np.split(array, cuts) for array in outputs)))
