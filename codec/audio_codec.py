"""A model in use: audio as arrays to codes and latents, and back; files, streams and folders of models.

Waveforms are ``[samples]`` (one channel) or ``[channels, samples]``, floating-point numbers with full scale 1, at any
sample rate. NumPy arrays give NumPy arrays, and tensors give tensors on the same device. Codes are
``[codebooks, frames]`` or ``[channels, codebooks, frames]`` like the waveform, int64; latents have features instead
of codebooks and are float32.
"""

import io
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Literal, overload

import numpy as np
import numpy.typing as npt
import torch

from codec.array_checks import check_codes
from codec.arrays import (
    ArrayT,
    check_array,
    check_sample_rate,
    check_waveform,
    describe_array,
    is_float,
    to_float32,
    to_numpy,
    to_same_kind,
    to_tensor,
)
from codec.bitstream.reader import name_source
from codec.coding.bit_rate import check_options, new_header
from codec.coding.files import encode_codes, encode_waveform
from codec.coding.flat_tokens import flatten_codes, unflatten_ids
from codec.coding.options import CodingOptions
from codec.coding.pipeline import DecodingPipeline, encode_blocks, model_samples
from codec.coding.report import FileMeter, FileReport
from codec.encoded import Encoded, Latents
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained.loaded_model import LoadedModel
from codec.runtime.torch_threads import torch_threads
from codec.streams import StreamingDecoder, StreamingEncoder
from codec.whole_numbers import whole_number

READ_TOKENS = "numpy.load reads a file of them"


