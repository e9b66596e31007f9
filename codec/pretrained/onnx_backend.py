"""Streams that ONNX Runtime computes, with the two graphs that :mod:`codec.pretrained.export` writes beside a model.

Each graph is one step of a stream: a block of any number of frames of any number of streams, and the state after the
block before, which is zeros at first, to what comes out and the state after it. See docs/graphs.md.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.bitstream.codes import NO_CODE
from codec.errors import UserError
from codec.model.codec import Codec, DecodeStep, EncodeStep
from codec.model.convnext import StreamState
from codec.model.quantizers import CodesWithImportance
from codec.model.streaming import DecodingStep, EncodingStep
from codec.pretrained.checkpoint import checksum, read_graphs
from codec.runtime.extras import require

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"


class Graphs:
    """What computes a codec's blocks in ONNX Runtime, on the CPU.

    Raises:
        UserError: ONNX Runtime is not installed, there are no graphs in ``folder``, they are not those that were
            exported with the model there, or that is another one than the codec.
    """

    def __init__(self, codec: Codec, folder: Path, threads: int = 1):
        self.codec, self.folder, self.threads = codec, folder, threads
        self.exported = read_graphs(folder)
        if self.exported.checksum != checksum(codec):
            raise UserError(f"{folder}: its ONNX graphs are those of another model; export it again")
        _ = self.encoder, self.decoder  # what is wrong with them is said now

    @cached_property
    def encoder(self) -> Any:
        return self._session(ENCODER)

    @cached_property
    def decoder(self) -> Any:
        return self._session(DECODER)

    def _session(self, name: str) -> Any:
        """Of the bytes whose digest was looked at, so that nothing can come between."""
        path = self.folder / name
        graph = _read(path)
        if sha256(graph).hexdigest() != self.exported.digests.get(name):
            raise UserError(f"{path}: not the graph that was exported with this model (damaged?); export it again")
        return _session(path, graph, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        """Sessions cannot be pickled: made where they are used."""
        return {name: self.__dict__[name] for name in ("codec", "folder", "threads", "exported")}

    def encoding(self, step: EncodeStep) -> EncodingStep:
        return _EncodeStep(step, _runner(self.encoder))

    def decoding(self, step: DecodeStep) -> DecodingStep:
        return _DecodeStep(step, _runner(self.decoder))


def with_graphs(codec: Codec, folder: Path, threads: int = 1) -> Codec:
    """The same codec, its weights shared, with the :class:`Graphs` in ``folder``. Raises likewise."""
    same = copy.copy(codec)
    same.backend = Graphs(same, folder, threads)
    return same


Runner = Callable[[Tensor, StreamState], list[Tensor]]


@dataclass(frozen=True)
class _EncodeStep:
    plain: EncodeStep
    run: Runner = field(compare=False)

    def start(self, batch: int) -> StreamState:
        return self.plain.start(batch)

    def empty(self, batch: int) -> CodesWithImportance:
        return self.plain.empty(batch)

    def __call__(self, wave: Tensor, state: StreamState) -> tuple[CodesWithImportance, StreamState]:
        codes, need, *after = self.run(wave, state)
        count = self.plain.codebooks
        return CodesWithImportance(codes[:, :count], need[:, :count]), tuple(after)


@dataclass(frozen=True)
class _DecodeStep:
    plain: DecodeStep
    run: Runner = field(compare=False)

    def start(self, batch: int) -> StreamState:
        return self.plain.start(batch)

    def __call__(self, codes: Tensor, state: StreamState) -> tuple[Tensor, StreamState]:
        missing = self.plain.codec.config.quantizer.codebooks - codes.shape[1]
        wave, *after = self.run(F.pad(codes, (0, 0, 0, missing), value=NO_CODE), state)
        return wave, tuple(after)


def _runner(session: Any) -> Runner:
    names = [value.name for value in session.get_inputs()]

    def run(block: Tensor, state: StreamState) -> list[Tensor]:
        given = {name: np.ascontiguousarray(value) for name, value in zip(names, (block, *state))}
        try:
            return [torch.from_numpy(value) for value in session.run(None, given)]
        except Exception as error:  # what it raises has no common class
            raise UserError(f"ONNX Runtime cannot compute the graph ({_first_line(error)})") from error

    return run


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise UserError(
            f"{path}: no such graph; write it with codec export MODEL --onnx --out DIR, and give --model DIR"
        )
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error


def _session(path: Path, graph: bytes, threads: int) -> Any:
    require("the device onnx", "onnx", modules=["onnxruntime"])
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise UserError(f"{path}: this graph cannot be read ({_first_line(error)}); export it again") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
