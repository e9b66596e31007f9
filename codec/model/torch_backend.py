"""Inference in PyTorch: the layers of a model as steps of streams, see :mod:`codec.model.backend`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.model.backend import BlockOutputs, BlockStep
from codec.model.convnext import StreamState
from codec.model.frame_steps import DecodeFrame, EncodeFrame, has_plain_decoder
from codec.model.quantizers.continuous import ContinuousLatents

if TYPE_CHECKING:
    from codec.model.codec import Codec
    from codec.model.quantizers import InferenceQuantizer
    from codec.model.quantizers.fused import SubspaceVQ


@dataclass(frozen=True)
class TorchBackend:
    """Inference with the layers of a codec, on its device.

    Args:
        codec: model. Changes to its weights apply to steps that are made later.
        quantize: whether streams are of codes; otherwise continuous latents ``[streams, dimension, frames]``
    """

    codec: Codec
    quantize: bool = True

    def encoding_step(self, codebooks: int, block: int) -> BlockStep:
        """Return the step of an encoder; see :class:`codec.model.backend.InferenceBackend`.

        Args:
            codebooks: number of codebooks to use
            block: latent frames per block

        Returns:
            A step from waveforms to codes and their importances.
        """
        if block == 1 and self._on_cpu:
            return EncodeFrame(self.codec, codebooks, self._quantizer())
        return TorchStep(EncodeBlock(self.codec, codebooks, self.quantize, self._quantizer()))

    def decoding_step(self, block: int) -> BlockStep:
        """Return the step of a decoder; see :class:`codec.model.backend.InferenceBackend`.

        Args:
            block: latent frames per block

        Returns:
            A step from codes to waveforms.
        """
        if block == 1 and self._on_cpu and has_plain_decoder(self.codec):
            return DecodeFrame(self.codec, self._quantizer())
        return TorchStep(DecodeBlock(self.codec, self.quantize, self._quantizer()))

    @property
    def _on_cpu(self) -> bool:
        return self.codec.spread.device.type == "cpu"

    def _quantizer(self) -> InferenceQuantizer | ContinuousLatents:
        fused = self.codec.quantizer.fused()
        return fused if self.quantize else ContinuousLatents(fused)


class TensorStep(Protocol):
    """Step of a stream on tensors, also used for export."""

    @property
    def codec(self) -> Codec:
        """Model."""

    def initial_state(self, streams: int) -> StreamState:
        """Return the state before the first block.

        Args:
            streams: number of streams

        Returns:
            Tensors whose first dimension is the streams.
        """

    def empty_outputs(self, streams: int) -> tuple[Tensor, ...]:
        """Return the outputs for a block of no frames.

        Args:
            streams: number of streams

        Returns:
            Tensors without frames.
        """

    def __call__(self, block: Tensor, state: StreamState) -> tuple[tuple[Tensor, ...], StreamState]:
        """Compute a block.

        Args:
            block: ``[streams, ...]``
            state: state after the previous block; the first dimension of each of its tensors is the streams

        Returns:
            The outputs, and the state after this block.
        """


@dataclass(frozen=True)
class TorchStep:
    """A :class:`TensorStep` that takes and gives NumPy arrays.

    Args:
        compute: the step on tensors
    """

    compute: TensorStep

    @property
    def prefers_whole_blocks(self) -> bool:
        """Whether the device is a GPU or the like."""
        return self.compute.codec.spread.device.type != "cpu"

    def initial_state(self, streams: int) -> StreamState:
        """Return the state before the first block: zeros.

        Args:
            streams: number of streams

        Returns:
            Tensors whose first dimension is the streams.
        """
        return self.join_states(streams * [self._initial])

    @cached_property
    def _initial(self) -> StreamState:
        """The state of one stream before the first block; nothing changes it in place."""
        return self.compute.initial_state(1)

    def empty_outputs(self, streams: int) -> BlockOutputs:
        """Return the outputs for a block of no frames.

        Args:
            streams: number of streams

        Returns:
            Arrays without frames.
        """
        return tuple(np.empty((streams, *one.shape[1:]), one.dtype) for one in self._empty)

    @cached_property
    @torch.inference_mode()
    def _empty(self) -> BlockOutputs:
        """The outputs of one stream for a block of no frames."""
        return tuple(output.cpu().numpy() for output in self.compute.empty_outputs(1))

    @torch.inference_mode()
    def __call__(self, block: npt.NDArray[Any], state: StreamState) -> tuple[BlockOutputs, StreamState]:
        """Compute a block.

        Args:
            block: ``[streams, ...]``
            state: state after the previous block

        Returns:
            The outputs, and the state after this block.
        """
        # copied, so that the alignment of the memory, and with it the rounding of products, is always the same
        tensor = torch.tensor(block, device=self.compute.codec.spread.device)
        outputs, state = self.compute(tensor, state)
        return tuple(output.cpu().numpy() for output in outputs), state

    def join_states(self, states: Sequence[StreamState]) -> StreamState:
        """Return the state of all streams of several states, in order.

        Args:
            states: at least one state

        Returns:
            One state.
        """
        return states[0] if len(states) == 1 else tuple(map(torch.cat, zip(*states)))

    def split_state(self, state: StreamState, sizes: Sequence[int]) -> list[StreamState]:
        """Split a state; the inverse of :meth:`join_states`.

        Args:
            state: state of several streams
            sizes: number of streams of each part

        Returns:
            One state for each part.
        """
        return list(zip(*(tensor.split(list(sizes)) for tensor in state)))


@dataclass(frozen=True)
class EncodeBlock:
    """Encoder of a block: waveforms ``[streams, frames * latent_hop]`` to codes and importances.

    Args:
        codec: model
        codebooks: number of codebooks to use
        quantize: whether ``quantizer`` makes codes
        quantizer: quantizer for inference, which follows from the others
    """

    codec: Codec
    codebooks: int
    quantize: bool
    quantizer: InferenceQuantizer | ContinuousLatents = field(compare=False)

    def initial_state(self, streams: int) -> StreamState:
        """Return the state before the first block: zeros.

        Args:
            streams: number of streams

        Returns:
            That of the transform ``[streams, hop]``, and those of the encoder's blocks.
        """
        return self.codec.mdct.initial_state(streams), *self.codec.encoder.initial_state(streams)

    def empty_outputs(self, streams: int) -> tuple[Tensor, ...]:
        """Return the outputs for a block of no frames.

        Args:
            streams: number of streams

        Returns:
            Codes, or latents, and importances ``[streams, codebooks, 0]``.
        """
        importances = self.codec.spread.new_zeros(streams, self.codebooks, 0)
        if self.quantize:
            return importances.long(), importances
        latents = self.codec.spread.new_zeros(streams, self.codec.config.quantizer.dimension, 0)
        return latents, latents

    def __call__(self, block: Tensor, state: StreamState) -> tuple[tuple[Tensor, ...], StreamState]:
        """Encode a block. Codes of digital silence get the importance 0.

        Args:
            block: waveforms ``[streams, frames * latent_hop]``
            state: state after the previous block

        Returns:
            Codes and importances ``[streams, codebooks, frames]``, and the state after this block.
        """
        previous, hop = state[0], self.codec.config.hop
        latent, past = self.codec.analyse(block, previous, state[1:])
        codes, importances = self.quantizer.encode(latent, self.codebooks)
        silent = _silent_frames(block.unflatten(1, (-1, self.codec.config.latent_hop)), previous)
        return (codes, importances.masked_fill(silent[:, None], 0.0)), (block[:, -hop:], *past)


def _silent_frames(frames: Tensor, previous: Tensor) -> Tensor:
    """Determine which ``frames`` ``[streams, frames, samples]`` are zeros, as are the samples before them that their
    transform covers; before the first, these are ``previous`` ``[streams, hop]``.
    """
    peak = frames.abs().amax(-1)
    before = torch.cat([previous.abs().amax(-1, keepdim=True), frames[:, :-1, -previous.shape[1] :].abs().amax(-1)], 1)
    return (peak + before) == 0


class Decoding:
    """State and shapes of a decoder of blocks."""

    codec: Codec
    """The model."""

    def initial_state(self, streams: int) -> StreamState:
        """Return the state before the first block: zeros.

        Args:
            streams: number of streams

        Returns:
            That of the transform ``[streams, hop]``, and those of the decoder's blocks.
        """
        return self.codec.mdct.initial_state(streams), *self.codec.decoder.initial_state(streams)

    def empty_outputs(self, streams: int) -> tuple[Tensor, ...]:
        """Return the outputs for a block of no frames.

        Args:
            streams: number of streams

        Returns:
            Waveforms ``[streams, 0]``.
        """
        return (self.codec.spread.new_zeros(streams, 0),)


@dataclass(frozen=True)
class DecodeBlock(Decoding):
    """Decoder of a block: codes ``[streams, codebooks, frames]`` to waveforms.

    Args:
        codec: model
        quantize: whether ``quantizer`` takes codes
        quantizer: what makes latents of codes, which follows from the others
    """

    codec: Codec
    quantize: bool
    quantizer: InferenceQuantizer | SubspaceVQ | ContinuousLatents = field(compare=False)

    def __call__(self, block: Tensor, state: StreamState) -> tuple[tuple[Tensor, ...], StreamState]:
        """Decode a block.

        Args:
            block: codes ``[streams, codebooks, frames]``, or latents ``[streams, dimension, frames]``
            state: state after the previous block

        Returns:
            Waveforms ``[streams, frames * latent_hop]``, and the state after this block.
        """
        waveform, previous, past = self.codec.synthesise(self.quantizer.decode(block), state[0], state[1:])
        return (waveform,), (previous, *past)
