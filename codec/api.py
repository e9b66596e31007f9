"""The codec in Python: sound as arrays to codes and back; ``import codec`` offers what is here, loaded when it is used.

Waves are ``[samples]`` (one channel) or ``[channels, samples]``, floating-point numbers whose full scale is 1, at any
rate. NumPy arrays in give NumPy arrays out, tensors give tensors on the same device. Codes are ``[quantizers, frames]``
or ``[channels, quantizers, frames]`` as the wave was, int64; latents have features in the place of quantizers, and are
float32.
"""

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, overload

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codec.audio.waveform import MAX_CHANNELS, SAMPLE_RATES, FloatArray
from codec.bitstream.codes import NO_CODE
from codec.bitstream.range_coder import RangeCoder
from codec.bitstream.reader import read_header
from codec.coding.files import FileReport, encode_sound
from codec.coding.nac_reader import NacReader, model_for, range_coder
from codec.coding.pipeline import Sound, StreamingDecoder, StreamingEncoder, encoded, model_samples
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.convnext import Stack, StreamState
from codec.pretrained.checkpoint import fingerprint, load_model
from codec.pretrained.defaults import DEFAULT_MODEL
from codec.pretrained.registry import find, finder
from codec.pretrained.registry import load as load_model_on
from codec.runtime.torch_threads import torch_threads

Array = TypeVar("Array", npt.NDArray[Any], Tensor)

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, eq=False)
class Encoded(Generic[Array]):
    """``codes`` ``[quantizers, frames]`` or ``[channels, quantizers, frames]``, and what it takes to give back the
    sound as it was: its ``sample_rate`` in Hz and its number of ``samples`` per channel."""

    codes: Array
    sample_rate: int
    samples: int


@dataclass(frozen=True, eq=False)
class Latents(Generic[Array]):
    """As :class:`Encoded`, with ``latents`` ``[features, frames]`` or ``[channels, features, frames]``."""

    latents: Array
    sample_rate: int
    samples: int


def load(
    model: str | Path = DEFAULT_MODEL, *, device: str | torch.device = "cpu", dtype: str = "float32", threads: int = 1
) -> "AudioCodec":
    """A codec that is ready for use.

    Args:
        model: name of a built-in model, or the folder of a run or of an exported model.
        device: where it runs, such as ``"cpu"`` or ``"cuda"``; or ``"onnx"``: ONNX Runtime, with the graphs that
            ``codec export --onnx`` writes beside a model. A few codes in 100,000 may differ from those of the CPU.
        dtype: of the decoder: ``"float32"``, or ``"float16"`` or ``"bfloat16"``, which are less exact. Codes are always
            computed in float32: where one of a frame is another, so are most of those after it.
        threads: of the matrix products. With another number a code in 100,000 may differ from those in files.

    Raises:
        UserError: no such model, device or type, or the model is damaged.
    """
    return AudioCodec(load_model_on(str(model), device, threads), dtype=dtype, threads=threads)


def open(
    path: str | Path, model: "AudioCodec | Codec | str | Path | None" = None, *, strict: bool = False
) -> NacReader:
    """A ``.nac`` file as sound that can be read from any moment on; close it, or use it in a ``with``.

    Args:
        model: a codec, or the name or folder of one. Default: the built-in one that the file names.
        strict: refuse damage, which is concealed otherwise.

    Raises:
        UserError: not a .nac file, or its model is not at hand.
    """
    path = Path(path)
    if model is None:
        model = _ready(model_for(_built_in(), read_header(path, whole=False).fingerprint, path))
    if isinstance(model, AudioCodec):
        return NacReader(path, model.model, strict=strict, model=model.fingerprint, coder=model.coder)
    return NacReader(path, model if isinstance(model, Codec) else load_model(find(str(model))), strict=strict)


@functools.cache
def _built_in() -> Callable[[str], Codec | None]:
    """So that each is loaded once."""
    return finder()


@functools.cache
def _ready(built_in: Codec) -> "AudioCodec":
    """So that what follows from it is made once, not once a file."""
    return AudioCodec(built_in)


