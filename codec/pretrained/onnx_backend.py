"""Inference in ONNX Runtime, with the two graphs that :mod:`codec.pretrained.export` writes into a model's folder.

Each graph is one step of a stream: from a block of any number of frames of any number of streams, and the state after
the block before, which is zeros at first, to the outputs and the state after it. See docs/onnx.md.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codec.bitstream.codes import NO_CODE
from codec.errors import UserError
from codec.model.backend import BlockOutputs, join_arrays, split_streams
from codec.model.decoder_dtypes import GRAPH_DTYPES
from codec.runtime.extras import require_installed

if TYPE_CHECKING:
    from codec.model.codec import Codec

ENCODER, DECODER = "encoder.onnx", "decoder.onnx"
CONSTANTS, TABLES = "constants.json", "tables.safetensors"
"""What programs without Python need beside the graphs, see :mod:`codec.pretrained.onnx_constants`."""


def decoder_graph(dtype: str) -> str:
    """Return the name of the graph of a decoder.

    Args:
        dtype: type in which its weights are stored

    Returns:
        The file name.

    Raises:
        UserError: there are no graphs of this type.
    """
    if dtype not in GRAPH_DTYPES:
        raise UserError(f"graphs for ONNX Runtime are {', '.join(GRAPH_DTYPES)}, not {dtype}")
    return DECODER if dtype == "float32" else f"decoder.{dtype}.onnx"


def frame_graph(name: str) -> str:
    """Return the name of the graph for single frames of one stream.

    Args:
        name: name of the graph for blocks of any size

    Returns:
        The file name.
    """
    first, _, rest = name.partition(".")
    return f"{first}.frame.{rest}"


_TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(int64)": np.int64}


class OnnxBackend:
    """Computes a model's streams in ONNX Runtime, on the CPU; a :class:`codec.model.backend.InferenceBackend`.

    Args:
        folder: folder of the graphs
        digests: SHA-256 of each graph by file name, as exported with the model
        codebooks: number of codebooks of the model
        threads: CPU threads that ONNX Runtime may use
        dtype: type in which the weights of the decoder's graph are stored

    Raises:
        UserError: ONNX Runtime is not installed, or a graph is not there. That a graph is damaged, or is not the one
            that was exported, is found when the first stream needs it.
    """

    def __init__(
        self, folder: Path, digests: Mapping[str, str], codebooks: int, threads: int = 1, dtype: str = "float32"
    ):
        self.folder, self.digests, self.codebooks, self.threads = folder, dict(digests), codebooks, threads
        self.decoder_name = decoder_graph(dtype)
        require_installed("the device onnx", "onnx", modules=["onnxruntime"])
        for name in (ENCODER, self.decoder_name):
            _check_exists(folder / name)
        self._opened: dict[str, _Graph] = {}

    def _name_for(self, name: str, block: int) -> str:
        frame = frame_graph(name)
        return frame if block == 1 and frame in self.digests else name

    def _graph(self, name: str) -> "_Graph":
        if name not in self._opened:
            self._opened[name] = _Graph(self._open(name))
        return self._opened[name]

    def _open(self, name: str) -> Any:
        """Make a session from the file whose digest was compared."""
        path = self.folder / name
        before, digest = _identify(path)
        if digest != self.digests.get(name):
            raise UserError(f"{path}: not the graph that was exported with this model (damaged?); export it again")
        session = _session(path, self.threads)
        if before != _file_identity(path):
            raise UserError(f"{path}: replaced while it was read; try again")
        return session

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the sessions, which cannot be pickled; they are made again at first use."""
        return {**vars(self), "_opened": {}}

    def encoding_step(self, codebooks: int, block: int) -> "_EncodeStep":
        """Return the step of an encoder; see :class:`codec.model.backend.InferenceBackend`.

        Args:
            codebooks: number of codebooks to use
            block: latent frames per block; for 1, a graph for single frames is taken if there is one

        Returns:
            A step from waveforms to codes and their importances.
        """
        name = self._name_for(ENCODER, block)
        return _EncodeStep(self.folder / name, codebooks, self._graph(name))

    def decoding_step(self, block: int) -> "_DecodeStep":
        """Return the step of a decoder; see :class:`codec.model.backend.InferenceBackend`.

        Args:
            block: as for :meth:`encoding_step`

        Returns:
            A step from codes to waveforms.
        """
        name = self._name_for(self.decoder_name, block)
        return _DecodeStep(self.folder / name, self.codebooks, self._graph(name))


