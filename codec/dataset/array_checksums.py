"""Checksums of packed arrays, which ``codec prepare`` notes beside them and others compare."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SHARDS = "shards.json"


@dataclass(frozen=True)
class Shard:
    """What ``shards.json`` says of an array. ``key``: of the clips it was made from; ``sha256``: of the file."""

    key: str
    sha256: str


def read_shards(folder: Path) -> dict[str, Shard]:
    """Return what is noted of the arrays in a folder of packed clips; nothing where it is missing or damaged."""
    try:
        noted = json.loads((folder / SHARDS).read_text(encoding="utf-8"))
        return {name: Shard(str(values["key"]), str(values["sha256"])) for name, values in noted.items()}
    except (OSError, ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}


def digest(path: Path) -> str:
    """Return the sha256 of a file, an empty text where it cannot be read."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    except OSError:
        return ""
    return found.hexdigest()


def digest_once(path: Path) -> str:
    """Return the :func:`digest` of a file, remembered until it is written again: a search trains on the same arrays
    many times."""
    try:
        return _digest_as_written(path, path.stat().st_mtime_ns)
    except OSError:
        return ""


@cache
def _digest_as_written(path: Path, written_ns: int) -> str:
    return digest(path)
