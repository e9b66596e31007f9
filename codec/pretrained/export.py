"""A trained model as what is kept and passed on: smaller, and on request as ONNX graphs."""

import logging
import os
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
from tqdm import tqdm

from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.convnext import StreamState
from codec.model.quantizers.nearest import FEW_POINTS
from codec.model.torch_backend import DecodeBlock, EncodeBlock, TensorStep
from codec.pretrained.checkpoint import fingerprint, load_codec, model_checksum, save_model
from codec.pretrained.model_folder import read_training_info
from codec.pretrained.onnx_backend import DECODER, ENCODER
from codec.runtime.atomic_files import temporary_path
from codec.runtime.extras import require
from codec.training.provenance import TRAINED_CLIPS_FILE

MOST = 1 << 16
"""Frames of a block, and streams, that a graph is made for."""


@torch.no_grad()
def export_model(source: Path, folder: Path, onnx: bool = False) -> Codec:
    """Writes the model of a run or folder with its networks in half precision, which makes it smaller; with ``onnx``,
    the graphs of :mod:`codec.pretrained.onnx_backend` beside it. Returns it.

    It is another model, with a fingerprint of its own: what the rounded decoder makes of codes is not bit for bit the
    same. Recipe and curves of a run, and the list of clips it was trained on, go with it.

    Raises:
        UserError: as :func:`load_model` and :func:`export_graphs`, or ``folder`` is there and not empty. Nothing is
            left at it then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already and not an empty folder; choose another --out")
    codec, info = load_codec(source), read_training_info(source)
    for weight in codec.parameters():
        weight.copy_(weight.half())
    part = temporary_path(folder)
    try:
        if onnx:
            export_graphs(codec, part, info, torch.float16)
        else:
            save_model(part, codec, info, torch.float16)
        for name in ("recipe.yaml", "metrics.csv", TRAINED_CLIPS_FILE):
            if (source / name).is_file():
                shutil.copyfile(source / name, part / name)
        os.replace(part, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot write ({error.strerror})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return codec


def export_graphs(codec: Codec, folder: Path, info: dict[str, Any], stored: torch.dtype = torch.float32) -> None:
    """Writes the model to ``folder``, and beside it the graphs of :mod:`codec.pretrained.onnx_backend`, in float32,
    which the model's
    ``config.json`` names by their SHA-256. For ``info`` and ``stored`` see
    :func:`codec.pretrained.checkpoint.save_model`.

    Raises:
        UserError: what writes ONNX is not installed, or the files cannot be written.
    """
    require("writing ONNX graphs", "onnx", modules=["onnx", "onnxscript"])
    folder.mkdir(parents=True, exist_ok=True)
    config = codec.config
    wave = torch.zeros(2, FEW_POINTS * config.latent_hop)
    codes = torch.zeros(2, config.quantizer.codebooks, FEW_POINTS, dtype=torch.int64)
    streams = torch.export.Dim("streams", max=MOST)
    frames = torch.export.Dim("frames", min=FEW_POINTS, max=MOST)
    quantizer = codec.quantizer.fused()
    encode = EncodeBlock(codec, config.quantizer.codebooks, True, quantizer)
    decode = DecodeBlock(codec, True, quantizer)
    with tqdm(total=2, desc="export", unit="graph") as bar:
        sizes = {0: streams, 1: config.latent_hop * frames}
        _write(encode, wave, sizes, "wave", ["codes", "need"], folder / ENCODER)
        bar.update()
        _write(decode, codes, {0: streams, 2: frames}, "codes", ["wave"], folder / DECODER)
        bar.update()
    digests = {name: sha256((folder / name).read_bytes()).hexdigest() for name in (ENCODER, DECODER)}
    save_model(folder, codec, info, stored, digests)


class _Graph(nn.Module):
    """A step as the exporter wants it: a module that gives tensors."""

    def __init__(self, step: TensorStep):
        super().__init__()
        self.step = step

    def forward(self, block: Tensor, state: StreamState) -> tuple[Tensor, ...]:
        outputs, state = self.step(block, state)
        return *outputs, *state


def _write(step: TensorStep, block: Tensor, sizes: dict[int, Any], takes: str, gives: list[str], path: Path) -> None:
    """``block``: an example. ``sizes``: those of its dimensions that may be others. ``takes``, ``gives``: names."""
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
    """The exporter tells much that no user can act on."""
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
    """``torch.cummin`` of ``[batch, quantizers, frames]`` over the quantizers, in operators of ONNX, which has no such
    thing: the minimum of all of them, the later ones made infinite. Without indices, for which no one asks."""
    from onnx.numpy_helper import from_array
    from onnxscript import opset18

    op: Any = opset18  # its types are stricter than it is
    count = values.shape[dim]
    later = np.triu(np.full((count, count), np.inf, np.float32), 1)[None, :, :, None]
    others = op.Unsqueeze(values, op.Constant(value_ints=[dim]))
    masked = op.Add(others, op.Constant(value=from_array(later)))
    return op.ReduceMin(masked, op.Constant(value_ints=[dim + 1]), keepdims=0), op.Constant(value_int=0)
