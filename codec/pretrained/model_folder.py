"""The folder of a model, read without PyTorch: ``config.json`` and the header of ``model.safetensors``.

:mod:`codec.pretrained.checkpoint` reads and writes the weights themselves.
"""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from codec.errors import UserError
from codec.runtime.json_files import parse_json, read_json

if TYPE_CHECKING:
    from codec.config import CodecConfig

WEIGHTS, CONFIG = "model.safetensors", "config.json"

MODEL_TYPE = "lathe"
"""Name by which transformers knows models of this kind; see :mod:`codec.transformers`."""

_BUFFERS = ("tables.", "quantizer.", "spread")
"""Prefixes of the stored arrays that are fitted to data or learnt without gradients."""


@dataclass(frozen=True)
class ExportedGraphs:
    """The ONNX graphs that were exported together with a model."""

    model_checksum: str
    """Checksum of the model from which they were made."""
    digests: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each graph by file name."""


def model_folder(path: Path) -> Path:
    """Find the folder that holds the two files of a model.

    Args:
        path: the folder of a model, or of a training run, whose model lies in ``model/``

    Returns:
        ``path`` or ``path / "model"``.

    Raises:
        UserError: neither holds a model.
    """
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    if not path.exists():
        raise UserError(f"{path}: no such model; give the folder of a run or of an exported model")
    raise UserError(f"{path}: not a model (no {CONFIG} and {WEIGHTS} in it); give the folder of a run or of a model")


def read_fingerprints(path: Path) -> list[str]:
    """Read the fingerprints of the files that a model can decode.

    Args:
        path: as for :func:`model_folder`

    Returns:
        The fingerprint of the model itself, then those of other models whose codes it decodes as well.

    Raises:
        UserError: no model there, or damaged.
    """
    folder, content = read_config(path)
    try:
        return [str(content["fingerprint"]), *map(str, content["decodes"])]
    except (KeyError, TypeError) as error:
        raise damaged_model(folder, error) from error


def read_training_info(path: Path) -> dict[str, Any]:
    """Read the information about training that is stored with a model, such as ``step``, ``recipe`` and ``tables``.

    Args:
        path: as for :func:`model_folder`

    Returns:
        The content of ``info`` in ``config.json``.

    Raises:
        UserError: no model there, or damaged.
    """
    folder, content = read_config(path)
    try:
        return dict(content["info"])
    except (KeyError, TypeError) as error:
        raise damaged_model(folder, error) from error


def read_graphs(path: Path) -> ExportedGraphs:
    """Read the digests of the ONNX graphs that belong to a model.

    Args:
        path: as for :func:`model_folder`

    Returns:
        The checksum of the model and the digests of its graphs; without graphs, there are no digests.

    Raises:
        UserError: no model there, or damaged.
    """
    folder, content = read_config(path)
    try:
        return ExportedGraphs(str(content["checksum"]), dict(content.get("graphs", {})))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise damaged_model(folder, error) from error


def read_codec_config(path: Path) -> "CodecConfig":
    """Read the architecture of a model.

    Args:
        path: as for :func:`model_folder`

    Returns:
        The architecture, whose settings are within their ranges.

    Raises:
        UserError: no model there, or damaged.
    """
    from codec.config import CodecConfig  # not at module level: codec info does without

    folder, content = read_config(path)
    try:
        return CodecConfig.from_dict(content["codec"])
    except (UserError, ValueError, KeyError, TypeError) as error:
        raise damaged_model(folder, error) from error


def count_parameters(path: Path) -> int:
    """Count the numbers that gradients train in a model, from the header of its weights.

    Args:
        path: as for :func:`model_folder`

    Returns:
        Weights and biases of encoder and decoder; neither codebooks nor frequency tables.

    Raises:
        UserError: no model there, or damaged.
    """
    folder = model_folder(path)
    try:
        with safe_open(folder / WEIGHTS, "np") as file:
            names = [name for name in file.keys() if not name.startswith(_BUFFERS)]
            return sum(math.prod(file.get_slice(name).get_shape()) for name in names)
    except (OSError, SafetensorError) as error:
        raise damaged_model(folder, error) from error


def read_arrays(path: Path, *names: str) -> list[npt.NDArray[Any]]:
    """Read single arrays of a model as NumPy arrays.

    Args:
        path: as for :func:`model_folder`
        names: names of the arrays, as they are stored

    Returns:
        One array for each name, empty if the model has none of this name.

    Raises:
        UserError: no model there, or damaged.
    """
    folder = model_folder(path)
    try:
        with safe_open(folder / WEIGHTS, "np") as file:
            stored = set(file.keys())
            return [file.get_tensor(name) if name in stored else np.zeros(0) for name in names]
    except (OSError, SafetensorError) as error:
        raise damaged_model(folder, error) from error


def read_config(path: Path) -> tuple[Path, Any]:
    """Read the configuration of a model.

    The header of the weights holds a copy of it. A process that was killed between writing the two files leaves new
    weights with an old ``config.json``; then the copy is used.

    Args:
        path: as for :func:`model_folder`

    Returns:
        The folder of the model and the content of ``config.json``.

    Raises:
        UserError: no model there, or damaged.
    """
    folder = model_folder(Path(path))
    try:
        content = read_json(folder / CONFIG)
        with safe_open(folder / WEIGHTS, "np") as file:
            copy = (file.metadata() or {}).get(CONFIG)
        if copy is not None and (own := parse_json(copy))["checksum"] != content["checksum"]:
            content = own
        return folder, content
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise damaged_model(folder, error) from error


def damaged_model(folder: Path, error: Exception) -> UserError:
    """Build the error for a model that cannot be read.

    Args:
        folder: folder of the model
        error: the exception; its first line becomes the reason

    Returns:
        The error to raise.
    """
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return UserError(f"{folder}: the model cannot be read ({reason}); export or train it again")