def with_graphs(codec: "Codec", folder: Path, threads: int = 1, dtype: str = "float32") -> "Codec":
    """Return a codec that computes streams of codes with the ONNX graphs in a folder.

    Args:
        codec: model
        folder: folder to which this model was exported with its graphs
        threads: CPU threads that ONNX Runtime may use
        dtype: type in which the weights of the decoder's graph are stored

    Returns:
        The same codec with another backend; its weights are shared.

    Raises:
        UserError: As :class:`OnnxBackend`, or the graphs are those of another model.
    """
    from codec.pretrained.checkpoint import model_checksum  # not at module level: it needs PyTorch
    from codec.pretrained.model_folder import read_graphs

    exported = read_graphs(folder)
    if exported.model_checksum != model_checksum(codec):
        raise UserError(f"{folder}: its ONNX graphs are those of another model; export it again")
    same = copy.copy(codec)
    same.backend = OnnxBackend(folder, exported.digests, codec.config.quantizer.codebooks, threads, dtype)
    return same


class _Graph:
    """A session that runs one block: of any number of streams, or of one if the graph is for single frames."""

    def __init__(self, session: Any):
        self._session = session
        self._of_one_stream = session.get_inputs()[0].shape[0] == 1
        self._names = [value.name for value in session.get_inputs()]
        self._states = [(value.shape[1:], _TYPES[value.type]) for value in session.get_inputs()[1:]]

    def initial_state(self, streams: int) -> BlockOutputs:
        """Return zeros for each input but the block."""
        return tuple(np.zeros((streams, *shape), dtype) for shape, dtype in self._states)

    def run(self, block: npt.NDArray[Any], state: BlockOutputs) -> list[npt.NDArray[Any]]:
        """Return all outputs, those of the state last."""
        if self._of_one_stream and len(block) > 1:
            streams = [slice(number, number + 1) for number in range(len(block))]
            parts = [self.run(block[one], tuple(value[one] for value in state)) for one in streams]
            return list(join_arrays([tuple(part) for part in parts]))
        given = {name: np.ascontiguousarray(value) for name, value in zip(self._names, (block, *state))}
        try:
            return list(self._session.run(None, given))
        except Exception as error:  # what it raises has no common class
            raise UserError(f"ONNX Runtime cannot compute the graph ({_first_line(error)})") from error


@dataclass(frozen=True)
class _Step:
    """Base of the steps of encoder and decoder. Steps of the same graphs and codebooks are equal."""

    path: Path
    codebooks: int
    graph: _Graph = field(compare=False)

    @property
    def prefers_whole_blocks(self) -> bool:
        return False

    def initial_state(self, streams: int) -> BlockOutputs:
        return self.graph.initial_state(streams)

    def join_states(self, states: Sequence[BlockOutputs]) -> BlockOutputs:
        return join_arrays(states)

    def split_state(self, state: BlockOutputs, sizes: Sequence[int]) -> list[BlockOutputs]:
        return split_streams(state, sizes)


@dataclass(frozen=True)
class _EncodeStep(_Step):
    def empty_outputs(self, streams: int) -> BlockOutputs:
        shape = (streams, self.codebooks, 0)
        return np.zeros(shape, np.int64), np.zeros(shape, np.float32)

    def __call__(self, block: npt.NDArray[Any], state: BlockOutputs) -> tuple[BlockOutputs, BlockOutputs]:
        codes, importances, *after = self.graph.run(block, state)
        return (codes[:, : self.codebooks], importances[:, : self.codebooks]), tuple(after)


@dataclass(frozen=True)
class _DecodeStep(_Step):
    def empty_outputs(self, streams: int) -> BlockOutputs:
        return (np.zeros((streams, 0), np.float32),)

    def __call__(self, block: npt.NDArray[Any], state: BlockOutputs) -> tuple[BlockOutputs, BlockOutputs]:
        missing = self.codebooks - block.shape[1]
        if missing:
            block = np.pad(block, ((0, 0), (0, missing), (0, 0)), constant_values=NO_CODE)
        waveform, *after = self.graph.run(block, state)
        return (waveform,), tuple(after)


def _check_exists(path: Path) -> None:
    if not path.is_file():
        kinds = path.name.split(".")[1:-1]
        options = "".join(" --single-frames" if kind == "frame" else f" --dtype {kind}" for kind in kinds)
        raise UserError(
            f"{path}: no such graph; write it with codec export MODEL --onnx{options} --out DIR, and give --model DIR"
        )


def _identify(path: Path) -> tuple[tuple[int, ...], str]:
    """Return what changes when a file is replaced or written to, and the SHA-256 of its content."""
    _check_exists(path)
    try:
        identity = _file_identity(path)
        with path.open("rb") as file:
            digest = sha256()
            while part := file.read(1 << 20):
                digest.update(part)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    return identity, digest.hexdigest()


def _file_identity(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _session(path: Path, threads: int) -> Any:
    """Open a graph by its path: a session that is made from bytes keeps them."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = max(1, threads), 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # as above
        raise UserError(f"{path}: this graph cannot be read ({_first_line(error)}); export it again") from error


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
