"""``--use FILE``: the settings of a model that ``codec search pick`` has written, as options of encode and decode."""

import argparse
from pathlib import Path
from typing import Any

from codec.cli.cluster_options import uses_cluster
from codec.errors import UserError
from codec.runtime.extras import require_installed

_KINDS: dict[str, type | tuple[type, ...]] = {
    "model": str, "kbps": (int, float), "codebooks": int, "packet_s": (int, float), "entropy": str, "precision": str,
    "runtime": str, "threads": int,
}  # fmt: skip
"""Settings that a file may have, and their types."""
STREAM = "none"
"""Value of ``entropy`` for codes of fixed width, as live streams have them."""


def add_use_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--use``, which :func:`apply_picked_settings` reads.

    Args:
        parser: parser of encode or decode
    """
    parser.add_argument(
        "--use",
        type=Path,
        metavar="FILE.yaml",
        help="model and settings that codec search pick has written; other options have precedence",
    )


def apply_picked_settings(arguments: argparse.Namespace) -> None:
    """Set the options that were not given to the settings of the file ``--use``.

    Args:
        arguments: arguments of encode or decode; those that have no such option have no use for its setting

    Raises:
        UserError: the file cannot be read, has a setting that there is none of, or is for streams but not used for one.
    """
    if arguments.use is None:
        return
    found = _read(arguments.use)
    arguments.model = arguments.model or found.get("model")
    if found.get("runtime") == "onnx" and arguments.device == "cpu":
        arguments.device = "onnx"
    alone = arguments.threads is None and arguments.workers is None and arguments.device == "cpu"
    if alone and not uses_cluster(arguments):
        arguments.threads = found.get("threads")
    if arguments.command == "decode":
        if arguments.dtype is None:
            arguments.dtype = found.get("precision")
        return
    if found.get("entropy") == STREAM and [str(path) for path in arguments.inputs] != ["-"]:
        raise UserError(f"{arguments.use}: has codes of fixed width, which streams have; encode from standard input: -")
    if arguments.kbps is None and arguments.codebooks is None:
        arguments.kbps, arguments.codebooks = found.get("kbps") or None, found.get("codebooks")
    if arguments.packet_s is None:
        arguments.packet_s = found.get("packet_s")


def _read(path: Path) -> dict[str, Any]:
    require_installed("--use, which reads YAML,", "train", modules=["yaml"])
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path}: cannot be read ({' '.join(str(error).split())[:200]})") from error
    if not isinstance(found, dict) or "model" not in found:
        raise UserError(f"{path}: no settings of a model; give the file that codec search pick wrote with --out")
    for name, value in found.items():
        if name not in _KINDS or isinstance(value, bool) or not isinstance(value, _KINDS[name]):
            known = ", ".join(_KINDS)
            raise UserError(f"{path}: {name} {value} is no setting that files or streams can have; these are {known}")
    return found
