"""The optional parts of the installation, such as ``lathe-codec[train]``, and the message where one is absent."""

import importlib.util
from collections.abc import Sequence

from codec.errors import UserError

_SHARED = ("auraloss", "jinja2", "jsonargparse", "librosa", "matplotlib", "PIL", "pyloudnorm", "scipy", "yaml")
"""For recipes, losses and pages, which training and evaluation share."""

MODULES: dict[str, Sequence[str]] = {
    "train": (*_SHARED, "lightning"),
    "eval": _SHARED,
    "speech-metrics": (*_SHARED, "jiwer", "pocketsphinx"),
    "search": (*_SHARED, "lightning", "optuna"),
    "onnx": ("jinja2", "onnx", "onnxruntime", "onnxscript"),
    "hub": ("huggingface_hub",),
    "transformers": ("transformers",),
    "tensorboard": ("tensorboard",),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
    "trackio": ("trackio",),
    "parquet": ("pyarrow",),
    "litdata": ("pyarrow",),
    "s3": ("s3fs",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "peers": ("encodec", "torchaudio"),
}
"""Required modules of each extra. An extra can install more, such as metrics that are each optional."""


def installed(module: str) -> bool:
    """Determine whether a top-level module could be imported, without importing it.

    A folder of this name that holds no code does not count.

    Args:
        module: name of the module

    Returns:
        True if it could be imported.
    """
    found = importlib.util.find_spec(module)
    return found is not None and found.origin is not None


def install_command(*extras: str) -> str:
    """Return the command that installs extras.

    Args:
        *extras: names in :data:`MODULES`

    Returns:
        The command.

    >>> install_command("train", "eval")
    "pip install 'lathe-codec[train,eval]'"
    """
    return f"pip install 'lathe-codec[{','.join(extras)}]'"


def require_installed(purpose: str, *extras: str, modules: Sequence[str] = ()) -> None:
    """Check that the packages for a purpose are installed.

    Args:
        purpose: the purpose, as the beginning of the error message
        extras: names in :data:`MODULES`
        modules: those of their modules that the purpose needs; by default all

    Raises:
        UserError: something is not installed. The message has the command that installs it.
    """
    absent = {extra: [module for module in modules or MODULES[extra] if not installed(module)] for extra in extras}
    names = sorted({name for some in absent.values() for name in some}, key=str.lower)
    if names:
        command = install_command(*(extra for extra, some in absent.items() if some))
        raise UserError(f"{purpose} needs packages that are not installed ({', '.join(names)}); {command}")
