"""Streams that ONNX Runtime computes, with the two graphs that :mod:`codec.export` writes beside a model.

Each graph is one step of a stream: a block of any number of frames of any number of streams, and the state after the
block before, which is zeros at first, to what comes out and the state after it. See docs/graphs.md.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.checkpoint import checksum
from codec.errors import UserError
from codec.model.codec import Codec, DecodeStep, EncodeStep
from codec.model.layers import State
from codec.model.quantizers import ABSENT, Coded
from codec.model.streams import DecodingStep, EncodingStep

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
INSTALL = "pip install 'lathe-codec[onnx]'"


class Graphs:
    """What computes a codec's blocks in ONNX Runtime, on the CPU.

    Raises:
        UserError: ONNX Runtime is not installed, there are no graphs in ``folder``, or they are another model's.
    """

    def __init__(self, codec: Codec, folder: Path, threads: int = 1):
        self.codec, self.folder, self.threads = codec, folder, threads
        wanted = checksum(codec)
        for session in (self.encoder, self.decoder):
            if session.get_modelmeta().custom_metadata_map.get("checksum") != wanted:
                raise UserError(f"{folder}: its ONNX graphs are those of another model; export it again")

    @cached_property
    def encoder(self) -> Any:
        return _session(self.folder / ENCODER, self.threads)

    @cached_property
    def decoder(self) -> Any:
        return _session(self.folder / DECODER, self.threads)

    def __getstate__(self) -> dict[str, Any]:
        """Sessions cannot be pickled: made where they are used."""
        return {"codec": self.codec, "folder": self.folder, "threads": self.threads}

    def encoding(self, step: EncodeStep) -> EncodingStep:
        return _EncodeStep(step, _runner(self.encoder))

    def decoding(self, step: DecodeStep) -> DecodingStep:
        return _DecodeStep(step, _runner(self.decoder))


def with_graphs(codec: Codec, folder: Path, threads: int = 1) -> Codec:
    """The same codec, its weights shared, with the :class:`Graphs` in ``folder``. Raises likewise."""
    same = copy.copy(codec)
    same.steps = Graphs(same, folder, threads)
    return same


Runner = Callable[[Tensor, State], list[Tensor]]


@dataclass(frozen=True)
class _EncodeStep:
    plain: EncodeStep
    run: Runner = field(compare=False)

    def start(self, batch: int) -> State:
        return self.plain.start(batch)

    def empty(self, batch: int) -> Coded:
        return self.plain.empty(batch)

    def __call__(self, wave: Tensor, state: State) -> tuple[Coded, State]:
        codes, need, *after = self.run(wave, state)
        count = self.plain.codebooks
        return Coded(codes[:, :count], need[:, :count]), tuple(after)


@dataclass(frozen=True)
class _DecodeStep:
    plain: DecodeStep
    run: Runner = field(compare=False)

    def start(self, batch: int) -> State:
        return self.plain.start(batch)

    def __call__(self, codes: Tensor, state: State) -> tuple[Tensor, State]:
        missing = self.plain.codec.config.quantizer.codebooks - codes.shape[1]
        wave, *after = self.run(F.pad(codes, (0, 0, 0, missing), value=ABSENT), state)
        return wave, tuple(after)


def _runner(session: Any) -> Runner:
    names = [value.name for value in session.get_inputs()]

    def run(block: Tensor, state: State) -> list[Tensor]:
        given = {name: np.ascontiguousarray(value) for name, value in zip(names, (block, *state))}
        return [torch.from_numpy(value) for value in session.run(None, given)]

    return run


def _session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError(f"the device onnx needs onnxruntime; {INSTALL}") from error
    if not path.is_file():
        raise UserError(
            f"{path}: no such graph; write it with codec export MODEL --onnx --out DIR, and give --model DIR"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # what it raises has no common class
        raise UserError(f"{path}: this graph cannot be read ({str(error).splitlines()[0]}); export it again") from error