class AudioCodec:
    """A model, and the precision and the number of threads that it computes with. See :func:`load`.

    Args:
        model: the model, or its networks; from here on it belongs to this object
        dtype: data type of the decoder, one of :data:`codec.model.decoder_dtypes.DTYPES`
        threads: CPU threads

    Raises:
        UserError: no such type, or one that the device cannot compute in; less than one thread.
    """

    def __init__(self, model: LoadedModel | Codec, *, dtype: str = "float32", threads: int = 1) -> None:
        if threads < 1:
            raise UserError(f"at least 1 thread, not {threads}")
        self.model = LoadedModel(model) if isinstance(model, Codec) else model
        """The networks, and values derived from them."""
        self.threads = threads
        """CPU threads."""
        self.model.network.eval().requires_grad_(False)
        self.model.set_decoder_dtype(dtype)
        self.fingerprint = self.model.fingerprint
        """16 hexadecimal digits that are in the files it writes."""

    def __repr__(self) -> str:
        name = self.model.name or self.fingerprint
        kind = f"{self.sample_rate} Hz, {self.frames_per_second:g} frames/s, {self.codebooks} x {self.codebook_size}"
        return f"AudioCodec({name}: {kind})"

    @property
    def sample_rate(self) -> int:
        """Sample rate in Hz at which the model works. Waveforms may have any other rate."""
        return self.model.sample_rate

    @property
    def frames_per_second(self) -> float:
        """Latent frames per second."""
        return self.model.frame_rate_hz

    @property
    def codebooks(self) -> int:
        """Number of codebooks, and of codes per frame at most."""
        return self.model.n_codebooks

    @property
    def codebook_size(self) -> int:
        """Number of entries in each codebook; codes are from 0 to one less."""
        return self.model.codebook_size

    @overload
    def encode(
        self,
        wave: ArrayT,
        sample_rate: int,
        *,
        codebooks: int | None = None,
        kbps: float | None = None,
        quantize: Literal[True] = True,
    ) -> Encoded[ArrayT]: ...
    @overload
    def encode(
        self, wave: ArrayT, sample_rate: int, *, codebooks: int | None = None, quantize: Literal[False]
    ) -> Latents[ArrayT]: ...
    def encode(
        self,
        wave: ArrayT,
        sample_rate: int,
        *,
        codebooks: int | None = None,
        kbps: float | None = None,
        quantize: bool = True,
    ) -> Encoded[ArrayT] | Latents[ArrayT]:
        """Encode a whole waveform.

        Args:
            wave: ``[samples]`` or ``[channels, samples]``, floating-point numbers with full scale 1. Two channels are
                encoded as mid and side, unless the model keeps them separate; so the items of a batch are not
                channels.
            sample_rate: sample rate of the waveform in Hz
            codebooks: number of codebooks to use (default: all)
            kbps: bit rate in kbit/s of a file with these codes, all channels together, instead of a number of
                codebooks; -1 stands for codes that it leaves out
            quantize: whether to return codes; otherwise the continuous latents that would be quantized

        Returns:
            Codes or latents, with the sample rate and length of the waveform.

        Raises:
            ValueError: not such a waveform, or NaN or infinity in it.
            UserError: the sample rate, bit rate or number of codebooks is out of range, or both of these are given.
        """
        channels, samples = check_waveform(wave, sample_rate)
        sample_rate = check_sample_rate(sample_rate)
        options = CodingOptions(kbps, codebooks)
        check_options(self.model, options)
        if kbps is not None and not quantize:
            raise UserError("continuous latents have no bit rate; leave kbps out")
        blocks = [to_float32(wave).reshape(channels, samples)]
        with torch_threads(self.threads):
            if kbps is not None:
                header = new_header(self.model, sample_rate, channels, options)
                parts = list(encode_codes(blocks if samples else [], self.model, header))
            else:
                coded = encode_blocks(self.model, blocks, sample_rate, channels, options.codebooks, quantize=quantize)
                parts = [part.codes for part in coded]
        values = to_same_kind(wave, torch.from_numpy(np.concatenate(parts, 2))[0 if wave.ndim == 1 else ...])
        return (Encoded if quantize else Latents)(values, sample_rate, samples)

    def decode(self, codes: Encoded[ArrayT] | ArrayT) -> ArrayT:
        """Decode codes to a waveform.

        Args:
            codes: result of :meth:`encode`; or codes alone, for example from a language model, which give a
                waveform at the model's rate. There may be fewer codebooks than the model has, and -1 stands for a code
                that is missing.

        Returns:
            float32 ``[samples]`` or ``[channels, samples]``.

        Raises:
            ValueError: codes that this model does not have.
        """
        if not isinstance(codes, Encoded):
            check_array(codes, "codec.open and codec decode read files")
            codes = Encoded(codes, self.sample_rate, self._covered_samples(codes))
        check_codes(to_numpy(codes.codes), self.codebooks, self.codebook_size)
        return self._decode(codes.codes, codes.sample_rate, codes.samples, quantized=True)

    def codes_to_ids(self, codes: ArrayT) -> ArrayT:
        """Write codes as one sequence of ids for a language model; see :mod:`codec.coding.flat_tokens`.

        Args:
            codes: ``[..., codebooks, frames]``

        Returns:
            ``[..., frames * codebooks]``, frame after frame; the id of code ``c`` of codebook ``k`` is
            ``k * codebook_size + c``.

        Raises:
            ValueError: codes that this model does not have, or a type that cannot hold the ids.
        """
        check_array(codes, READ_TOKENS)
        return to_same_kind(codes, torch.from_numpy(flatten_codes(to_numpy(codes), self.codebook_size)))

    def ids_to_codes(self, ids: ArrayT, codebooks: int | None = None) -> ArrayT:
        """Recover codes from ids, the inverse of :meth:`codes_to_ids`.

        Args:
            ids: ``[..., frames * codebooks]``
            codebooks: number of codebooks (default: those that occur)

        Returns:
            ``[..., codebooks, frames]``.

        Raises:
            ValueError: an id that is in the wrong place, or an incomplete last frame.
        """
        check_array(ids, READ_TOKENS)
        return to_same_kind(ids, torch.from_numpy(unflatten_ids(to_numpy(ids), self.codebook_size, codebooks)))

    @overload
    def codes_to_latents(self, codes: Encoded[ArrayT]) -> Latents[ArrayT]: ...
    @overload
    def codes_to_latents(self, codes: ArrayT) -> ArrayT: ...
    def codes_to_latents(self, codes: Any) -> Any:
        """Look up codes in the codebooks: the quantized latents that the decoder receives.

        Args:
            codes: as for :meth:`decode`

        Returns:
            float32 ``[features, frames]`` or ``[channels, features, frames]``; as :class:`Latents` if ``codes`` are
            :class:`Encoded`.

        Raises:
            ValueError: codes that this model does not have.
        """
        if isinstance(codes, Encoded):
            return Latents(self.codes_to_latents(codes.codes), codes.sample_rate, codes.samples)
        check_codes(to_numpy(codes), self.codebooks, self.codebook_size)
        network = self.model.network
        streams = to_tensor(codes).long().to(network.spread.device)
        with torch_threads(self.threads), torch.inference_mode():
            latents = network.quantizer.fused().decode(streams if codes.ndim == 3 else streams[None])
        return to_same_kind(codes, latents.transpose(1, 2)[0 if codes.ndim == 2 else ...])

    def decode_latents(self, latents: Latents[ArrayT] | ArrayT) -> ArrayT:
        """Decode continuous latents to a waveform.

        Args:
            latents: result of :meth:`encode` or :meth:`codes_to_latents`, or any latents of such a shape

        Returns:
            float32 ``[samples]`` or ``[channels, samples]``.

        Raises:
            ValueError: not floating-point numbers of such a shape.
        """
        if not isinstance(latents, Latents):
            latents = Latents(latents, self.sample_rate, self._covered_samples(latents))
        values, features = latents.latents, self.model.config.quantizer.dimension
        if values.ndim not in (2, 3) or values.shape[-2] != features or not is_float(values):
            raise ValueError(f"expected float latents [{features}, frames], {describe_array(values)}")
        return self._decode(values, latents.sample_rate, latents.samples, quantized=False)

    def save(
        self,
        target: str | Path | BinaryIO,
        wave: ArrayT,
        sample_rate: int,
        *,
        kbps: float | None = None,
        codebooks: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> FileReport:
        """Encode a waveform to a ``.nac`` file, which :func:`open` reads.

        Args:
            target: path of the file, or a file that is open for writing, to which it is written when it is complete
            wave: as for :meth:`encode`
            sample_rate: sample rate of the waveform in Hz
            kbps: bit rate in kbit/s, all channels together, see :class:`codec.coding.options.CodingOptions`
            codebooks: number of codebooks, instead of a bit rate (default: all)
            tags: title, date and other tags to store in the file

        Returns:
            Figures such as the measured bit rate, ``kbps``.

        Raises:
            ValueError: not such a waveform, or NaN or infinity in it.
            UserError: sample rate, bit rate or number of codebooks out of range, or the file cannot be written.
        """
        if not isinstance(target, (str, Path)):
            if isinstance(target, io.TextIOBase) or not hasattr(target, "write"):
                raise UserError(f"a path, or a file that is open for writing bytes, not {type(target).__name__}")
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "sound.nac"
                report = self.save(path, wave, sample_rate, kbps=kbps, codebooks=codebooks, tags=tags)
                target.write(path.read_bytes())
            return replace(report, source=name_source(target), target=name_source(target))
        path = Path(target)
        channels, samples = check_waveform(wave, sample_rate)
        sample_rate = check_sample_rate(sample_rate)
        blocks = [to_float32(wave).reshape(channels, samples)] if samples else []
        options = CodingOptions(kbps, codebooks, {} if tags is None else tags)
        with torch_threads(self.threads):
            meter = FileMeter(path, path, sample_rate, channels, model_rate=self.sample_rate)
            return encode_waveform(blocks, meter, path, self.model, options)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model as a folder with a model card, which :func:`from_pretrained` and :func:`load` read.

        The weights stay as they are, and so does the fingerprint; ``codec export`` halves the size of a model. With
        ``hf upload OWNER/NAME FOLDER``, the folder becomes a repository on the Hugging Face Hub.

        Args:
            folder: folder to write; a model in it is replaced

        Raises:
            UserError: the decoder computes in another type than float32, or the folder cannot be written.
        """
        from codec.pretrained.folder_writer import save_pretrained  # not at module level: coding needs none of it

        save_pretrained(self.model, Path(folder))

    def stream_encoder(
        self, sample_rate: int | None = None, channels: int = 1, *, codebooks: int | None = None, block: int = 1
    ) -> StreamingEncoder:
        """Make an encoder for audio that arrives piece by piece.

        Args:
            sample_rate: sample rate of the audio in Hz (default: the model's)
            channels: number of channels of the audio
            codebooks: number of codebooks to use (default: all)
            block: number of latent frames that are computed at once. 1 means the least latency; with 16 and more, the
                codes are exactly those of :meth:`encode`, with fewer, one in 100,000 may differ.

        Returns:
            An encoder, whose ``push`` takes pieces ``[channels, samples]`` and returns codes.

        Raises:
            UserError: the sample rate or the number of codebooks is out of range.
        """
        rate = check_sample_rate(sample_rate or self.sample_rate)
        options = CodingOptions(codebooks=codebooks)
        check_options(self.model, options)
        return StreamingEncoder(self.model, rate, _channels(channels), options.codebooks, _block(block))

    def stream_decoder(self, sample_rate: int | None = None, channels: int = 1, *, block: int = 1) -> StreamingDecoder:
        """Make a decoder for codes that arrive piece by piece.

        Args:
            sample_rate: sample rate of the audio in Hz (default: the model's)
            channels: number of channels of the audio
            block: number of latent frames that are computed at once, see :meth:`stream_encoder`

        Returns:
            A decoder, whose ``push`` takes codes ``[channels, codebooks, frames]`` and returns samples.

        Raises:
            UserError: the sample rate is out of range.
        """
        rate = check_sample_rate(sample_rate or self.sample_rate)
        return StreamingDecoder(self.model, rate, _channels(channels), _block(block))

    def _covered_samples(self, values: ArrayT) -> int:
        """Return the samples at the model's rate that codes or latents decode to."""
        return self.model.config.samples_of(values.shape[-1]) if values.ndim else 0

    def _decode(self, values: ArrayT, sample_rate: int, samples: int, *, quantized: bool) -> ArrayT:
        frames = self.model.config.frames_for(model_samples(self.model, samples, check_sample_rate(sample_rate)))
        if values.shape[-1] != frames:
            raise ValueError(f"{samples} samples at {sample_rate} Hz have {frames} frames, not {values.shape[-1]}")
        array = to_tensor(values).cpu().to(torch.int64 if quantized else torch.float32).numpy()
        streams: npt.NDArray[Any] = array if values.ndim == 3 else array[None]

        def part(start: int, stop: int) -> list[npt.NDArray[Any]]:
            return [streams[..., start:stop]]

        pipeline: DecodingPipeline = DecodingPipeline(self.model, sample_rate, len(streams), samples, part, quantized)
        with torch_threads(self.threads):
            empty = np.zeros((len(streams), 0), np.float32)
            wave = np.concatenate([empty, *pipeline.blocks()], axis=1)
        return to_same_kind(values, torch.from_numpy(wave)[0 if values.ndim == 2 else ...])


def _channels(value: int) -> int:
    return whole_number(value, "the number of channels", least=1)


def _block(value: int) -> int:
    return whole_number(value, "the number of frames in a block", least=1)
