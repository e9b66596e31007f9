"""Single frames of streams on the CPU: the steps of :mod:`codec.model.torch_backend` in fewer and cheaper calls.

A frame has so few numbers that calls of operators, and reading the weights from memory, take longer than the
arithmetic. So all but the large products is NumPy, whose calls take a third of the time (measured), and weights that
float16 holds without loss, as in exported models, are read as float16. All sums are in float32: the results are those
of the layers to within rounding.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.audio.waveform import FloatArray
from codec.bitstream.codes import NO_CODE
from codec.model.backend import BlockOutputs, join_arrays, split_streams
from codec.model.convnext import SILENT_POWER, ConvNeXtBlock, Stack
from codec.model.power_law import EPSILON, MAX_COMPRESSED
from codec.model.quantizers.fused import FusedVQ

if TYPE_CHECKING:
    from codec.model.codec import Codec
    from codec.model.quantizers import InferenceQuantizer
    from codec.model.quantizers.continuous import ContinuousLatents

FrameState = tuple[FloatArray, ...]
"""That of the transform ``[streams, hop]``, and those of a network's blocks ``[streams, kernel - 1, width]``."""


class _FrameStep:
    """Base of the steps, each a :class:`codec.model.backend.BlockStep` of one stream object."""

    prefers_whole_blocks = False

    def __init__(self, codec: Codec, stack: Stack, divisors: Tensor | None = None):
        self._hop, self._power = codec.config.hop, codec.config.power
        self._stack = _shared_stack(stack, divisors)

    def initial_state(self, streams: int) -> FrameState:
        """Return the state before the first frame: zeros.

        Args:
            streams: number of streams

        Returns:
            Arrays whose first dimension is the streams.
        """
        return np.zeros((streams, self._hop), np.float32), *self._stack.initial_state(streams)

    def join_states(self, states: Sequence[FrameState]) -> FrameState:
        """Return the state of all streams of several states, in order.

        Args:
            states: at least one state

        Returns:
            One state.
        """
        return join_arrays(states)

    def split_state(self, state: FrameState, sizes: Sequence[int]) -> list[FrameState]:
        """Split a state; the inverse of :meth:`join_states`.

        Args:
            state: state of several streams
            sizes: number of streams of each part

        Returns:
            One state for each part.
        """
        return split_streams(state, sizes)


class EncodeFrame(_FrameStep):
    """Encoder of a frame: waveforms ``[streams, latent_hop]`` to codes and importances ``[streams, codebooks, 1]``.

    Args:
        codec: model
        codebooks: number of codebooks to use
        quantizer: quantizer for inference, or none
    """

    def __init__(self, codec: Codec, codebooks: int, quantizer: InferenceQuantizer | ContinuousLatents):
        super().__init__(codec, codec.encoder, codec.spread)
        self._codebooks, self._quantizer, self._dimension = codebooks, quantizer, codec.config.quantizer.dimension
        self._search = _CodebookSearch(quantizer, codebooks) if isinstance(quantizer, FusedVQ) else None
        self._analysis = _Product(codec.mdct.basis.T)

    def empty_outputs(self, streams: int) -> BlockOutputs:
        """Return the outputs for no frames.

        Args:
            streams: number of streams

        Returns:
            Codes and importances ``[streams, codebooks, 0]``.
        """
        outputs = self._quantizer.encode(torch.zeros(streams, 0, self._dimension), self._codebooks)
        return tuple(output.numpy() for output in outputs)

    @torch.inference_mode()
    def __call__(self, block: npt.NDArray[Any], state: FrameState) -> tuple[BlockOutputs, FrameState]:
        """Encode a frame. Codes of digital silence get the importance 0.

        Args:
            block: ``[streams, latent_hop]``
            state: state after the previous frame

        Returns:
            The outputs, and the state after this frame.
        """
        hop, streams = self._hop, len(block)
        covered = samples = np.concatenate([state[0], block], 1)
        if block.shape[1] > hop:
            covered = np.concatenate([samples[:, :-hop].reshape(-1, hop), samples[:, hop:].reshape(-1, hop)], 1)
        x = self._analysis(covered)
        spectrum = np.copysign((np.abs(x) + EPSILON) ** self._power - EPSILON**self._power, x)
        latent, past = self._stack(spectrum.reshape(streams, -1), state[1:])
        if self._search:
            codes, importances = self._search(latent)
        else:
            outputs = self._quantizer.encode(torch.from_numpy(latent)[:, None], self._codebooks)
            codes, importances = (output.numpy() for output in outputs)
        sounding: npt.NDArray[np.bool_] = np.logical_or.reduce(samples, 1)
        if not sounding.all():
            importances = importances * sounding[:, None, None]
        return (codes, importances), (samples[:, -hop:], *past)


