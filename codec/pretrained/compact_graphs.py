"""ONNX graphs of decoders whose weights are stored in fewer bits, for browsers and devices with little room.

Matrices become half-precision numbers. For ``int8``, the matrices of the blocks, which are most of a decoder,
become 8-bit integers with a scale for each output. Nodes ``Cast`` and ``Mul`` make float32 of them again. The matrix of
the MDCT is not stored: a few nodes compute it. A runtime computes these nodes once, when it opens the graph, so that
such a graph is as fast as that in float32 and runs wherever it runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.errors import UserError
from codec.model.mdct import MDCT
from codec.pretrained.onnx_backend import DECODER, decoder_graph

if TYPE_CHECKING:
    from codec.config import CodecConfig, NetworkConfig

_MIN_VALUES = 512
"""Matrices with fewer values stay as they are, as do vectors."""


def write_compact_decoders(folder: Path, config: CodecConfig, dtypes: Sequence[str]) -> list[str]:
    """Write copies of the graph of a decoder with smaller weights.

    Args:
        folder: folder of the graph in float32
        config: architecture of the model
        dtypes: ``float16``, ``int8`` or both

    Returns:
        The names of the files.

    Raises:
        UserError: a weight is too large for half precision.
    """
    import onnx

    basis = MDCT(config.hop).basis.T.numpy()
    for dtype in dtypes:
        model = onnx.load(folder / DECODER)
        graph, casts = model.graph, []
        matrices = {node.input[1] for node in graph.node if node.op_type == "MatMul"}
        kept = []
        for tensor in graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            if values.dtype != np.float32 or values.ndim < 2 or values.size < _MIN_VALUES:
                kept.append(tensor)
                continue
            if np.array_equal(values, basis):
                factors, nodes = _computed_basis(tensor.name, config.hop)
                kept += [onnx.numpy_helper.from_array(factor, name) for name, factor in factors.items()]
                casts += nodes
                continue
            of_block = tensor.name in matrices and has_shape_of_block(values.shape, config.decoder)
            stored: tuple[npt.NDArray[Any], ...] = (
                _integers(values) if dtype == "int8" and of_block else (_halves(values),)
            )
            names = [f"{tensor.name}_{part}" for part in ("stored", "scale")[: len(stored)]]
            kept += [onnx.numpy_helper.from_array(part, name) for part, name in zip(stored, names)]
            casts += _restoring_nodes(names, tensor.name)
        del graph.initializer[:]
        graph.initializer.extend(kept)
        nodes = [*casts, *graph.node]
        del graph.node[:]
        graph.node.extend(nodes)
        (folder / decoder_graph(dtype)).write_bytes(model.SerializeToString())
    return [decoder_graph(dtype) for dtype in dtypes]


def has_shape_of_block(shape: Sequence[int], network: NetworkConfig) -> bool:
    """Determine whether a matrix is as large as those of a network's blocks.

    Args:
        shape: shape of the matrix
        network: architecture of the network

    Returns:
        Whether it maps the width of the blocks to that inside of them, or back.
    """
    return sorted(shape) == sorted((network.width, network.expansion * network.width))


def _halves(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    if np.abs(values).max() > np.finfo(np.float16).max:
        raise UserError("a weight of the decoder is too large for half precision; export without --dtype")
    return values.astype(np.float16)


def _integers(values: npt.NDArray[Any]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantize a matrix ``[inputs, outputs]`` to integers and the scale of each output ``[outputs]``."""
    scale = np.maximum(np.abs(values).max(0), 1e-12) / 127
    return np.rint(values / scale).astype(np.int8), scale.astype(np.float32)


def _computed_basis(name: str, hop: int) -> tuple[dict[str, npt.NDArray[Any]], list[Any]]:
    """Return small arrays, and nodes that compute from them the array ``name``: the MDCT's basis ``[hop, 2 * hop]``.

    Phases of the cosine are whole multiples of pi / (4 * hop); as integers they are reduced to one period exactly.
    """
    from onnx import TensorProto, helper

    n, k = np.arange(2 * hop), np.arange(hop)
    factors = {
        f"{name}_rows": 2 * k[:, None] + 1,
        f"{name}_columns": 2 * n + 1 + hop,
        f"{name}_period": np.array(8 * hop),
        f"{name}_unit": np.array(np.pi / (4 * hop), np.float32),
        f"{name}_window": (np.sqrt(2 / hop) * np.sin(np.pi * (n + 0.5) / (2 * hop))).astype(np.float32),
    }
    rows, columns, period, unit, window = factors
    made = [f"{name}_{step}" for step in ("products", "phases", "floats", "angles", "cosines")]
    nodes = [
        helper.make_node("Mul", [rows, columns], made[:1]),
        helper.make_node("Mod", [made[0], period], made[1:2]),
        helper.make_node("Cast", made[1:2], made[2:3], to=TensorProto.FLOAT),
        helper.make_node("Mul", [made[2], unit], made[3:4]),
        helper.make_node("Cos", made[3:4], made[4:5]),
        helper.make_node("Mul", [made[4], window], [name]),
    ]
    return factors, nodes


def _restoring_nodes(names: list[str], name: str) -> list[Any]:
    """Return the nodes that compute the array ``name`` in float32 from what is stored: values, and maybe a scale."""
    from onnx import TensorProto, helper

    cast = f"{name}_cast" if len(names) > 1 else name
    nodes = [helper.make_node("Cast", names[:1], [cast], to=TensorProto.FLOAT)]
    if len(names) > 1:
        nodes.append(helper.make_node("Mul", [cast, names[1]], [name]))
    return nodes
