"""Which commands need an optional part of the installation; ``pip install lathe-codec`` is enough for the others."""

from codec.runtime.extras import require

EXTRAS = {
    "quickstart": ("train", "eval"),
    "prepare": ("train",),
    "train": ("train",),
    "health": ("train",),
    "evaluate": ("eval",),
    "report": ("eval",),
    "speed": ("train",),
    "compare": ("train", "eval"),
    "search": ("search",),
}
"""Names of extras by command."""


def require_extras(command: str) -> None:
    """Go on only if what a command needs is installed.

    Raises:
        UserError: it is not. The message has the command that installs it.
    """
    require(f"codec {command}", *EXTRAS.get(command, ()))
