"""Models on disk: a folder with ``model.safetensors`` and ``config.json``, neither of which can run code when read.

The fingerprint and the checksum of a model hash the *names* of its settings and arrays together with their values, so
these names are part of the format and must not change.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.codec import Codec
from codec.model.codec_base import CodecBase
from codec.model.convnext import is_skip_path
from codec.pretrained.model_folder import CONFIG, MODEL_TYPE, WEIGHTS, damaged_model, read_config
from codec.runtime.atomic_files import commit_file, temporary_path


def fingerprint(codec: Codec) -> str:
    """Compute the fingerprint of a model, which each coded file stores: two models with the same one decode alike.

    Args:
        codec: the model

    Returns:
        16 hexadecimal digits of a hash over decoder, codebooks and frequency tables.
    """
    return _digest(_decoding_config(codec), _as_stored(codec.decoding_state()))


def model_checksum(codec: Codec) -> str:
    """Compute the checksum of a whole model, its encoder included.

    Args:
        codec: the model

    Returns:
        16 hexadecimal digits.
    """
    return _digest(codec.config.to_dict(), _as_stored(codec.state_dict()))


def _both_digests(codec: Codec) -> tuple[str, str]:
    """Return fingerprint and checksum, in less time than one after the other."""
    weights = _as_stored(codec.state_dict())
    decoding = {name: weights[name] for name in codec.decoding_state()}
    return _digest(_decoding_config(codec), decoding), _digest(codec.config.to_dict(), weights)


def _decoding_config(codec: Codec) -> dict[str, Any]:
    config = codec.config.to_dict()
    del config["encoder"]
    return config


def _as_stored(weights: Mapping[str, Tensor]) -> dict[str, npt.NDArray[Any]]:
    """Convert tensors to the arrays whose bytes are hashed."""
    types = {True: "<f4", False: "<i4"}
    return {
        name: np.ascontiguousarray(tensor.detach().cpu().numpy(), types[tensor.is_floating_point()])
        for name, tensor in weights.items()
    }


def _digest(config: dict[str, Any], weights: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, array in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


def save_model(
    folder: Path,
    codec: Codec,
    info: dict[str, Any],
    stored: torch.dtype = torch.float32,
    graphs: Mapping[str, str] | None = None,
) -> None:
    """Write a model.

    Args:
        folder: folder to write; it is created if it is missing, and a model in it is replaced
        codec: the model
        info: information about its training (steps, tables, recipe), stored with the architecture in ``config.json``
        stored: data type of the stored weights of the networks, whose values must be representable in it
        graphs: SHA-256 of each ONNX graph in the folder, by file name

    Raises:
        UserError: a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    networks = {name for name, _ in codec.named_parameters() if not is_skip_path(name)}
    weights = {
        name: tensor.detach().cpu().contiguous().to(stored if name in networks else tensor.dtype)
        for name, tensor in codec.state_dict().items()
    }
    decoding, whole = _both_digests(codec)
    content = {
        "model_type": MODEL_TYPE,
        "codec": codec.config.to_dict(),
        "fingerprint": decoding,
        "decodes": list(codec.compatible_fingerprints),
        "checksum": whole,
        "info": info,
        **({"graphs": dict(graphs)} if graphs else {}),
    }
    _write(folder, weights, json.dumps(content, indent=1) + "\n")


def _write(folder: Path, weights: dict[str, Tensor], config: str | None = None) -> None:
    """Write both files and give them their names once both are on the disk.

    The weights come first and hold a copy of ``config`` in their header, so that they are read with their own
    configuration even if the process is killed between the two.
    """
    parts = {name: temporary_path(folder / name) for name in ((WEIGHTS, CONFIG) if config else (WEIGHTS,))}
    try:
        # save_file would make files that only their owner can read
        parts[WEIGHTS].write_bytes(save(weights, {CONFIG: config} if config else None))
        if config:
            parts[CONFIG].write_text(config, encoding="utf-8")
        for name, part in parts.items():
            commit_file(part, folder / name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{folder}: the model cannot be written ({error})") from error
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def save_weights(folder: Path, codec: CodecBase) -> None:
    """Write the weights alone, of an architecture that is trained for comparison only.

    Args:
        folder: folder to write; it is created if it is missing
        codec: any architecture

    Raises:
        UserError: the file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, {name: tensor.detach().cpu().contiguous() for name, tensor in codec.state_dict().items()})


def load_weights(folder: Path, codec: CodecBase) -> None:
    """Load weights into an existing architecture.

    Args:
        folder: folder written by :func:`save_model` or :func:`save_weights`
        codec: the codec that receives the weights

    Raises:
        UserError: the file is missing, damaged, or holds another architecture.
    """
    try:
        codec.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise damaged_model(folder, error) from error


def load_codec(path: Path) -> Codec:
    """Load the networks of a model, in evaluation mode and without gradients.

    :func:`codec.pretrained.registry.load_model` loads a model by name, ready to code.

    Args:
        path: the folder of a model, or of the run that trained it

    Returns:
        The model on the CPU, whose fingerprint and checksum agree with those stored.

    Raises:
        UserError: no model there, or damaged.
    """
    folder, content = read_config(path)
    try:
        config = CodecConfig.from_dict(content["codec"])
        _check_size(config, folder / WEIGHTS)
        codec = Codec(config)
        weights = load_file(folder / WEIGHTS)
        if weights.keys() != codec.state_dict().keys():
            raise ValueError(f"{WEIGHTS} holds another architecture, or that of another version")
        codec.load_state_dict(weights)
        codec.compatible_fingerprints = tuple(map(str, content["decodes"]))
        if (content["fingerprint"], content["checksum"]) != _both_digests(codec):
            raise ValueError(f"{CONFIG} and {WEIGHTS} do not belong together")
        codec.tables.to_numpy()
    except (SafetensorError, OSError, UserError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise damaged_model(folder, error) from error
    return codec.eval().requires_grad_(False)


def _check_size(config: CodecConfig, weights: Path) -> None:
    """Compare the size of the architecture with the header of the weights, before memory is taken for either.

    Raises:
        ValueError: there are fewer weights than it has.
    """
    with safe_open(weights, "pt") as file:
        found = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    if found < config.parameter_count:
        raise ValueError(
            f"{WEIGHTS} holds another architecture: {found:,} numbers, not {config.parameter_count:,} or more"
        )
