"""Audio and codes that arrive piece by piece, as arrays.

NumPy arrays give NumPy arrays, and tensors give tensors on the same device.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from codec.array_checks import check_codes, check_samples
from codec.arrays import ArrayT, check_array, describe_array, is_float, to_float32, to_numpy, to_same_kind
from codec.audio.channels import channels_to_streams, streams_to_channels
from codec.audio.resampling import StreamResampler
from codec.audio.waveform import FloatArray
from codec.pretrained.loaded_model import LoadedModel


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
        self._encoder = model.stream_encoder(channels, codebooks, block)
        self._given: Any = np.zeros(0)

    def push(self, wave: ArrayT) -> ArrayT:
        """Encode the next piece.

        Args:
            wave: ``[channels, n]``, floating-point numbers with full scale 1, any number of samples

        Returns:
            The codes int64 ``[channels, codebooks, frames]`` that are ready, of zero or more frames.

        Raises:
            ValueError: not such a piece, or NaN or infinity in it.
        """
        check_array(wave, "codec.audio.blocks reads a file piece by piece")
        if wave.ndim != 2 or len(wave) != self._channels:
            raise ValueError(f"expected a wave [{self._channels}, samples], {describe_array(wave)}")
        samples = to_float32(wave) if is_float(wave) else to_numpy(wave)
        check_samples(samples)
        self._given = wave
        return to_same_kind(wave, torch.from_numpy(self._push(self._resampler.push(samples))))

    def flush(self) -> Any:
        """Encode the remaining samples after the last piece.

        Returns:
            Codes ``[channels, codebooks, frames]``, an array of the kind that was pushed.
        """
        codes = np.concatenate([self._push(self._resampler.flush()), self._encoder.flush().codes], 2)
        return to_same_kind(self._given, torch.from_numpy(codes))

    def _push(self, wave: FloatArray) -> npt.NDArray[np.int64]:
        return self._encoder.push(channels_to_streams(wave, self._stereo)).codes


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
        self._decoder = model.stream_decoder(channels, block)
        self._given: Any = np.zeros(0)

    def push(self, codes: ArrayT) -> ArrayT:
        """Decode the next piece.

        Args:
            codes: whole numbers ``[channels, codebooks, frames]``, any number of frames; -1 for a code that is missing

        Returns:
            The samples float32 ``[channels, n]`` that are ready, zero or more.

        Raises:
            ValueError: codes that this model does not have.
        """
        check_array(codes, "codec.open reads files")
        values = to_numpy(codes)
        channels, codebooks, size = self._shape
        check_codes(values, codebooks, size, channels)
        self._given = codes
        wave = self._resampler.push(self._waveform(self._decoder.push(values.astype(np.int64, copy=False))))
        return to_same_kind(codes, torch.from_numpy(wave))

    def flush(self) -> Any:
        """Decode the remaining frames after the last piece.

        Returns:
            Samples float32 ``[channels, n]``, an array of the kind that was pushed; up to one latent frame of them is
            padding after the end of the audio.
        """
        last = self._resampler.push(self._waveform(self._decoder.flush()))
        return to_same_kind(self._given, torch.from_numpy(np.concatenate([last, self._resampler.flush()], 1)))

    def _waveform(self, streams: FloatArray) -> FloatArray:
        return streams_to_channels(streams, self._stereo)
