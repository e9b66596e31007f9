"""Audio of any sample rate and channel count to codes and back; shared by files, tokens and the Python interface.

Codes of all channels are separate streams, ``[channels, codebooks, frames]``; see :mod:`codec.audio.channels` for how
channels become streams. Continuous latents, if used instead of codes, are ``[channels, features, frames]``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from codec.audio import FloatArray
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.audio.resampling import SegmentResampler, resample_blocks
from codec.bitstream.codes import CodesWithImportance

if TYPE_CHECKING:
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
    stereo = model.config.stereo
    encoder = model.stream_encoder(channels, codebooks, block, quantize)
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
        decoder = self.model.stream_decoder(self.channels, quantized=self.quantized)
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
