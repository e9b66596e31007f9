"""Models on the Hugging Face Hub: a repository there holds what the folder of a model holds.

``huggingface_hub`` does the work, with its cache, its tokens and its variables, such as ``HF_ENDPOINT`` and
``HF_HUB_OFFLINE``. A model that was downloaded before is found without a connection.
"""

import re
from pathlib import Path

from codec.errors import UserError
from codec.runtime.extras import require_installed

SCHEME = "hf://"
"""Beginning of a name of a model on the Hub: ``hf://OWNER/NAME`` or ``hf://OWNER/NAME@REVISION``."""

_ID = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_PATTERNS = ["*.json", "*.safetensors", "*.onnx", "*.yaml", "*.csv", "*.md"]
"""The files of a model; a repository may hold others."""


def is_hub_id(name: str) -> bool:
    """Determine whether a name has the form of a repository on the Hub.

    Args:
        name: any name

    Returns:
        Whether it is ``OWNER/NAME``.

    >>> is_hub_id("someone/speech"), is_hub_id("speech_16k_v2"), is_hub_id("runs/a/model")
    (True, False, False)
    """
    return _ID.fullmatch(name) is not None


def download_model(name: str) -> Path:
    """Download a model, or find it in the cache.

    Args:
        name: a name that begins with :data:`SCHEME`

    Returns:
        Its folder in the cache.

    Raises:
        UserError: no such repository, revision or model; it cannot be reached; or ``huggingface_hub`` is not installed.
    """
    identifier, _, revision = name.removeprefix(SCHEME).partition("@")
    if not is_hub_id(identifier):
        raise UserError(f"{name}: a model of the Hub is {SCHEME}OWNER/NAME or {SCHEME}OWNER/NAME@REVISION")
    require_installed("a model of the Hugging Face Hub", "hub")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, RepositoryNotFoundError, RevisionNotFoundError

    from codec.pretrained.model_folder import CONFIG, WEIGHTS

    try:
        folder = Path(snapshot_download(identifier, revision=revision or None, allow_patterns=_PATTERNS))
    except RepositoryNotFoundError as error:
        raise UserError(
            f"{name}: no such repository on the Hub, or it is private; check its name, or log in with hf auth login"
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{name}: this repository has no revision {revision}; see its branches and tags") from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(f"{name}: cannot be downloaded ({str(error).splitlines()[0]})") from error
    if absent := [file for file in (CONFIG, WEIGHTS) if not (folder / file).is_file()]:
        raise UserError(f"{name}: this repository holds no model of this program (no {' and no '.join(absent)})")
    return folder
