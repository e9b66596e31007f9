"""Audio of any sample rate and channel count to codes and back; shared by files, tokens and the Python interface.

Codes of all channels are separate streams, ``[channels, codebooks, frames]``; see :mod:`codec.audio.channels` for how
channels become streams. Continuous latents, if used instead of codes, are ``[channels, features, frames]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.array_checks import check_codes, check_samples
from codec.audio import FloatArray
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.audio.resampling import SegmentResampler, StreamResampler, resample_blocks
from codec.bitstream.codes import CodesWithImportance

if TYPE_CHECKING:
    from torch import Tensor

    from codec.pretrained.loaded_model import LoadedModel


def encode_blocks(
    model: LoadedModel,
    blocks: Iterable[FloatArray],
    sample_rate: int,
    channels: int,
    codebooks: int | None = None,
    *,
    quantize: bool = True,
    block: int | None = None,
) -> Iterator[CodesWithImportance]:
    """Encode a waveform that comes in blocks, in constant memory.

    Args:
        model: encodes
        blocks: float32 ``[channels, n]``, full scale 1
        sample_rate: sample rate of the waveform in Hz
        channels: number of channels of the waveform
        codebooks: number of codebooks to use (default: all)
        quantize: whether to return codes; otherwise continuous latents
        block: latent frames that are computed at once, see :meth:`codec.model.codec.Codec.stream_encoder` (default: a
            canonical block)

    Yields:
        Codes ``[channels, codebooks, frames]`` with their importance, of zero or more frames.
    """
    from codec.model.streaming import BLOCK

    stereo = model.config.stereo
    encoder = model.codec.stream_encoder(channels, codebooks, block or BLOCK, quantize)
    for waveform in resample_blocks(blocks, sample_rate, model.sample_rate, channels):
        yield encoder.push(channels_to_streams(waveform, stereo))
    yield encoder.flush()


@dataclass(frozen=True)
class DecodingPipeline:
    """Decodes any part of a waveform from its codes.

    A part that is decoded by itself is bit-identical to the same part of the whole: decoding begins at a canonical
    block that is at least the decoder's receptive field earlier.
    """

    model: LoadedModel
    sample_rate: int
    """Sample rate of the waveform in Hz."""
    channels: int
    samples: int
    """Samples per channel of the whole waveform."""
    codes: Callable[[int, int], Iterable[npt.NDArray[Any]]]
    """Returns the latent frames from a first one to below another in pieces, or fewer if there are no more."""
    quantized: bool = True
    """Whether these are codes, not continuous latents."""

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[FloatArray]:
        """Decode a part of the waveform, in constant memory.

        Args:
            start: first sample
            end: the sample after the last one (default: the end of the waveform)

        Yields:
            float32 ``[channels, n]``.
        """
        model_hz = self.model.sample_rate
        end = self.samples if end is None else min(end, self.samples)
        if start >= end:
            return
        if self.sample_rate == model_hz:
            yield from self._decode(start, end)
            return
        resampler = SegmentResampler(model_hz, self.sample_rate)
        first, last = resampler.input_range(start, end)
        yield from resampler.resample(self._decode(first, min(last, self._model_samples)), start, end)

    @property
    def _model_samples(self) -> int:
        return model_samples(self.model, self.samples, self.sample_rate)

    def _decode(self, start: int, end: int) -> Iterator[FloatArray]:
        """Yield samples at the model's rate, computed in whole canonical blocks so that all products are the same."""
        from codec.model.streaming import BLOCK

        config, codec = self.model.config, self.model.codec
        first_frame = (start + config.hop) // config.latent_hop - codec.receptive_field
        first_frame = max(0, first_frame // BLOCK) * BLOCK
        last_frame = (end - 1 + config.hop) // config.latent_hop
        stop_frame = min(config.frames_for(self._model_samples), (last_frame // BLOCK + 1) * BLOCK)
        decoder = codec.stream_decoder(self.channels, quantized=self.quantized)
        position = first_frame * config.latent_hop

        def cut(streams: FloatArray) -> FloatArray:
            nonlocal position
            waveform = streams_to_channels(streams, config.stereo)
            part = waveform[:, max(0, start - position) : max(0, end - position)]
            position += waveform.shape[1]
            return part

        for codes in self.codes(first_frame, stop_frame):
            yield cut(decoder.push(codes))
        yield cut(decoder.flush())


def model_samples(model: LoadedModel, samples: int, sample_rate: int) -> int:
    """Convert a number of samples to the model's rate.

    Args:
        model: the model
        samples: number of samples per channel, at ``sample_rate``
        sample_rate: sample rate in Hz

    Returns:
        Samples per channel at the model's rate, rounded up.
    """
    return -(-samples * model.sample_rate // sample_rate)


class StreamingEncoder:
    """Encodes audio as it arrives: :meth:`push` each piece, then :meth:`flush` once.

    Args:
        model: encodes
        sample_rate: sample rate of the audio in Hz
        channels: number of channels of the audio
        codebooks: number of codebooks to use (default: all)
        block: number of latent frames that are computed at once; 1 for the least delay
    """

    def __init__(
        self, model: LoadedModel, sample_rate: int, channels: int, codebooks: int | None = None, block: int = 1
    ) -> None:
        self._stereo, self._channels = model.config.stereo, channels
        self._resampler = StreamResampler(sample_rate, model.sample_rate, channels)
        self._encoder = model.codec.stream_encoder(channels, codebooks, block)

    def push(self, wave: FloatArray) -> Tensor:
        """Encode the next piece.

        Args:
            wave: float32 ``[channels, n]``, any number of samples

        Returns:
            The codes ``[channels, codebooks, frames]`` that are ready, of zero or more frames.

        Raises:
            ValueError: not such a piece, or NaN or infinity in it.
        """
        if not isinstance(wave, np.ndarray) or wave.ndim != 2 or len(wave) != self._channels:
            given = f"the shape {list(wave.shape)}" if isinstance(wave, np.ndarray) else type(wave).__name__
            raise ValueError(f"expected an array of NumPy [{self._channels}, samples], not {given}")
        check_samples(wave)
        return self._push(self._resampler.push(wave.astype(np.float32, copy=False)))

    def flush(self) -> Tensor:
        """Encode the remaining samples after the last piece.

        Returns:
            Codes ``[channels, codebooks, frames]``.
        """
        import torch

        return torch.cat([self._push(self._resampler.flush()), torch.from_numpy(self._encoder.flush().codes)], 2)

    def _push(self, waveform: FloatArray) -> Tensor:
        import torch

        return torch.from_numpy(self._encoder.push(channels_to_streams(waveform, self._stereo)).codes)


class StreamingDecoder:
    """Decodes codes as they arrive: :meth:`push` each piece, then :meth:`flush` once.

    Args:
        model: decodes
        sample_rate: sample rate of the audio in Hz
        channels: number of channels of the audio
        block: number of latent frames that are computed at once; 1 for the least delay
    """

    def __init__(self, model: LoadedModel, sample_rate: int, channels: int, block: int = 1) -> None:
        self._stereo, self._shape = model.config.stereo, (channels, model.n_codebooks, model.codebook_size)
        self._resampler = StreamResampler(model.sample_rate, sample_rate, channels)
        self._decoder = model.codec.stream_decoder(channels, block)

    def push(self, codes: Tensor | npt.NDArray[Any]) -> FloatArray:
        """Decode the next piece.

        Args:
            codes: whole numbers ``[channels, codebooks, frames]``, any number of frames; -1 for a code that is missing

        Returns:
            The samples float32 ``[channels, n]`` that are ready, zero or more.

        Raises:
            ValueError: codes that this model does not have.
        """
        values = codes if isinstance(codes, np.ndarray) else codes.cpu().numpy()
        channels, codebooks, size = self._shape
        check_codes(values, codebooks, size, channels)
        return self._resampler.push(self._waveform(self._decoder.push(values.astype(np.int64, copy=False))))

    def flush(self) -> FloatArray:
        """Decode the remaining frames after the last piece.

        Returns:
            Samples float32 ``[channels, n]``; up to one latent frame of them is padding after the end of the audio.
        """
        last = self._resampler.push(self._waveform(self._decoder.flush()))
        return np.concatenate([last, self._resampler.flush()], 1)

    def _waveform(self, streams: FloatArray) -> FloatArray:
        return streams_to_channels(streams, self._stereo)
