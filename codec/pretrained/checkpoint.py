"""Models on disk: a folder with ``model.safetensors`` and ``config.json``, nothing that can run code when it is
read."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.codec import Codec, CodecBase
from codec.runtime.atomic_files import commit_file
from codec.runtime.json_files import parse_json, read_json

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def fingerprint(codec: Codec) -> str:
    """16 hexadecimal digits that name what decodes: decoder, codebooks and tables. Stored in each coded file."""
    config = codec.config.to_dict()
    del config["encoder"]
    return _digest(config, codec.decoding_state())


def checksum(codec: Codec) -> str:
    """16 hexadecimal digits that name the whole model, its encoder included."""
    return _digest(codec.config.to_dict(), codec.state_dict())


def _digest(config: dict[str, Any], weights: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(weights.items()):
        digest.update(name.encode())
        canonical = tensor.detach().cpu().numpy().astype("<f4" if tensor.is_floating_point() else "<i4")
        digest.update(canonical.tobytes())
    return digest.hexdigest()[:16]


def save_model(
    folder: Path,
    codec: Codec,
    info: dict[str, Any],
    stored: torch.dtype = torch.float32,
    graphs: Mapping[str, str] | None = None,
) -> None:
    """Writes the model; ``info`` (steps, tables, recipe) stands beside the architecture in ``config.json``.

    ``stored``: type in which the file holds the networks' weights, which must have values of that type. ``graphs``:
    SHA-256 of each ONNX graph beside it, by file name."""
    folder.mkdir(parents=True, exist_ok=True)
    networks = {name for name, _ in codec.named_parameters()}
    weights = {
        name: tensor.detach().cpu().contiguous().to(stored if name in networks else tensor.dtype)
        for name, tensor in codec.state_dict().items()
    }
    content = {
        "codec": codec.config.to_dict(),
        "fingerprint": fingerprint(codec),
        "decodes": list(codec.decodes),
        "checksum": checksum(codec),
        "info": info,
        **({"graphs": dict(graphs)} if graphs else {}),
    }
    _write(folder, weights, json.dumps(content, indent=1) + "\n")


def _write(folder: Path, weights: dict[str, Tensor], config: str | None = None) -> None:
    """Both files, under their names once both are on the disk. The weights come first, and hold a copy of ``config``
    in their header: whatever ends the process between the two, they are read by the configuration that is theirs.

    Raises:
        UserError: one of them cannot be written.
    """
    parts = {name: folder / f"{name}.part" for name in ((WEIGHTS, CONFIG) if config else (WEIGHTS,))}
    try:
        # save_file would make files that their owner alone can read
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
    """Writes the weights alone: of an architecture that is trained for comparison, and that no one loads by itself."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder, {name: tensor.detach().cpu().contiguous() for name, tensor in codec.state_dict().items()})


def load_weights(folder: Path, codec: CodecBase) -> None:
    """Reads into ``codec`` what :func:`save_model` or :func:`save_weights` wrote. Raises ``UserError`` where it is
    missing or does not fit."""
    try:
        codec.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, OSError, RuntimeError) as error:
        raise _damaged(folder, error) from error


def model_folder(path: Path) -> Path:
    """The folder that holds the model: ``path`` itself, or the ``model`` folder of a run."""
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    if not path.exists():
        raise UserError(f"{path}: no such model; give the folder of a run or of an exported model")
    raise UserError(f"{path}: not a model (no {CONFIG} and {WEIGHTS} in it); give the folder of a run or of a model")


def load_model(path: Path) -> Codec:
    """Reads a model in evaluation mode. ``path``: its folder, or the folder of the run that trained it.

    Raises ``UserError`` where there is none, or where it is damaged.
    """
    folder, content = _read_config(path)
    try:
        config = CodecConfig.from_dict(content["codec"])
        _check_size(config, folder / WEIGHTS)
        codec = Codec(config)
        weights = load_file(folder / WEIGHTS)
        if weights.keys() != codec.state_dict().keys():
            raise ValueError(f"{WEIGHTS} holds another architecture, or that of another version")
        codec.load_state_dict(weights)
        codec.decodes = tuple(map(str, content["decodes"]))
        if (content["fingerprint"], content["checksum"]) != (fingerprint(codec), checksum(codec)):
            raise ValueError(f"{CONFIG} and {WEIGHTS} do not belong together")
        codec.tables.to_numpy()
    except (SafetensorError, OSError, UserError, RuntimeError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error
    return codec.eval().requires_grad_(False)


def _check_size(config: CodecConfig, weights: Path) -> None:
    """Compare the size of the architecture with the header of the weights, before memory is taken for either.

    Raises:
        ValueError: there are fewer weights than it has.
    """
    with safe_open(weights, "pt") as file:
        found = sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())
    if found < config.numbers:
        raise ValueError(f"{WEIGHTS} holds another architecture: {found:,} numbers, not {config.numbers:,} or more")


def read_fingerprints(path: Path) -> list[str]:
    """The model's own, then those of other models whose files it decodes. Raises like :func:`load_model`."""
    folder, content = _read_config(path)
    try:
        return [str(content["fingerprint"]), *map(str, content["decodes"])]
    except (KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def read_info(path: Path) -> dict[str, Any]:
    """What was stored beside the architecture when the model was saved. Raises like :func:`load_model`."""
    folder, content = _read_config(path)
    try:
        return dict(content["info"])
    except (KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


@dataclass(frozen=True)
class ExportedGraphs:
    """ONNX graphs that were exported with a model. ``checksum``: of the model; ``digests``: SHA-256 of each graph, by
    file name."""

    checksum: str
    digests: dict[str, str] = field(default_factory=dict)


def read_graphs(path: Path) -> ExportedGraphs:
    """What stands beside the model about its graphs. Raises like :func:`load_model`."""
    folder, content = _read_config(path)
    try:
        return ExportedGraphs(str(content["checksum"]), dict(content.get("graphs", {})))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(folder, error) from error


def _read_config(path: Path) -> tuple[Path, Any]:
    """The folder of the model, and its configuration: that in the header of the weights, where ``config.json`` is the
    one of weights that were there before."""
    folder = model_folder(Path(path))
    try:
        content = read_json(folder / CONFIG)
        with safe_open(folder / WEIGHTS, "pt") as file:
            copy = (file.metadata() or {}).get(CONFIG)
        if copy is not None and (own := parse_json(copy))["checksum"] != content["checksum"]:
            content = own
        return folder, content
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise _damaged(folder, error) from error


def _damaged(folder: Path, error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    return UserError(f"{folder}: the model cannot be read ({reason}); export or train it again")
