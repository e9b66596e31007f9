"""What a program without Python needs beside the ONNX graphs: the constants of a model, and the integer tables of the
range coder.

docs/onnx.md describes both files.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor

from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.torch_backend import TensorStep
from codec.pretrained.checkpoint import fingerprint
from codec.pretrained.onnx_backend import CONSTANTS, TABLES


def write_constants(codec: Codec, folder: Path, steps: Mapping[str, TensorStep]) -> None:
    """Write the constants and tables of a model.

    Args:
        codec: the model
        folder: folder of its graphs
        steps: the step that each graph computes, by the file name of the graph

    Raises:
        UserError: a file cannot be written.
    """
    config = codec.config
    constants = {
        "fingerprint": fingerprint(codec),
        "decodes": list(codec.compatible_fingerprints),
        "sample_rate": config.sample_rate,
        "latent_hop": config.latent_hop,
        "hop": config.hop,
        "codebooks": config.quantizer.codebooks,
        "codebook_size": config.quantizer.size,
        "bits_per_code": config.bits_per_code,
        "stereo": config.stereo,
        "receptive_field": codec.receptive_field,
        "states": {name: [_describe(state) for state in step.initial_state(1)] for name, step in steps.items()},
    }
    try:
        (folder / TABLES).write_bytes(save(dict(codec.tables.state_dict())))
        (folder / CONSTANTS).write_text(json.dumps(constants, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"{error.filename or folder}: cannot write ({error.strerror})") from error


def _describe(state: Tensor) -> dict[str, Any]:
    return {"shape": list(state.shape[1:]), "type": str(state.dtype).removeprefix("torch.")}