class DecodeFrame(_FrameStep):
    """Decoder of a frame: codes ``[streams, codebooks, 1]``, or latents, to waveforms ``[streams, latent_hop]``.

    Args:
        codec: model, whose decoder :func:`has_plain_decoder`
        quantizer: quantizer for inference, or none
    """

    def __init__(self, codec: Codec, quantizer: InferenceQuantizer | ContinuousLatents):
        super().__init__(codec, codec.decoder)
        self._quantizer, self._spread = quantizer, _own(codec.spread)
        self._synthesis = _Product(codec.mdct.basis)

    def empty_outputs(self, streams: int) -> BlockOutputs:
        """Return the outputs for no frames.

        Args:
            streams: number of streams

        Returns:
            Waveforms ``[streams, 0]``.
        """
        return (np.zeros((streams, 0), np.float32),)

    @torch.inference_mode()
    def __call__(self, block: npt.NDArray[Any], state: FrameState) -> tuple[BlockOutputs, FrameState]:
        """Decode a frame.

        Args:
            block: ``[streams, codebooks, 1]``, or latents ``[streams, dimension, 1]``
            state: state after the previous frame

        Returns:
            The outputs, and the state after this frame.
        """
        hop, streams = self._hop, len(block)
        y, past = self._stack(self._latent(block), state[1:])
        y *= self._spread
        magnitude = np.minimum(np.abs(y), np.float32(MAX_COMPRESSED)) + EPSILON**self._power
        coefficients = np.copysign(magnitude ** (1 / self._power) - EPSILON, y)
        halves = self._synthesis(coefficients.reshape(-1, hop)).reshape(streams, -1, 2 * hop)
        falling = halves[..., hop:]
        waveform = halves[..., :hop] + np.concatenate([state[0][:, None], falling[:, :-1]], 1)
        return (waveform.reshape(streams, -1),), (falling[:, -1], *past)

    def _latent(self, block: npt.NDArray[Any]) -> FloatArray:
        if not isinstance(self._quantizer, FusedVQ):
            return self._quantizer.decode(torch.from_numpy(block))[:, 0].numpy()
        codes, entries, first = block[..., 0], self._quantizer.entries.numpy(), self._quantizer.first.numpy()
        index = np.where(codes == NO_CODE, len(entries) - 1, codes + first[: codes.shape[1]])
        return np.add.reduce(entries[index], 1)


def has_plain_decoder(codec: Codec) -> bool:
    """Determine whether the layers of a decoder are those of the model, in float32.

    Args:
        codec: model, whose decoder may have been given another data type

    Returns:
        Whether :class:`DecodeFrame` can compute it.
    """
    decoder = codec.decoder
    return decoder.last.weight.dtype == torch.float32 and all(isinstance(b, ConvNeXtBlock) for b in decoder.blocks)


class _FrameStack:
    """A :class:`codec.model.convnext.Stack` for one frame of each stream.

    Args:
        stack: the layers
        divisors: what the input is to be divided by ``[features_in]`` (default: 1)
    """

    def __init__(self, stack: Stack, divisors: Tensor | None = None):
        direct, first, bias = stack.direct.detach(), stack.first.weight.detach(), stack.first.bias.detach()
        weight = torch.cat([direct, first])
        self._first = _Product(
            weight if divisors is None else weight / divisors, torch.cat([bias.new_zeros(len(direct)), bias])
        )
        self._features = len(direct)
        self._blocks = [_FrameBlock(block) for block in stack.blocks]  # type: ignore[arg-type]
        self._last = _NormedProduct(stack.norm, stack.last)
        self._state_shape = stack.kernel - 1, len(first)

    def initial_state(self, streams: int) -> FrameState:
        return tuple(np.zeros((streams, *self._state_shape), np.float32) for _ in self._blocks)

    def __call__(self, x: FloatArray, state: FrameState) -> tuple[FloatArray, FrameState]:
        both = self._first(x)
        direct, x = both[:, : self._features], both[:, self._features :]
        level = np.sqrt(np.vecdot(direct, direct) / self._features + SILENT_POWER)
        states = []
        for block, past in zip(self._blocks, state):
            x, past = block(x, past)
            states.append(past)
        y = self._last(x)
        y *= level[:, None]
        y += direct
        return y, tuple(states)


_stacks: WeakKeyDictionary[Stack, tuple[list[tuple[int, int]], _FrameStack]] = WeakKeyDictionary()
_stacks_lock = Lock()


def _shared_stack(stack: Stack, divisors: Tensor | None) -> _FrameStack:
    """Return the same object for all streams as long as the weights do not change, since it holds copies of them."""
    tensors = [*stack.parameters(), *([] if divisors is None else [divisors])]
    weights = [(tensor.data_ptr(), tensor._version) for tensor in tensors]
    with _stacks_lock:
        made_from, shared = _stacks.get(stack, (None, None))
        if shared is None or made_from != weights:
            shared = _FrameStack(stack, divisors)
            _stacks[stack] = weights, shared
        return shared


