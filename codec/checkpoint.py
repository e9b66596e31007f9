"""Models on disk: a folder with ``model.safetensors`` and ``config.json``, nothing that can run code when it is read."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from codec.config import CodecConfig
from codec.errors import UserError
from codec.model.codec import Codec

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def fingerprint(codec: Codec) -> str:
    """16 hexadecimal digits that name architecture and weights; stored in each coded file."""
    digest = hashlib.sha256(json.dumps(codec.config.to_dict(), sort_keys=True).encode())
    for name, tensor in sorted(codec.state_dict().items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def save_model(folder: Path, codec: Codec, info: dict[str, Any]) -> None:
    """Writes the model; ``info`` (steps, data, recipe) stands beside the architecture in ``config.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in codec.state_dict().items()}
    save_file(weights, folder / f"{WEIGHTS}.part")
    content = {"codec": codec.config.to_dict(), "fingerprint": fingerprint(codec), "info": info}
    (folder / f"{CONFIG}.part").write_text(json.dumps(content, indent=1) + "\n")
    os.replace(folder / f"{WEIGHTS}.part", folder / WEIGHTS)
    os.replace(folder / f"{CONFIG}.part", folder / CONFIG)


def model_folder(path: Path) -> Path:
    """The folder that holds the model: ``path`` itself, or the ``model`` folder of a run."""
    for folder in (path, path / "model"):
        if (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file():
            return folder
    if not path.exists():
        raise UserError(f"{path}: no such model; give the folder of a run or of an exported model")
    raise UserError(f"{path}: not a model (no {CONFIG} and {WEIGHTS} in it); give the folder of a run or of a model")


def load_model(path: Path) -> Codec:
    """Reads a model in evaluation mode. ``path``: its folder, or the folder of the run that trained it."""
    folder = model_folder(Path(path))
    try:
        codec = Codec(CodecConfig.from_dict(json.loads((folder / CONFIG).read_text())["codec"]))
        codec.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder}: the model cannot be read ({reason}); export or train it again") from error
    return codec.eval().requires_grad_(False)


def read_info(path: Path) -> dict[str, Any]:
    """What was stored beside the architecture when the model was saved."""
    return json.loads((model_folder(Path(path)) / CONFIG).read_text())["info"]


