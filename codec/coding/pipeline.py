"""Sound of any rate and number of channels to codes and back: what files, tokens and the Python interface share.

Codes are those of all channels as streams side by side, ``[channels, quantizers, frames]``, see
:mod:`codec.audio.channels`.
Where latents take their place, they are ``[channels, features, frames]``.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.audio import FloatArray
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.audio.resampling import SegmentResampler, StreamResampler, resample_blocks
from codec.model.codec import Codec
from codec.model.quantizers import CodesWithImportance
from codec.model.streaming import BLOCK


def encoded(
    codec: Codec,
    blocks: Iterable[FloatArray],
    sample_rate: int,
    channels: int,
    codebooks: int | None = None,
    quantize: bool = True,
    block: int = BLOCK,
) -> Iterator[CodesWithImportance]:
    """Codes of ``blocks`` ``[channels, n]`` at constant memory, as they come: those that are ready, none or more, then
    the rest. ``codebooks``, ``quantize``, ``block``: see :meth:`codec.model.codec.Codec.stream_encoder`."""
    encoder = codec.stream_encoder(channels, codebooks, block, quantize)
    for wave in resample_blocks(blocks, sample_rate, codec.config.sample_rate, channels):
        yield encoder.push(torch.from_numpy(channels_to_streams(wave, codec.config.stereo)))
    yield encoder.flush()


@dataclass(frozen=True)
class Sound:
    """Codes as sound of ``samples`` per channel.

    Whatever part is wanted, its samples are bit for bit those of the whole: decoding begins at a canonical block that
    is the decoder's receptive field earlier, or more.

    ``codes(start, stop)``: latent frames from ``start`` to below ``stop``, in pieces, or less where there is no more.
    ``quantized``: whether they are codes, not latents.
    """

    codec: Codec
    sample_rate: int
    channels: int
    samples: int
    codes: Callable[[int, int], Iterable[Tensor]]
    quantized: bool = True

    def blocks(self, start: int = 0, end: int | None = None) -> Iterator[FloatArray]:
        """Samples from ``start`` to below ``end``, float32 ``[channels, n]`` each, at constant memory."""
        model_hz = self.codec.config.sample_rate
        end = self.samples if end is None else min(end, self.samples)
        if start >= end:
            return
        if self.sample_rate == model_hz:
            yield from self._decoded(start, end)
            return
        resampler = SegmentResampler(model_hz, self.sample_rate)
        first, last = resampler.input_range(start, end)
        yield from resampler.resample(self._decoded(first, min(last, self._model_samples)), start, end)

    @property
    def _model_samples(self) -> int:
        return model_samples(self.codec, self.samples, self.sample_rate)

    def _decoded(self, start: int, end: int) -> Iterator[FloatArray]:
        """Samples at the model's rate. Decoding is in whole canonical blocks, so that the products are the same."""
        config = self.codec.config
        first_frame = (start + config.hop) // config.latent_hop - self.codec.receptive_field
        first_frame = max(0, first_frame // BLOCK) * BLOCK
        last_frame = (end - 1 + config.hop) // config.latent_hop
        stop_frame = min(self.codec.config.frames_for(self._model_samples), (last_frame // BLOCK + 1) * BLOCK)
        decoder = self.codec.stream_decoder(self.channels, quantized=self.quantized)
        at = first_frame * config.latent_hop

        def cut(streams: Tensor) -> FloatArray:
            nonlocal at
            wave = streams_to_channels(streams.cpu().numpy(), config.stereo)
            part = wave[:, max(0, start - at) : max(0, end - at)]
            at += wave.shape[1]
            return part

        for codes in self.codes(first_frame, stop_frame):
            yield cut(decoder.push(codes))
        yield cut(decoder.flush())


def model_samples(codec: Codec, samples: int, sample_rate: int) -> int:
    """Samples per channel at the model's rate."""
    return -(-samples * codec.config.sample_rate // sample_rate)


class StreamingEncoder:
    """Sound as it comes to codes: ``push`` what there is, as often as there is more, then ``flush`` once."""

    def __init__(self, codec: Codec, sample_rate: int, channels: int, codebooks: int | None, block: int):
        self._stereo = codec.config.stereo
        self._resampler = StreamResampler(sample_rate, codec.config.sample_rate, channels)
        self._encoder = codec.stream_encoder(channels, codebooks, block)

    def push(self, wave: FloatArray) -> Tensor:
        """``[channels, n]`` to the codes ``[channels, quantizers, frames]`` that are ready, none or more frames."""
        return self._push(self._resampler.push(wave))

    def flush(self) -> Tensor:
        """The codes that are left."""
        return torch.cat([self._push(self._resampler.flush()), self._encoder.flush().codes], 2)

    def _push(self, wave: FloatArray) -> Tensor:
        return self._encoder.push(torch.from_numpy(channels_to_streams(wave, self._stereo))).codes


class StreamingDecoder:
    """Codes as they come to sound: ``push`` what there is, as often as there is more, then ``flush`` once."""

    def __init__(self, codec: Codec, sample_rate: int, channels: int, block: int):
        self._stereo = codec.config.stereo
        self._resampler = StreamResampler(codec.config.sample_rate, sample_rate, channels)
        self._decoder = codec.stream_decoder(channels, block)

    def push(self, codes: Tensor) -> FloatArray:
        """``[channels, quantizers, frames]`` to the samples ``[channels, n]`` that are ready, none or more."""
        return self._resampler.push(self._unfolded(self._decoder.push(codes)))

    def flush(self) -> FloatArray:
        """The samples that are left; the last of them, up to a latent frame, lie beyond what was encoded."""
        last = self._resampler.push(self._unfolded(self._decoder.flush()))
        return torch.cat([torch.from_numpy(last), torch.from_numpy(self._resampler.flush())], 1).numpy()

    def _unfolded(self, streams: Tensor) -> FloatArray:
        return streams_to_channels(streams.cpu().numpy(), self._stereo)
