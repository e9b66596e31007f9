"""Sound and codes in pieces of any length. What is computed is canonical blocks of :data:`BLOCK` latent frames whose
state is handed on, so that a whole file, a stream cut anywhere and a batch are the same computation, product for
product, and memory does not depend on length.
"""

from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from codec.config import CodecConfig
from codec.model.convnext import StreamState
from codec.model.dynamic_batching import BlockStep, batched, is_batched
from codec.model.quantizers import CodesWithImportance

BLOCK = 256
"""Latent frames per canonical block: with fewer the products are slower, with more they are not faster (measured)."""

ROW_MULTIPLE = 32
"""The last block is padded up to a multiple of so many frames. From 16 rows on, matrix products of any size were seen
to agree bit for bit. Powers are rounded otherwise where they are computed one by one, as what is left over of 16
numbers is (measured), or with AVX-512 of 32."""

MAX_STREAMS = 16
"""Channels that are computed at once, so that memory does not grow with their number (up to 255 in a file)."""


class EncodingStep(Protocol):
    """A block of sound to codes. What makes the same of the same blocks is equal, see
    :mod:`codec.model.dynamic_batching`."""

    def start(self, batch: int) -> StreamState:
        """State before the first block of ``batch`` streams; of each of its tensors, the first dimension is theirs."""

    def empty(self, batch: int) -> CodesWithImportance:
        """The codes of no frame."""

    def __call__(self, wave: Tensor, state: StreamState) -> tuple[CodesWithImportance, StreamState]:
        """``[batch, frames * latent_hop]`` samples to the codes of so many frames."""


class DecodingStep(Protocol):
    """A block of codes to sound; equal as :class:`EncodingStep` is."""

    def start(self, batch: int) -> StreamState:
        """As for :class:`EncodingStep`."""

    def __call__(self, codes: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        """``[batch, quantizers, frames]`` to ``[batch, frames * latent_hop]`` samples; those of the first hop of a
        stream lie before its first sample."""


def padded_frames(frames: int, block: int) -> int:
    """Latent frames that are computed for the last ``frames`` of a stream in blocks of ``block``: few more; but whole
    blocks beside other streams, for only blocks of one length are computed together."""
    size = block if is_batched() else min(ROW_MULTIPLE, block)
    return -(-frames // size) * size


Result = TypeVar("Result", Tensor, CodesWithImportance)


def _compute_block(step: BlockStep[Result], block: Tensor, state: StreamState) -> tuple[Result, StreamState]:
    """Return ``step(block, state)``, computed for :data:`MAX_STREAMS` streams at a time."""
    if len(block) <= MAX_STREAMS:
        return batched(step, block, state)
    states = zip(*(tensor.split(MAX_STREAMS) for tensor in state))
    results = [batched(step, part, own) for part, own in zip(block.split(MAX_STREAMS), states)]
    parts = [result for result, _ in results]
    joined: Any = CodesWithImportance.join(parts, 0) if isinstance(parts[0], CodesWithImportance) else torch.cat(parts)  # type: ignore[arg-type]
    return joined, tuple(map(torch.cat, zip(*(own for _, own in results))))


class StreamEncoder:
    """Waves in pieces of any length to codes. ``push`` returns what is ready, ``flush`` the rest."""

    @torch.inference_mode()
    def __init__(self, config: CodecConfig, step: EncodingStep, batch: int, block: int):
        self.config, self.step, self.block = config, step, block
        self.state = step.start(batch)
        self.waiting = self.state[0].new_zeros(batch, 0)
        self.nothing = step.empty(batch)
        self.samples = self.frames = 0

    @torch.inference_mode()
    def push(self, wave: Tensor) -> CodesWithImportance:
        """``[batch, 1, samples]`` to codes ``[batch, quantizers, frames]``, ``frames`` being any number from 0 up."""
        self.samples += wave.shape[-1]
        self.waiting = torch.cat([self.waiting, wave[:, 0].to(self.waiting)], 1)
        size = self.block * self.config.latent_hop
        whole, rest = divmod(self.waiting.shape[1], size)
        *blocks, self.waiting = self.waiting.split([size] * whole + [rest], 1)
        coded = [self._encode(block) for block in blocks]
        self.frames += self.block * len(coded)
        return CodesWithImportance.join(coded) if coded else self.nothing

    @torch.inference_mode()
    def flush(self) -> CodesWithImportance:
        """The codes of the last, partly padded_frames block."""
        missing = self.config.frames_for(self.samples) - self.frames
        if not missing:
            return self.nothing
        hop = self.config.latent_hop
        rest = nn.functional.pad(self.waiting, (0, padded_frames(missing, self.block) * hop - self.waiting.shape[1]))
        last = CodesWithImportance.join([self._encode(block) for block in rest.split(self.block * hop, 1)])
        return CodesWithImportance(last.codes[..., :missing], last.importances[..., :missing])

    def _encode(self, block: Tensor) -> CodesWithImportance:
        coded, self.state = _compute_block(self.step, block, self.state)
        return coded


class StreamDecoder:
    """Codes in pieces of any length to waves. ``push`` returns what is ready, ``flush`` the rest."""

    def __init__(self, config: CodecConfig, step: DecodingStep, batch: int, block: int):
        self.config, self.step, self.block = config, step, block
        self.state = step.start(batch)
        self.waiting: Tensor | None = None
        self.started = False

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        """Codes ``[batch, quantizers, frames]``, some of which may be ``NO_CODE`` (-1), to ``[batch, 1, samples]``, any
        number from 0 up."""
        codes = codes.to(self.state[0].device)
        waiting = codes if self.waiting is None else torch.cat([self.waiting, codes], 2)
        whole, rest = divmod(waiting.shape[2], self.block)
        *blocks, self.waiting = waiting.split([self.block] * whole + [rest], 2)
        return self._join([self._decode(block) for block in blocks])

    @torch.inference_mode()
    def flush(self) -> Tensor:
        """The samples of the last, partly padded_frames block."""
        frames = 0 if self.waiting is None else self.waiting.shape[2]
        if self.waiting is None or not frames:
            return self._join([])
        block = nn.functional.pad(self.waiting, (0, padded_frames(frames, self.block) - frames))
        first = 0 if self.started else self.config.hop
        return self._decode(block)[:, None, : frames * self.config.latent_hop - first]

    def _decode(self, codes: Tensor) -> Tensor:
        wave, self.state = _compute_block(self.step, codes, self.state)
        if not self.started:  # the first hop lies before the first sample
            self.started = True
            wave = wave[:, self.config.hop :]
        return wave

    def _join(self, waves: list[Tensor]) -> Tensor:
        empty = self.state[0].new_zeros(len(self.state[0]), 0)
        return torch.cat([empty, *waves], 1)[:, None]
