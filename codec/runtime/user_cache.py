"""The folder for what can be fetched or computed again."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """Return the folder, by the XDG Base Directory Specification; it need not exist.

    Returns:
        ``lathe`` in ``$XDG_CACHE_HOME``, or in ``~/.cache`` without this variable.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lathe"
