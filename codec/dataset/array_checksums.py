"""Checksums of the packed arrays: ``codec prepare`` records them, and a training compares them."""

import hashlib
import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SHARDS_FILE = "shards.json"


@dataclass(frozen=True)
class Shard:
    """The record of one array in ``shards.json``."""

    key: str
    """Digest of the clips that the array was made from."""
    sha256: str
    """SHA-256 of the file."""


def read_shards(folder: Path) -> dict[str, Shard]:
    """Read the records of the arrays in a folder of packed clips.

    Args:
        folder: the folder of the arrays

    Returns:
        The records by file name; empty if the file is missing or damaged.
    """
    try:
        return parse_shards((folder / SHARDS_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def parse_shards(text: str) -> dict[str, Shard]:
    """Read the records of arrays.

    Args:
        text: content of ``shards.json``

    Returns:
        The records by file name; empty if the text is damaged.
    """
    try:
        recorded = json.loads(text)
        return {name: Shard(str(values["key"]), str(values["sha256"])) for name, values in recorded.items()}
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
        return {}


def file_sha256(path: Path) -> str:
    """Compute the SHA-256 digest of a file.

    Args:
        path: the file

    Returns:
        64 hexadecimal digits, or an empty string if the file cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError:
        return ""
    return digest.hexdigest()


def cached_file_sha256(path: Path) -> str:
    """Compute the digest of a file, and cache it until the file is written again.

    A search trains on the same arrays many times in one process.

    Args:
        path: the file

    Returns:
        See :func:`file_sha256`.
    """
    try:
        return _file_sha256_as_written(path, path.stat().st_mtime_ns)
    except OSError:
        return ""


@cache
def _file_sha256_as_written(path: Path, written_ns: int) -> str:
    return file_sha256(path)
