"""Export of trained models: smaller files for archiving and distribution, and ONNX graphs."""

import logging
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.convnext import StreamState, is_skip_path
from codec.model.exact_decoder import ExactDecodeBlock
from codec.model.quantizers.nearest import FEW_POINTS
from codec.model.torch_backend import DecodeBlock, EncodeBlock, TensorStep
from codec.pretrained.checkpoint import fingerprint, load_codec, model_checksum, save_model
from codec.pretrained.model_card import CARD_FILE, write_model_card
from codec.pretrained.model_folder import model_folder, read_training_info
from codec.pretrained.onnx_backend import DECODER, ENCODER
from codec.pretrained.onnx_constants import write_constants
from codec.runtime.atomic_files import remove_abandoned_parts, replacing
from codec.runtime.extras import require_installed
from codec.runtime.progress import ProgressBar
from codec.training.provenance import TRAINED_CLIPS_FILE

MAX_DIMENSION = 1 << 16
"""Maximum number of frames in a block, and of streams, that a graph computes."""


@torch.no_grad()
def export_model(source: Path, folder: Path, onnx: bool = False, exact: bool = False) -> Codec:
    """Export a model with its networks in half precision, which halves their size.

    The result is another model, with a fingerprint of its own, since its rounded decoder does not give bit for bit the
    same waveform. The recipe and curves of a run, the list of its training clips and the text of the model card are
    copied; the figures in the card are those of the exported model.

    Args:
        source: the folder of a run or model
        folder: folder to create; if it exists, it must be empty and not the current one
        onnx: whether to write the ONNX graphs as well, see :func:`export_graphs`
        exact: whether the graph of the decoder is that of :mod:`codec.model.exact_decoder`

    Returns:
        The exported model.

    Raises:
        UserError: no model there, or it is damaged; ``folder`` is not empty or cannot be written; no ONNX exporter is
            installed; the model has no exact decoder. Nothing is left at ``folder`` then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: exists and is not an empty folder; choose another --out")
    if folder.resolve() == Path.cwd():
        raise UserError(f"{folder}: this is the current folder, which cannot be replaced; choose another --out")
    codec, info = load_codec(source), read_training_info(source)
    for name, weight in codec.named_parameters():
        if not is_skip_path(name):
            weight.copy_(weight.half())
    remove_abandoned_parts(folder.parent, {folder.name})
    try:
        with replacing(folder) as part:
            if onnx:
                export_graphs(codec, part, info, torch.float16, exact)
            else:
                save_model(part, codec, info, torch.float16)
            for name in ("recipe.yaml", "metrics.csv", TRAINED_CLIPS_FILE):
                if (source / name).is_file():
                    shutil.copyfile(source / name, part / name)
            if (card := model_folder(source) / CARD_FILE).is_file():
                shutil.copyfile(card, part / CARD_FILE)
            write_model_card(part, folder.resolve().name)
    except OSError as error:
        raise UserError(f"{folder}: cannot write ({error.strerror})") from error
    return codec


def export_graphs(
    codec: Codec, folder: Path, info: dict[str, Any], stored: torch.dtype = torch.float32, exact: bool = False
) -> None:
    """Write a model together with its ONNX graphs for :mod:`codec.pretrained.onnx_backend`.

    The graphs compute in float32, but for that of an exact decoder. ``config.json`` names them by their SHA-256. Beside
    them are the constants and tables of :mod:`codec.pretrained.onnx_constants`.

    Args:
        codec: the model
        folder: folder to write; it is created if it is missing
        info: about its training, see :func:`codec.pretrained.checkpoint.save_model`
        stored: data type of the stored weights of the networks
        exact: whether the graph of the decoder is that of :mod:`codec.model.exact_decoder`

    Raises:
        UserError: no ONNX exporter is installed, the files cannot be written, or the model has no exact decoder.
    """
    require_installed("writing ONNX graphs", "onnx", modules=["onnx", "onnxscript"])
    folder.mkdir(parents=True, exist_ok=True)
    config = codec.config
    wave = torch.zeros(2, FEW_POINTS * config.latent_hop)
    codes = torch.zeros(2, config.quantizer.codebooks, FEW_POINTS, dtype=torch.int64)
    streams = torch.export.Dim("streams", max=MAX_DIMENSION)
    frames = torch.export.Dim("frames", min=FEW_POINTS, max=MAX_DIMENSION)
    quantizer = codec.quantizer.fused()
    encode = EncodeBlock(codec, config.quantizer.codebooks, True, quantizer)
    decode = ExactDecodeBlock(codec) if exact else DecodeBlock(codec, True, quantizer)
    with ProgressBar(total=2, desc="export", unit="graph") as bar:
        sizes = {0: streams, 1: config.latent_hop * frames}
        _write(encode, wave, sizes, "wave", ["codes", "need"], folder / ENCODER)
        bar.update()
        _write(decode, codes, {0: streams, 2: frames}, "codes", ["wave"], folder / DECODER)
        bar.update()
    digests = {name: sha256((folder / name).read_bytes()).hexdigest() for name in (ENCODER, DECODER)}
    write_constants(codec, folder, {ENCODER: encode, DECODER: decode})
    save_model(folder, codec, info, stored, digests)


class _Graph(nn.Module):
    """A step in the form that the exporter takes: a module that returns tensors."""

    def __init__(self, step: TensorStep):
        super().__init__()
        self.step = step

    def forward(self, block: Tensor, state: StreamState) -> tuple[Tensor, ...]:
        outputs, state = self.step(block, state)
        return *outputs, *state


def _write(step: TensorStep, block: Tensor, sizes: dict[int, Any], takes: str, gives: list[str], path: Path) -> None:
    """Write one graph.

    ``block`` is an example input, ``sizes`` are its dimensions that may vary, ``takes`` and ``gives`` name the inputs
    and outputs.
    """
    codec, state = step.codec, step.initial_state(len(block))
    with torch.no_grad(), _quiet():
        every = sizes, tuple({0: sizes[0]} for _ in state)
        made = torch.onnx.export(
            _Graph(step),
            (block, state),
            dynamic_shapes=every,
            custom_translation_table={torch.ops.aten.cummin.default: _running_minimum},
            dynamo=True,
            verbose=False,
        )
    assert made is not None
    graph, states = made.model.graph, range(len(state))
    names = [takes, *(f"state_{number}" for number in states), *gives, *(f"next_{number}" for number in states)]
    for value, name in zip([*graph.inputs, *graph.outputs], names, strict=True):
        value.name = name
    made.model.metadata_props.update(
        fingerprint=fingerprint(codec),
        checksum=model_checksum(codec),
        sample_rate=str(codec.config.sample_rate),
        latent_hop=str(codec.config.latent_hop),
        hop=str(codec.config.hop),
    )
    try:
        made.save(path)
    except OSError as error:
        raise UserError(f"{path}: cannot write ({error.strerror})") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence warnings and messages of the exporter that users cannot act on."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, before):
                logger.setLevel(level)


def _running_minimum(values: Any, dim: int) -> tuple[Any, Any]:
    """Translate ``torch.cummin`` of ``[batch, codebooks, frames]`` over the codebooks, which ONNX does not have.

    It is the minimum over all codebooks, with the later ones set to infinity. The indices are not computed.
    """
    from onnx.numpy_helper import from_array
    from onnxscript import opset18

    op: Any = opset18  # its types are stricter than it is
    count = values.shape[dim]
    later = np.triu(np.full((count, count), np.inf, np.float32), 1)[None, :, :, None]
    others = op.Unsqueeze(values, op.Constant(value_ints=[dim]))
    masked = op.Add(others, op.Constant(value=from_array(later)))
    return op.ReduceMin(masked, op.Constant(value_ints=[dim + 1]), keepdims=0), op.Constant(value_int=0)
