"""Location of the packages that belong to ``codec``: ``data_prep``, ``eval`` and ``recipes``.

In the repository they are next to ``codec/``. Their names are common, so the wheel holds them in ``codec/_packages/``:
an installation claims no top-level name but ``codec``, and a program that imports ``codec`` still finds an ``eval`` or
a ``recipes`` of its own. The command line, which has its process to itself, puts their folder first.
"""

import sys
from pathlib import Path

_CODEC = Path(__file__).resolve().parents[1]
_IN_WHEEL = _CODEC / "_packages"

FOLDER = _IN_WHEEL if _IN_WHEEL.is_dir() else _CODEC.parent
"""The folder that holds ``data_prep/``, ``eval/`` and ``recipes/``."""


def put_first() -> None:
    """Let this process, and those that multiprocessing starts from it, import these before others of their names."""
    sys.path.insert(0, str(FOLDER))
