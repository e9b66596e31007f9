"""The codec in Python: load models and open files; ``import codec`` offers this and what it returns, loaded when it is
used.

>>> import codec, numpy as np
>>> speech = codec.load()
>>> encoded = speech.encode(np.zeros(16000, np.float32), 16000, codebooks=8)
>>> encoded.codes.shape
(8, 51)
>>> speech.decode(encoded).shape
(16000,)
"""

import functools
import io
from pathlib import Path
from typing import BinaryIO

import torch

from codec.audio_codec import AudioCodec
from codec.bitstream.reader import name_source, read_nac_header
from codec.coding.nac_reader import NacReader, resolve_model
from codec.errors import UserError
from codec.model.codec import Codec
from codec.pretrained import DEFAULT_MODEL
from codec.pretrained.checkpoint import load_codec
from codec.pretrained.loaded_model import LoadedModel
from codec.pretrained.model_folder import model_folder
from codec.pretrained.onnx_backend import with_graphs
from codec.pretrained.registry import ONNX, ModelFinder, find_model, load_model, pretrained_name


def load(
    model: str | Path = DEFAULT_MODEL, *, device: str | torch.device = "cpu", dtype: str = "float32", threads: int = 1
) -> AudioCodec:
    """Load a model, ready to encode and decode.

    Args:
        model: name of a built-in model, the folder of a run or of an exported model, or ``hf://OWNER/NAME`` of the
            Hugging Face Hub
        device: device of the model, such as ``"cpu"`` or ``"cuda"``; or ``"onnx"``, which is ONNX Runtime with the
            graphs that ``codec export --onnx`` writes. A few codes in 100,000 may differ from those of the CPU.
        dtype: data type of the decoder: ``"float32"``, or one that is less exact: ``"float16"`` or ``"bfloat16"``,
            or ``"int8"``, which is about twice as fast on CPUs with VNNI; or ``"exact"``, which gives the same samples
            on every processor. With the device ``"onnx"``, the type in which the decoder's graph stores its weights:
            ``"float32"``, ``"float16"`` or ``"int8"``. The encoder always computes in float32, since one code that
            differs changes most codes after it in its frame.
        threads: CPU threads. With another number, a code in 100,000 may differ from those in files.

    Returns:
        The codec.

    Raises:
        UserError: no such model, device or type, or the model is damaged.
    """
    if device != ONNX:
        return AudioCodec(load_model(str(model), device, threads), dtype=dtype, threads=threads)
    place = find_model(str(model))
    networks = with_graphs(load_codec(place), model_folder(place), threads, dtype)  # PyTorch gives continuous latents
    return AudioCodec(LoadedModel(networks, str(model)), threads=threads)


def from_pretrained(
    model: str | Path = DEFAULT_MODEL,
    *,
    revision: str | None = None,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    threads: int = 1,
) -> AudioCodec:
    """Load a model, also from the Hugging Face Hub: :func:`load`, which takes ``OWNER/NAME`` as well.

    :func:`load` and the commands ask the Hub only for names that begin with ``hf://``, so that a mistyped folder is
    never looked for there.

    Args:
        model: name of a built-in model, a folder, or ``OWNER/NAME`` of a repository on the Hub
        revision: branch, tag or commit of the repository (default: its main branch)
        device: as for :func:`load`
        dtype: as for :func:`load`
        threads: as for :func:`load`

    Returns:
        The codec.

    Raises:
        UserError: no such model, revision, device or type, the Hub cannot be reached, or the model is damaged.
    """
    return load(pretrained_name(str(model), revision), device=device, dtype=dtype, threads=threads)


def open(
    source: str | Path | bytes | bytearray | memoryview | BinaryIO,
    model: AudioCodec | Codec | str | Path | None = None,
    *,
    strict: bool = False,
) -> NacReader:
    """Open a ``.nac`` file, to seek in it and read any part of its audio.

    Args:
        source: path of the file, its bytes, or an open file in which one can seek, which is left open
        model: a codec, or the name or folder of a model (default: the built-in model that the file names)
        strict: whether damage is an error; otherwise it is concealed

    Returns:
        The reader; close it, or use it in a ``with`` statement.

    Raises:
        UserError: not a .nac file, or its model is not available.
    """
    file: Path | BinaryIO
    if isinstance(source, (bytes, bytearray, memoryview)):
        file = io.BytesIO(source)
    elif isinstance(source, (str, Path)):
        file = Path(source)
    elif isinstance(source, io.TextIOBase) or not hasattr(source, "seek"):
        raise UserError(f"a path, bytes, or a file that is open for reading bytes, not {type(source).__name__}")
    else:
        file = source
    if model is None:
        found = resolve_model(_built_in_models(), read_nac_header(file, whole=False).fingerprint, name_source(file))
    elif isinstance(model, AudioCodec):
        found = model.model
    else:
        found = LoadedModel(model) if isinstance(model, Codec) else load_model(str(model))
    return NacReader(file, found, strict=strict)


@functools.cache
def _built_in_models() -> ModelFinder:
    """Return a finder that caches the models that it has loaded."""
    return ModelFinder()