class AudioCodec:
    """A model, and the precision and the number of threads that it runs with. See :func:`load`.

    ``model`` is the :class:`codec.model.codec.Codec` itself; from here on it belongs to this object.
    """

    def __init__(self, model: Codec, *, dtype: str = "float32", threads: int = 1) -> None:
        if dtype not in DTYPES:
            raise UserError(f"no such type as {dtype!r}; use {', '.join(DTYPES)}")
        if threads < 1:
            raise UserError(f"at least 1 thread, not {threads}")
        self.fingerprint = fingerprint(model)
        """16 hexadecimal digits that are in the files it writes."""
        self.threads = threads
        self.model = model.eval().requires_grad_(False)
        if dtype != "float32":
            if model.backend:
                raise UserError(f"the graphs of the device onnx are float32, not {dtype}")
            _reduce(self.model.decoder, DTYPES[dtype])

    @functools.cached_property
    def coder(self) -> RangeCoder:
        """Codes to bytes and back, under the model's tables."""
        return range_coder(self.model)

    def __getstate__(self) -> dict[str, Any]:
        """Processes make range coders of their own, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "coder"}

    @property
    def sample_rate(self) -> int:
        """At which the model works, in Hz. Waves may have any other."""
        return self.model.config.sample_rate

    @property
    def frames_per_second(self) -> float:
        return self.model.config.frame_rate_hz

    @property
    def codebooks(self) -> int:
        """Quantizers, at most."""
        return self.model.config.quantizer.codebooks

    @property
    def codebook_size(self) -> int:
        """Codes are below it."""
        return self.model.config.quantizer.size

    @overload
    def encode(
        self, wave: Array, sample_rate: int, *, codebooks: int | None = None, quantize: Literal[True] = True
    ) -> Encoded[Array]: ...
    @overload
    def encode(
        self, wave: Array, sample_rate: int, *, codebooks: int | None = None, quantize: Literal[False]
    ) -> Latents[Array]: ...
    def encode(
        self, wave: Array, sample_rate: int, *, codebooks: int | None = None, quantize: bool = True
    ) -> Encoded[Array] | Latents[Array]:
        """Codes of a whole wave ``[samples]`` or ``[channels, samples]``; or its continuous latents, unless
        ``quantize``. The two channels of a stereo wave become mid and side, where the model says so.

        Args:
            sample_rate: of the wave, in Hz.
            codebooks: how many to use (default: all).

        Raises:
            ValueError: not such a wave, or NaN or infinity in it.
            UserError: a sample rate or a number of codebooks that cannot be.
        """
        channels, samples = _check_wave(wave, sample_rate)
        with torch_threads(self.threads):
            blocks = [_numpy(wave).reshape(channels, samples)]
            parts = [part.codes for part in encoded(self.model, blocks, sample_rate, channels, codebooks, quantize)]
        values = _like(wave, torch.cat(parts, 2)[0 if wave.ndim == 1 else ...])
        return (Encoded if quantize else Latents)(values, sample_rate, samples)

    def decode(self, codes: Encoded[Array] | Array) -> Array:
        """The wave ``[samples]`` or ``[channels, samples]``, float32, with the rate and length of what was encoded.

        Codes alone, which a language model may have made, give a wave at the model's rate, all that they cover. Fewer
        quantizers than the model has will do, and -1 is a code that is not there.

        Raises:
            ValueError: codes that this model does not have.
        """
        if not isinstance(codes, Encoded):
            _check_array(codes, "codec.open and codec decode read files")
            codes = Encoded(codes, self.sample_rate, self._covered(codes))
        self._check_codes(codes.codes)
        return self._decode(codes.codes, codes.sample_rate, codes.samples, quantized=True)

    @overload
    def codes_to_latents(self, codes: Encoded[Array]) -> Latents[Array]: ...
    @overload
    def codes_to_latents(self, codes: Array) -> Array: ...
    def codes_to_latents(self, codes: Any) -> Any:
        """What the decoder is given for these codes: float32 ``[features, frames]`` or ``[channels, features,
        frames]``. Raises as :meth:`decode`."""
        if isinstance(codes, Encoded):
            return Latents(self.codes_to_latents(codes.codes), codes.sample_rate, codes.samples)
        self._check_codes(codes)
        streams = _tensor(codes).long().to(self.model.spread.device)
        with torch_threads(self.threads), torch.inference_mode():
            latents = self.model.quantizer.fused().decode(streams if codes.ndim == 3 else streams[None])
        return _like(codes, latents.transpose(1, 2)[0 if codes.ndim == 2 else ...])

    def decode_latents(self, latents: Latents[Array] | Array) -> Array:
        """As :meth:`decode`, of latents that :meth:`encode` or :meth:`codes_to_latents` gave, or others like them.

        Raises:
            ValueError: not floating-point numbers of such a shape.
        """
        if not isinstance(latents, Latents):
            latents = Latents(latents, self.sample_rate, self._covered(latents))
        values, features = latents.latents, self.model.config.quantizer.dimension
        if values.ndim not in (2, 3) or values.shape[-2] != features or not _is_float(values):
            raise ValueError(f"expected float latents [{features}, frames], {_described(values)}")
        return self._decode(values, latents.sample_rate, latents.samples, quantized=False)

    def save(
        self,
        path: str | Path,
        wave: Array,
        sample_rate: int,
        *,
        kbps: float | None = None,
        codebooks: int | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> FileReport:
        """Codes a wave as a ``.nac`` file, which :func:`open` reads. Returns figures, such as the real ``kbps``.

        Args:
            sample_rate: of the wave, in Hz.
            kbps: bit rate to keep to, all channels together, see :func:`codec.coding.files.encode_file`;
            ``codebooks``: how
                many, in its place. Default: all.
            tags: title, date and the like, to be kept in the file.

        Raises:
            ValueError: as :meth:`encode`.
            UserError: as :meth:`encode`, or the file cannot be written.
        """
        channels, samples = _check_wave(wave, sample_rate)
        with torch_threads(self.threads):
            return encode_sound(
                [_numpy(wave).reshape(channels, samples)] if samples else [],
                sample_rate,
                channels,
                Path(path),
                self.model,
                source=Path(path),
                kbps=kbps,
                codebooks=codebooks,
                tags=tags,
                model=self.fingerprint,
                coder=self.coder,
            )

    def stream_encoder(
        self, sample_rate: int | None = None, channels: int = 1, *, codebooks: int | None = None, block: int = 1
    ) -> StreamingEncoder:
        """What encodes sound as it comes: ``push(wave)`` takes float32 NumPy arrays ``[channels, n]``, any number of
        samples, and gives the codes ``[channels, quantizers, frames]`` (tensor) that are ready; ``flush()`` the rest.

        Args:
            sample_rate: of the sound, in Hz (default: the model's).
            block: frames that are waited for. 1 means the model's own latency; with 16 and more the codes are exactly
                those of :meth:`encode`, with fewer one in 100,000 may differ.

        Raises:
            UserError: a sample rate or a number of codebooks that cannot be.
        """
        return StreamingEncoder(self.model, _check_rate(sample_rate or self.sample_rate), channels, codebooks, block)

    def stream_decoder(self, sample_rate: int | None = None, channels: int = 1, *, block: int = 1) -> StreamingDecoder:
        """What decodes codes as they come: ``push(codes)`` takes tensors ``[channels, quantizers, frames]`` and gives
        the samples that are ready, float32 NumPy arrays ``[channels, n]``; ``flush()`` gives the rest, of which up to
        one frame lies beyond the end of what was encoded. For the rest see :meth:`stream_encoder`."""
        return StreamingDecoder(self.model, _check_rate(sample_rate or self.sample_rate), channels, block)

    def _covered(self, values: Array) -> int:
        """Samples at the model's rate that so many codes or latents make."""
        config = self.model.config
        return max(0, values.shape[-1] * config.latent_hop - config.hop) if values.ndim else 0

    def _check_codes(self, codes: npt.NDArray[Any] | Tensor) -> None:
        integers = not _is_float(codes) and codes.dtype not in (np.bool_, torch.bool)
        if codes.ndim not in (2, 3) or not integers or not 1 <= codes.shape[-2] <= self.codebooks:
            expected = f"[quantizers, frames] or [channels, quantizers, frames], 1 to {self.codebooks} quantizers"
            raise ValueError(f"expected whole numbers {expected}, {_described(codes)}")
        values = _tensor(codes).long()
        if values.numel() and not (values.min() >= NO_CODE and values.max() < self.codebook_size):
            raise ValueError(f"expected codes from 0 to {self.codebook_size - 1}, or -1 for none")

    def _decode(self, values: Array, sample_rate: int, samples: int, *, quantized: bool) -> Array:
        frames = self.model.config.frames_for(model_samples(self.model, samples, _check_rate(sample_rate)))
        if values.shape[-1] != frames:
            raise ValueError(f"{samples} samples at {sample_rate} Hz have {frames} frames, not {values.shape[-1]}")
        tensor = _tensor(values).to(self.model.spread.device, torch.int64 if quantized else torch.float32)
        streams: Tensor = tensor if values.ndim == 3 else tensor[None]

        def between(start: int, stop: int) -> list[Tensor]:
            return [streams[..., start:stop]]

        sound: Sound = Sound(self.model, sample_rate, len(streams), samples, between, quantized)
        with torch_threads(self.threads):
            empty = np.zeros((len(streams), 0), np.float32)
            wave = np.concatenate([empty, *sound.blocks()], axis=1)
        return _like(values, torch.from_numpy(wave)[0 if values.ndim == 2 else ...])


def _reduce(stack: Stack, dtype: torch.dtype) -> None:
    """Makes a network work in another type; it takes and gives float32 still."""

    def before(_: torch.nn.Module, arguments: tuple[Tensor, StreamState]) -> tuple[Tensor, StreamState]:
        return arguments[0].to(dtype), arguments[1]

    def after(_: torch.nn.Module, __: Any, result: tuple[Tensor, StreamState]) -> tuple[Tensor, StreamState]:
        return result[0].float(), result[1]

    stack.to(dtype)
    stack.register_forward_pre_hook(before)
    stack.register_forward_hook(after)


def _check_wave(wave: npt.NDArray[Any] | Tensor, sample_rate: int) -> tuple[int, int]:
    """Channels and samples."""
    _check_rate(sample_rate)
    _check_array(wave, "codec.audio.read and codec encode read files")
    channels = wave.shape[0] if wave.ndim == 2 else 1
    if wave.ndim not in (1, 2) or not 1 <= channels <= MAX_CHANNELS:
        advice = "; transpose it" if wave.ndim == 2 and wave.shape[1] <= MAX_CHANNELS else ""
        raise ValueError(f"expected a wave [samples] or [channels, samples], {_described(wave)}{advice}")
    if not _is_float(wave):
        raise ValueError(f"expected floating-point samples with full scale 1, not {wave.dtype}; divide integers by it")
    if not np.isfinite(_numpy(wave)).all():
        raise ValueError("NaN or infinity in the wave")
    return channels, wave.shape[-1]


def _check_array(values: Any, advice: str) -> None:
    if not isinstance(values, np.ndarray | Tensor):
        raise ValueError(f"expected an array of NumPy or a tensor, not {type(values).__name__}; {advice}")


def _check_rate(sample_rate: int) -> int:
    if sample_rate not in SAMPLE_RATES:
        raise UserError(f"a sample rate from {SAMPLE_RATES.start} to {SAMPLE_RATES.stop - 1} Hz, not {sample_rate}")
    return sample_rate


def _is_float(values: npt.NDArray[Any] | Tensor) -> bool:
    return values.is_floating_point() if isinstance(values, Tensor) else values.dtype.kind == "f"


def _described(values: npt.NDArray[Any] | Tensor) -> str:
    return f"not {values.dtype} of the shape {list(values.shape)}"


def _numpy(wave: npt.NDArray[Any] | Tensor) -> FloatArray:
    values = wave.detach().cpu().float().numpy() if isinstance(wave, Tensor) else wave
    return np.ascontiguousarray(values, np.float32)


def _tensor(values: npt.NDArray[Any] | Tensor) -> Tensor:
    if isinstance(values, Tensor):
        return values.detach()
    wide = np.float32 if values.dtype.kind == "f" else np.int64
    return torch.from_numpy(np.ascontiguousarray(values, wide))


def _like(given: Array, values: Tensor) -> Array:
    """``values`` as the kind of array that was given."""
    if isinstance(given, Tensor):
        return values.to(given.device).clone()  # what inference mode made cannot take part in training
    return values.cpu().numpy()
