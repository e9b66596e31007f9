"""Extras of the installation that commands need; ``pip install lathe-codec`` is enough for the others."""

from codec.runtime.extras import require_installed

EXTRAS = {
    "quickstart": ("train", "eval"),
    "prepare": ("train",),
    "recipes": ("train",),
    "train": ("train",),
    "health": ("train",),
    "evaluate": ("eval",),
    "report": ("eval",),
    "page": ("onnx",),
    "speed": ("train",),
    "compare": ("train", "eval"),
    "search": ("search",),
}
"""Names of extras by command."""


def require_extras(command: str) -> None:
    """Check that the extras of a command are installed.

    Args:
        command: name of the command

    Raises:
        UserError: an extra is not installed. The message has the command that installs it.
    """
    require_installed(f"codec {command}", *EXTRAS.get(command, ()))
