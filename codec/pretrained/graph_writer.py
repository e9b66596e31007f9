"""Steps of streams as ONNX graphs: what :mod:`codec.pretrained.export` writes."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from codec.errors import UserError
from codec.model.convnext import StreamState
from codec.model.torch_backend import TensorStep
from codec.pretrained.checkpoint import fingerprint, model_checksum


class _Graph(nn.Module):
    """A step in the form that the exporter takes: a module that returns tensors."""

    def __init__(self, step: TensorStep):
        super().__init__()
        self.step = step

    def forward(self, block: Tensor, state: StreamState) -> tuple[Tensor, ...]:
        outputs, state = self.step(block, state)
        return *outputs, *state


def write_graph(
    step: TensorStep, block: Tensor, sizes: dict[int, Any] | None, takes: str, gives: list[str], path: Path
) -> None:
    """Write a step as a graph.

    Args:
        step: step of an encoder or decoder
        block: an example of a block
        sizes: dimensions of the block that may vary, of which 0, the streams, is one; None: the graph takes blocks of
            the size of the example alone
        takes: name of the block
        gives: names of the outputs
        path: file to write

    Raises:
        UserError: it cannot be written.
    """
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    codec, state = step.codec, step.initial_state(len(block))
    every = None if sizes is None else (sizes, tuple({0: sizes[0]} for _ in state))
    with torch.no_grad(), _quiet():
        made = torch.onnx.export(
            _Graph(step),
            (block, state),
            dynamic_shapes=every,
            custom_translation_table={torch.ops.aten.cummin.default: _running_minimum},
            dynamo=True,
            verbose=False,
        )
    assert made is not None
    ClearMetadataAndDocStringPass()(made.model)  # stack traces with paths of this machine, 0.2 MB of them
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
