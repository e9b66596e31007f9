"""A model for inference in ONNX Runtime alone, without PyTorch: its graphs, its architecture and its tables."""

from pathlib import Path

from safetensors import SafetensorError, safe_open

from codec.bitstream.tables import CodeTables
from codec.errors import UserError
from codec.model.backend import InferenceBackend
from codec.model.streaming import StreamingCodec
from codec.pretrained.model_folder import (
    WEIGHTS,
    damaged_model,
    model_folder,
    read_codec_config,
    read_fingerprints,
    read_graphs,
)
from codec.pretrained.onnx_backend import OnnxBackend

_TABLES = "tables."
"""Prefix of the names of the frequency tables among the stored arrays."""


class OnnxCodec(StreamingCodec):
    """A model whose streams ONNX Runtime computes.

    Of its weights only the frequency tables are read: the graphs have their own copies, and each is opened when it is
    first used.

    Args:
        path: the folder of a model with graphs, or of the run that trained it
        threads: CPU threads that ONNX Runtime may use
        dtype: type in which the weights of the decoder's graph are stored

    Raises:
        UserError: no model there, without graphs, or damaged; ONNX Runtime is not installed.
    """

    def __init__(self, path: Path, threads: int = 1, dtype: str = "float32") -> None:
        self.folder = model_folder(path)
        self.config = read_codec_config(self.folder)
        self.fingerprint, *others = read_fingerprints(self.folder)
        """16 hexadecimal digits that name the decoder."""
        self.compatible_fingerprints = tuple(others)
        self.backend = OnnxBackend(
            self.folder, read_graphs(self.folder).digests, self.config.quantizer.codebooks, threads, dtype
        )

    def code_tables(self) -> CodeTables:
        """Read the tables of the range coder.

        Returns:
            The tables, as stored with the model.

        Raises:
            UserError: the model is damaged.
        """
        try:
            with safe_open(self.folder / WEIGHTS, "np") as file:
                names = [name for name in file.keys() if name.startswith(_TABLES)]
                return CodeTables.from_stored({name[len(_TABLES) :]: file.get_tensor(name) for name in names})
        except (OSError, SafetensorError, ValueError, KeyError) as error:
            raise damaged_model(self.folder, error) from error

    def inference_backend(self, quantize: bool) -> InferenceBackend:
        """Return the backend that computes streams.

        Args:
            quantize: must be True: the graphs have no continuous latents

        Returns:
            The graphs.

        Raises:
            UserError: streams of continuous latents are asked for.
        """
        if not quantize:
            raise UserError("the graphs of the device onnx have no continuous latents; take the device cpu")
        return self.backend