class _FrameBlock:
    """A :class:`codec.model.convnext.ConvNeXtBlock` for one frame of each stream."""

    def __init__(self, block: ConvNeXtBlock):
        self._taps, self._bias = _own(block.depthwise.weight), _own(block.depthwise.bias)
        self._expand = _NormedProduct(block.norm, block.expand)
        # of twice the GELU
        self._contract = _Product(block.contract.weight.detach(), 2 * block.contract.bias.detach())
        self._scale = _own(block.scale) / 2

    def __call__(self, x: FloatArray, state: FloatArray) -> tuple[FloatArray, FloatArray]:
        seen = np.concatenate([state, x[:, None]], 1)
        y = np.einsum("skw,kw->sw", seen, self._taps)
        y += self._bias
        y = self._expand(y)
        # F.gelu takes several times as long for so few numbers (measured)
        share = y * np.float32(math.sqrt(0.5))
        torch.from_numpy(share).erf_()
        share += 1
        share *= y
        y = self._contract(share)
        y *= self._scale
        y += x
        return y, seen[:, 1:]


class _Product:
    """A linear layer. Its product is PyTorch's, for NumPy's would use threads of its own."""

    def __init__(self, weight: Tensor, bias: Tensor | None = None):
        self._bias = weight.new_zeros(len(weight)) if bias is None else bias
        self._weight, self._packed = weight.T, _pack_float16(weight)

    def compute(self, x: Tensor) -> FloatArray:
        if self._packed is None:
            return torch.addmm(self._bias[None], x, self._weight).numpy()
        return torch.fbgemm_linear_fp16_weight_fp32_activation(x, self._packed, self._bias).numpy()

    def __call__(self, x: FloatArray) -> FloatArray:
        return self.compute(torch.from_numpy(x))


class _NormedProduct(_Product):
    """A linear layer after a normalisation."""

    def __init__(self, norm: torch.nn.LayerNorm, linear: torch.nn.Linear):
        super().__init__(linear.weight.detach(), linear.bias.detach())
        self._shape, self._norm, self._floor = norm.normalized_shape, (norm.weight, norm.bias), norm.eps

    def __call__(self, x: FloatArray) -> FloatArray:
        return self.compute(torch.layer_norm(torch.from_numpy(x), self._shape, *self._norm, self._floor))


def _pack_float16(weight: Tensor) -> Tensor | None:
    """Return a matrix in float16, in the layout of the product; None if it would not be the same, or PyTorch has no
    such product for this processor.
    """
    if not torch.equal(weight.half().float(), weight):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # once: these are to be removed some day
        try:
            packed = torch.fbgemm_pack_gemm_matrix_fp16(weight)
            torch.fbgemm_linear_fp16_weight_fp32_activation(weight[:1], packed, weight.new_zeros(len(weight)))
        except (AttributeError, RuntimeError):
            return None
    return packed


class _CodebookSearch:
    """The encoder of a :class:`codec.model.quantizers.fused.FusedVQ` for one frame of each stream.

    The arrays share the memory of the tensors that products are computed from and into.
    """

    def __init__(self, fused: FusedVQ, codebooks: int):
        self._weights, self._projection = fused.weights, fused.projection.T
        self._coordinates, self._scores = torch.zeros(len(self._projection)), torch.zeros(len(fused.stages[0][2]))
        self._score = self._scores.numpy()
        self._stages, rest = [], self._coordinates
        for sizes, codebook, offset, correction in fused.stages[:codebooks]:
            points, rest = rest.split_with_sizes(sizes)
            by_columns = codebook.T.contiguous().T  # the order in which products with one vector are fastest
            self._stages.append((-offset, by_columns, points, rest.numpy(), correction.numpy()))

    def __call__(self, latent: FloatArray) -> tuple[npt.NDArray[np.int64], FloatArray]:
        found = [self._search(one) for one in torch.from_numpy(latent)]
        codes, gains = (np.array(values) for values in zip(*found))
        level = np.vecdot(latent, latent)[:, None]
        log_weight = self._weights.log_weights(torch.from_numpy(latent)[:, None], torch.from_numpy(level))
        error = np.maximum(level - 2 * np.cumsum(gains, 1), 0)
        importances = np.minimum.accumulate(error * np.exp(log_weight.numpy()), 1)
        return codes[..., None], importances[..., None]

    def _search(self, latent: Tensor) -> tuple[list[int], list[Any]]:
        """Return the codes, and the gains of all codes before each."""
        torch.mv(self._projection, latent, out=self._coordinates)
        codes, gains = [], [np.float32(0)]
        for offset, codebook, points, rest, correction in self._stages:
            torch.addmv(offset, codebook, points, out=self._scores)
            code = int(self._score.argmax())
            codes.append(code)
            gains.append(self._score[code])
            np.subtract(rest, correction[code], out=rest)
        return codes, gains[:-1]


def _own(tensor: Tensor) -> FloatArray:
    """Return an array with memory of its own: multiprocessing moves that of a tensor that it pickles."""
    return np.array(tensor.detach().numpy())
