"""Streaming inference: waveforms and codes in pieces of any length, as NumPy arrays.

All computation is in canonical blocks of :data:`BLOCK` latent frames, each of which receives the state of the previous
one. So a whole file, a stream in pieces of any length and a batch are the same computation, product for product, and
memory does not depend on length.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from codec.audio.waveform import FloatArray
from codec.bitstream.codes import CodesWithImportance
from codec.bitstream.tables import CodeTables
from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.backend import BlockOutputs, BlockState, BlockStep, InferenceBackend, join_arrays
from codec.model.dynamic_batching import batched, is_batched
from codec.model.vector_width import frame_multiple

BLOCK = 256
"""Latent frames per canonical block: with fewer the products are slower, with more they are not faster (measured)."""

MIN_FRAMES = 16
"""The last block is padded to this number of frames. From 16 rows on, matrix products of any size were seen to agree
bit for bit."""

LENGTH_CLASS = 32
"""Last blocks are padded to a multiple of this number of frames, unless many of one length are computed together; see
:func:`codec.model.dynamic_batching.batched`."""

MAX_STREAMS = 16
"""Streams that are computed at once, so that memory does not grow with the channels of a file (up to 255)."""


def padded_frames(frames: int, block: int, multiple: int, whole_blocks: bool) -> int:
    """Return the number of latent frames to compute for the end of a stream.

    Args:
        frames: remaining latent frames
        block: latent frames per block
        multiple: of the model, see :func:`frame_multiple`
        whole_blocks: whether the device computes a large batch of whole blocks faster than several small ones of the
            lengths that the ends of files have

    Returns:
        That number, or more: a multiple, and at least :data:`MIN_FRAMES`; whole blocks if several files are computed
        together on such a device.
    """
    size = block if whole_blocks and is_batched() else min(multiple, block)
    return -(-max(frames, min(MIN_FRAMES, block)) // size) * size


class _BlockStream:
    """Blocks of several streams, one after the other.

    Args:
        config: configuration of the model
        step: computes a block
        streams: number of streams
        block: latent frames per block
        unit: length of a latent frame along the last axis of a block
    """

    def __init__(self, config: CodecConfig, step: BlockStep, streams: int, block: int, unit: int = 1):
        self._step, self._streams, self._unit, self._whole = step, streams, unit, block * unit
        self._multiple = frame_multiple(config)
        self._state = step.initial_state(streams)

    def padded_frames(self, frames: int, block: int) -> int:
        """Return the number of frames to compute for the end; see :func:`padded_frames`."""
        return padded_frames(frames, block, self._multiple, self._step.prefers_whole_blocks)

    def compute(self, block: npt.NDArray[Any]) -> BlockOutputs:
        """Compute a block, :data:`MAX_STREAMS` streams at a time."""
        if self._streams <= MAX_STREAMS:
            outputs, self._state = self._batched(block, self._state)
            return outputs
        sizes = [min(MAX_STREAMS, self._streams - first) for first in range(0, self._streams, MAX_STREAMS)]
        parts: list[BlockOutputs] = []
        states: list[BlockState] = []
        for part, state in zip(
            np.split(block, np.cumsum(sizes[:-1])), self._step.split_state(self._state, sizes), strict=True
        ):
            outputs, state = self._batched(part, state)
            parts.append(outputs)
            states.append(state)
        self._state = self._step.join_states(states)
        return join_arrays(parts)

    def _batched(self, block: npt.NDArray[Any], state: BlockState) -> tuple[BlockOutputs, BlockState]:
        size = LENGTH_CLASS * self._unit
        return batched(self._step, block, state, min(self._whole, -(-block.shape[-1] // size) * size))


class StreamEncoder:
    """Encoder of several streams, which takes their samples in pieces of any length.

    Args:
        config: configuration of the model
        step: step of the encoder, from a :class:`codec.model.backend.InferenceBackend`
        streams: number of streams
        block: latent frames per block
    """

    def __init__(self, config: CodecConfig, step: BlockStep, streams: int, block: int):
        self._config, self._block = config, block
        self._blocks = _BlockStream(config, step, streams, block, config.latent_hop)
        self._waiting: FloatArray = np.zeros((streams, 0), np.float32)
        self._nothing = step.empty_outputs(streams)
        self._samples = self._frames = 0

    def push(self, waveform: npt.NDArray[np.floating]) -> CodesWithImportance:
        """Add samples, and encode complete blocks.

        Args:
            waveform: any number of samples ``[streams, 1, samples]`` at the model's sample rate, full scale 1

        Returns:
            Codes ``[streams, codebooks, frames]`` of the blocks that are complete by now, of none or more frames.
        """
        self._samples += waveform.shape[-1]
        waiting = np.concatenate([self._waiting, waveform[:, 0].astype(np.float32, copy=False)], 1)
        size = self._block * self._config.latent_hop
        count = waiting.shape[1] // size
        outputs = [self._blocks.compute(waiting[:, at * size : (at + 1) * size]) for at in range(count)]
        self._waiting = waiting[:, count * size :]
        self._frames += self._block * count
        return CodesWithImportance(*(join_arrays(outputs, 2) if outputs else self._nothing))

    def flush(self) -> CodesWithImportance:
        """Encode the remaining samples; afterwards the encoder cannot be used again.

        Returns:
            Codes of the last, partly filled block.
        """
        missing = self._config.frames_for(self._samples) - self._frames
        if not missing:
            return CodesWithImportance(*self._nothing)
        hop, size = self._config.latent_hop, self._block * self._config.latent_hop
        rest = np.zeros((len(self._waiting), self._blocks.padded_frames(missing, self._block) * hop), np.float32)
        rest[:, : self._waiting.shape[1]] = self._waiting
        outputs = [self._blocks.compute(rest[:, at : at + size]) for at in range(0, rest.shape[1], size)]
        codes, importances = join_arrays(outputs, 2)
        return CodesWithImportance(codes[..., :missing], importances[..., :missing])


class StreamDecoder:
    """Decoder of several streams, which takes their codes in pieces of any length.

    Args:
        config: configuration of the model
        step: step of the decoder, from a :class:`codec.model.backend.InferenceBackend`
        streams: number of streams
        block: latent frames per block
    """

    def __init__(self, config: CodecConfig, step: BlockStep, streams: int, block: int):
        self._config, self._block = config, block
        self._blocks = _BlockStream(config, step, streams, block)
        self._waiting: npt.NDArray[Any] | None = None
        self._nothing: FloatArray = np.zeros((streams, 0), np.float32)
        self._started = False

    def push(self, codes: npt.NDArray[Any]) -> FloatArray:
        """Add codes, and decode complete blocks.

        Args:
            codes: any number of frames ``[streams, codebooks, frames]``; some codes may be
                :data:`codec.bitstream.codes.NO_CODE`; float latents ``[streams, dimension, frames]`` if the step takes
                these

        Returns:
            Samples ``[streams, 1, samples]`` that are ready by now, none or more, float32 at the model's sample rate.
        """
        waiting = codes if self._waiting is None else np.concatenate([self._waiting, codes], 2)
        size = self._block
        count = waiting.shape[2] // size
        waveforms = [self._decode(waiting[..., at * size : (at + 1) * size]) for at in range(count)]
        self._waiting = waiting[..., count * size :]
        return np.concatenate([self._nothing, *waveforms], 1)[:, None]

    def flush(self) -> FloatArray:
        """Decode the remaining codes; afterwards the decoder cannot be used again.

        Returns:
            Samples of the last, partly filled block.
        """
        if self._waiting is None or not self._waiting.shape[2]:
            return self._nothing[:, None]
        frames = self._waiting.shape[2]
        padding = self._blocks.padded_frames(frames, self._block) - frames
        first = 0 if self._started else self._config.hop
        waveform = self._decode(np.pad(self._waiting, ((0, 0), (0, 0), (0, padding))))
        return waveform[:, None, : frames * self._config.latent_hop - first]

    def _decode(self, codes: npt.NDArray[Any]) -> FloatArray:
        (waveform,) = self._blocks.compute(codes)
        if not self._started:  # the first hop lies before the first sample
            self._started = True
            waveform = waveform[:, self._config.hop :]
        return waveform


class StreamingCodec:
    """A codec whose streams a backend computes: all that coding of files and streams needs of a model."""

    config: CodecConfig
    compatible_fingerprints: tuple[str, ...]
    """Fingerprints of other models whose codes this one can decode as well."""

    def code_tables(self) -> CodeTables:
        """Return the tables of the range coder.

        Returns:
            The tables, as stored with the model.
        """
        raise NotImplementedError

    def inference_backend(self, quantize: bool) -> InferenceBackend:
        """Return the backend that computes streams.

        Args:
            quantize: whether these are streams of codes; otherwise of continuous latents

        Returns:
            The backend.
        """
        raise NotImplementedError

    @property
    def receptive_field(self) -> int:
        """Latent frames before a sample's own that its decoding depends on."""
        return self.config.decoder.history + 1

    def stream_encoder(
        self, streams: int = 1, codebooks: int | None = None, block: int = BLOCK, quantize: bool = True
    ) -> StreamEncoder:
        """Return an encoder for streams, which takes and gives NumPy arrays.

        Args:
            streams: number of streams
            codebooks: number of codebooks to use (default: all)
            block: number of latent frames that are computed at once. Fewer than 16 mean less delay, more computation,
                and codes that may differ if two entries are equally near to within rounding.
            quantize: whether to return codes; otherwise continuous latents ``[streams, dimension, frames]``

        Returns:
            The encoder, in its initial state.

        Raises:
            UserError: The model does not have this number of codebooks.
        """
        return StreamEncoder(self.config, self.encoding_step(codebooks, block, quantize), streams, block)

    def stream_decoder(self, streams: int = 1, block: int = BLOCK, quantized: bool = True) -> StreamDecoder:
        """Return a decoder for streams, which takes and gives NumPy arrays.

        Args:
            streams: number of streams
            block: number of latent frames that are computed at once, see :meth:`stream_encoder`
            quantized: whether the input is codes; otherwise continuous latents ``[streams, dimension, frames]``

        Returns:
            The decoder, in its initial state.
        """
        return StreamDecoder(self.config, self.decoding_step(block, quantized), streams, block)

    def encoding_step(self, codebooks: int | None, block: int, quantize: bool) -> BlockStep:
        """Return the step of :meth:`stream_encoder`, which several streams may share.

        Args:
            codebooks: as for :meth:`stream_encoder`
            block: as for :meth:`stream_encoder`
            quantize: as for :meth:`stream_encoder`

        Returns:
            The step, with the weights as they are now.

        Raises:
            UserError: The model does not have this number of codebooks.
        """
        most = self.config.quantizer.codebooks
        if codebooks is not None and not 1 <= codebooks <= most:
            raise UserError(f"this model has 1 to {most} codebooks, not {codebooks}")
        return self.inference_backend(quantize).encoding_step(codebooks or most, block)

    def decoding_step(self, block: int, quantized: bool) -> BlockStep:
        """Return the step of :meth:`stream_decoder`, which several streams may share.

        Args:
            block: as for :meth:`stream_decoder`
            quantized: as for :meth:`stream_decoder`

        Returns:
            The step, with the weights as they are now.
        """
        return self.inference_backend(quantized).decoding_step(block)
